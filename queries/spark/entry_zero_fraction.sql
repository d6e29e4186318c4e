-- By hand, over words.
with places as (
    select
        rows.env,
        if(cols.space = 'tangent', 'state', 'action') as jacobian,
        rows.index as row,
        cols.index as col,
        rows.name as row_name,
        cols.name as col_name
    from axes as rows
    inner join axes as cols on rows.env = cols.env and cols.space in ('tangent', 'action')
    where rows.space = 'tangent'
),

shares as (
    select
        env,
        jacobian,
        cast(entry div width as int) as row,
        entry % width as col,
        sum(if(zero, counts, 0)) / sum(counts) as zero_fraction
    from entries
    group by env, jacobian, entry, width
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
from places
inner join samples using (env)
left join shares using (env, jacobian, row, col)
order by env, jacobian desc, row, col
