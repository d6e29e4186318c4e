-- grain: one threshold for one Jacobian of an environment.
-- question: does what counts as zero depend on the threshold?
-- columns: env jacobian threshold zero zero_pct mean_sparsity samples excluded
--
-- Thresholds are 1e-16 to 1e-2 by decades. zero: entries below the threshold in every step; mean_sparsity: the share
-- below it in an average step. Answered from what `episodes` keeps of every episode, its largest entries and its
-- counts by threshold (`threshold_counts`): no matrix is read. Hence it is of whole episodes, whatever the condition on
-- steps. Largest entries are kept as they are stored. Rounded to float32 an entry of 0.01 is less than 0.01, and yet not
-- below it: so is no entry that is the threshold as float32 has it.
with entries as (
    select env, jacobian, unnest(largest) as size, generate_subscripts(largest, 1) as entry from threshold_counts
),

largest as (
    select env, jacobian, entry, max(size) as size from entries group by env, jacobian, entry
),

counted as (
    select env, jacobian, steps, unnest(below) as below, generate_subscripts(below, 1) + $first_exponent - 1 as exponent
    from threshold_counts
),

sums as (
    select env, jacobian, exponent, sum(below) as below, sum(steps) as samples
    from counted
    group by env, jacobian, exponent
),

thresholds as (
    select *, ('1e' || exponent)::double as threshold, ('1e' || exponent)::float::double as stored_threshold from sums
),

zeros as (
    select
        thresholds.*,
        count(*) filter (where size < threshold and size <> stored_threshold) as zero,
        count(*) as entries
    from thresholds
    inner join largest using (env, jacobian)
    group by all
)

select
    zeros.env,
    jacobian,
    threshold,
    zero,
    round(100 * zero / entries, 2) as zero_pct,
    below / (zeros.samples * entries) as mean_sparsity,
    samples.samples,
    samples.excluded
from zeros
inner join samples using (env)
order by env, jacobian desc, threshold
