-- grain: one axis of the state of an environment.
-- question: which invariances are behind the global zeros? An axis that no other depends on can be shifted, and the rest
--   moves as before: where the robot is, which way it faces.
-- columns: env axis name quantity dependents sources ignorable
--
-- dependents: other axes whose next value depends on this one in some step; sources: other axes that its own next value
-- depends on. ignorable (as mechanics says of a coordinate): no dependents. Null without a finite step.
with always as (
    select env, bit_and(zero_state) as zero, any_value(d_state) as width from pattern_totals group by env
),

entries as (
    select env, width, zero, unnest(range(width * width))::integer as entry from always
),

-- whether target depends on source, another axis
links as (
    select env, entry // width as target, entry % width as source, target <> source and get_bit(zero, entry) = 0 as depends
    from entries
),

columns_ as (
    select env, source as axis, count(*) filter (where depends) as dependents from links group by env, source
),

rows_ as (
    select env, target as axis, count(*) filter (where depends) as sources from links group by env, target
)

select
    axes.env,
    axes."index" as axis,
    name,
    quantity,
    dependents::integer as dependents,
    sources::integer as sources,
    dependents = 0 as ignorable
from axes
inner join samples on axes.env = samples.env
left join columns_ on axes.env = columns_.env and axes."index" = columns_.axis
left join rows_ on axes.env = rows_.env and axes."index" = rows_.axis
where space = 'tangent'
order by axes.env, axes."index"
