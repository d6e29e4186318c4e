-- grain: one bin of one Jacobian's per-step sparsity, of an environment.
-- question: does sparsity depend on the state? (Figure 5 of the paper: values sit in a few bins.)
-- columns: env jacobian bin_low bin_high steps share mean_sparsity excluded
--
-- Ten bins of width 0.1, closed below and open above, the last closed on both sides; all ten are there. Bins are
-- decided by whole numbers, zeros * 10 // entries, so that a sparsity of exactly 0.3 lies in [0.3, 0.4).
with measured as materialized (  -- and not twice over
    select env, jacobian, n_zero as zeros, d_state * width as entries, counts from jacobian_patterns
    where width > 0  -- of no actions there are no zeros
),

totals as (
    select env, jacobian, sum(counts) as steps, sum(counts * zeros) / sum(counts * entries) as mean_sparsity
    from measured
    group by env, jacobian
),

binned as (
    select env, jacobian, least(zeros * 10 // entries, 9) as bin, sum(counts) as steps
    from measured
    group by env, jacobian, bin
)

select
    totals.env,
    totals.jacobian,
    bins.bin / 10 as bin_low,
    (bins.bin + 1) / 10 as bin_high,
    coalesce(binned.steps, 0)::bigint as steps,
    coalesce(binned.steps, 0) / totals.steps as share,
    totals.mean_sparsity,
    samples.excluded
from totals
cross join (select unnest(range(10)) as bin) as bins
inner join samples on totals.env = samples.env
left join binned
    on totals.env = binned.env and totals.jacobian = binned.jacobian and bins.bin = binned.bin
order by totals.env, totals.jacobian desc, bins.bin
