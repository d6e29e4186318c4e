-- grain: one entry of one Jacobian of an environment, over all its runs.
-- question: in which share of the steps is the entry zero? (Figure 3 of the paper.)
-- columns: env jacobian row col row_name col_name zero_fraction samples excluded
--
-- jacobian is 'state' (d next x / d x) or 'action' (d next x / d action); row and col count from 0. Entries come from
-- `axes`: an environment without a finite step has them too, with zero_fraction null.
with entries as (
    select
        rows.env,
        if(cols.space = 'tangent', 'state', 'action') as jacobian,
        rows."index" as row,
        cols."index" as col,
        rows.name as row_name,
        cols.name as col_name
    from axes as rows
    inner join axes as cols on rows.env = cols.env and cols.space in ('tangent', 'action')
    where rows.space = 'tangent'
),

bits as (
    select env, jacobian, width, counts, zero, unnest(range(bit_length(zero)))::integer as entry
    from jacobian_patterns
),

shares as (
    select
        env,
        jacobian,
        entry // width as row,
        entry % width as col,
        sum(counts * get_bit(zero, entry)) / sum(counts) as zero_fraction
    from bits
    group by env, jacobian, row, col
)

select
    env,
    jacobian,
    row,
    col,
    row_name,
    col_name,
    zero_fraction,
    samples,
    excluded
from entries
inner join samples using (env)
left join shares using (env, jacobian, row, col)
order by env, jacobian desc, row, col
