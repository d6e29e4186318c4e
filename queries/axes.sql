-- grain: one dimension of one space (tangent, state, action) of an environment.
-- question: what is row 7 of the Jacobian?
-- columns: env space index name joint body quantity unit
select
    env,
    space,
    "index",
    -- one name each, should runs of different versions differ
    arg_min(name, run_id) as name,
    arg_min(joint, run_id) as joint,
    arg_min(body, run_id) as body,
    arg_min(quantity, run_id) as quantity,
    arg_min(unit, run_id) as unit
from axis_names
group by env, space, "index"
order by env, case space when 'tangent' then 0 when 'state' then 1 else 2 end, "index"
