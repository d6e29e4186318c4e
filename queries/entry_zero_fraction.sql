-- grain: one entry of one Jacobian of an environment, over all its runs.
-- question: in which share of the steps is the entry zero? (Figure 3 of the paper.)
-- columns: env jacobian row col row_name col_name zero_fraction samples excluded
--
-- jacobian is 'state' (d next x / d x) or 'action' (d next x / d action); row and col count from 0.
with matrices as (
    select env, 'state' as jacobian, zero_state as zero, d_state as width, counts from patterns
    union all
    select env, 'action' as jacobian, zero_action as zero, d_action as width, counts from patterns
),

bits as (
    select env, jacobian, width, counts, zero, unnest(range(bit_length(zero)))::integer as entry
    from matrices
),

entries as (
    select env, jacobian,
        entry // width as row,
        entry % width as col,
        sum(counts * get_bit(zero, entry)) / sum(counts) as zero_fraction,
        sum(counts)::bigint as samples
    from bits
    group by env, jacobian, row, col
),

left_out as (
    select env, count(*) filter (where not finite) as excluded
    from steps
    group by env
)

select
    entries.env,
    entries.jacobian,
    entries.row,
    entries.col,
    rows.name as row_name,
    cols.name as col_name,
    entries.zero_fraction,
    entries.samples,
    left_out.excluded
from entries
inner join left_out on entries.env = left_out.env
left join axes as rows
    on entries.env = rows.env and rows.space = 'tangent' and entries.row = rows."index"
left join axes as cols
    on entries.env = cols.env
    and cols.space = if(entries.jacobian = 'state', 'tangent', 'action')
    and entries.col = cols."index"
order by entries.env, entries.jacobian desc, entries.row, entries.col
