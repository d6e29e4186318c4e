-- By hand: DuckDB's unnest beside generate_subscripts is posexplode here, which counts from 0.
with exact as (
    select env, run_id, episode, count(*) as steps from exact_steps where finite group by env, run_id, episode
),

sizes as (
    select env, 'state' as jacobian, flatten(largest_state) as largest, below_state as below, steps
    from episodes
    inner join exact using (env, run_id, episode)
    where below_state is not null
    union all
    select env, 'action' as jacobian, flatten(largest_action) as largest, below_action as below, steps
    from episodes
    inner join exact using (env, run_id, episode)
    where below_action is not null
),

places as (
    select env, jacobian, posexplode(largest) as (entry, size) from sizes
),

largest as (
    select env, jacobian, entry, max(size) as size from places group by env, jacobian, entry
),

counted as (
    select env, jacobian, steps, posexplode(below) as (place, below) from sizes
),

sums as (
    select
        env,
        jacobian,
        cast(concat('1e', place + $first_exponent) as double) as threshold,
        sum(below) as below,
        sum(steps) as samples
    from counted
    group by env, jacobian, place
),

zeros as (
    select
        sums.env,
        sums.jacobian,
        sums.threshold,
        sums.below,
        sums.samples,
        count_if(largest.size < sums.threshold and largest.size <> cast(cast(sums.threshold as float) as double)) as zero,
        count(*) as entries
    from sums
    inner join largest on sums.env = largest.env and sums.jacobian = largest.jacobian
    group by sums.env, sums.jacobian, sums.threshold, sums.below, sums.samples
)

select
    zeros.env,
    zeros.jacobian,
    zeros.threshold,
    zeros.zero,
    round(100D * zeros.zero / zeros.entries, 2) as zero_pct,
    zeros.below / (zeros.samples * zeros.entries) as mean_sparsity,
    samples.samples,
    samples.excluded
from zeros
inner join samples on zeros.env = samples.env
order by env, jacobian desc, threshold
