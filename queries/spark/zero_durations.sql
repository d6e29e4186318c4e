-- By hand: as in DuckDB, but that nothing is cast.
select
    env,
    jacobian,
    zero,
    duration,
    sum(runs) as runs,
    sum(sum(runs * duration)) over same / sum(sum(runs)) over same as mean_duration
from duration_counts
group by env, jacobian, zero, duration
window same as (partition by env, jacobian, zero)
order by env, jacobian desc, zero, duration
