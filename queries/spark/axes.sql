-- By hand: DuckDB's arg_min is Spark's min_by.
select
    env,
    space,
    index,
    -- one name each, should runs of different versions differ
    min_by(name, run_id) as name,
    min_by(joint, run_id) as joint,
    min_by(body, run_id) as body,
    min_by(quantity, run_id) as quantity,
    min_by(unit, run_id) as unit
from stored_axes
group by env, space, index
order by env, case space when 'tangent' then 0 when 'state' then 1 else 2 end, index
