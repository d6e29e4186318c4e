-- By hand, over words. Arrays of ids are put in order before they are compared: Spark collects in any order.
with totals as (
    select env, sum(counts) as steps from jacobian_patterns where jacobian = 'state' group by env
),

there as (
    select
        env,
        if(jacobian = 'state', 'tangent', 'action') as source_space,
        entry % width as source,
        cast(entry div width as int) as target,
        sum(counts) as steps,
        sort_array(collect_set(pattern_id)) as shown_in
    from entries
    where not zero
    group by env, jacobian, entry, width
),

blocks as (
    select env, shown_in, row_number() over (partition by env order by max(steps) desc, count(*) desc, shown_in) as block
    from there
    group by env, shown_in
)

select
    there.env,
    there.source_space,
    there.source,
    sources.name as source_name,
    there.target,
    targets.name as target_name,
    there.steps / totals.steps as share,
    cast(blocks.block as bigint) as block
from there
inner join totals on there.env = totals.env
inner join blocks on there.env = blocks.env and there.shown_in = blocks.shown_in
inner join axes as sources
    on there.env = sources.env and there.source_space = sources.space and there.source = sources.index
inner join axes as targets on there.env = targets.env and targets.space = 'tangent' and there.target = targets.index
order by env, source_space desc, target, source
