-- By hand: DuckDB adds up partials; here steps are counted.
select
    env,
    count_if(finite) as samples,
    count_if(not finite) as excluded
from exact_steps
group by env
order by env
