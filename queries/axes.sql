-- grain: one dimension of one space (tangent, state, action) of an environment.
-- question: what is row 7 of the Jacobian?
-- columns: env space index name joint body quantity unit
select
    env,
    space,
    "index",
    -- one name each, should runs of different versions differ
    any_value(name) as name,
    any_value(joint) as joint,
    any_value(body) as body,
    any_value(quantity) as quantity,
    any_value(unit) as unit
from stored_axes
group by env, space, "index"
order by env, case space when 'tangent' then 0 when 'state' then 1 else 2 end, "index"
