-- By hand: DuckDB's // is div here, and its range a sequence that has its end.
with totals as (
    select
        env,
        jacobian,
        sum(counts) as steps,
        sum(counts * n_zero) / sum(counts * d_state * width) as mean_sparsity
    from jacobian_patterns
    where width > 0
    group by env, jacobian
),

binned as (
    select env, jacobian, least(n_zero * 10 div (d_state * width), 9) as bin, sum(counts) as steps
    from jacobian_patterns
    where width > 0
    group by env, jacobian, bin
),

bins as (
    select explode(sequence(0, 9)) as bin
)

select
    totals.env,
    totals.jacobian,
    bins.bin / 10 as bin_low,
    (bins.bin + 1) / 10 as bin_high,
    coalesce(binned.steps, 0) as steps,
    coalesce(binned.steps, 0) / totals.steps as share,
    totals.mean_sparsity,
    samples.excluded
from totals
cross join bins
inner join samples on totals.env = samples.env
left join binned
    on totals.env = binned.env and totals.jacobian = binned.jacobian and bins.bin = binned.bin
order by totals.env, totals.jacobian desc, bins.bin
