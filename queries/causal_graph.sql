-- grain: one edge: a next-state axis depends on a state or action axis in some step.
-- question: what is the causal graph, how often is each edge there, and which come and go together?
-- columns: env source_space source source_name target target_name share block
--
-- source_space is 'tangent' (state) or 'action'; share: of the steps in which the edge is there. Edges of one block are
-- there in exactly the same steps; blocks are numbered by share, from 1, the most lasting first.
with counted as materialized (from jacobian_patterns),  -- and not twice over

bits as (
    select
        env,
        pattern_id,
        if(jacobian = 'state', 'tangent', 'action') as source_space,
        zero,
        width,
        counts,
        unnest(range(bit_length(zero)))::integer as entry
    from counted
),

totals as (
    select env, sum(counts) as steps from counted where jacobian = 'state' group by env
),

there as (
    select
        env,
        source_space,
        entry % width as source,
        entry // width as target,
        sum(counts) as steps,
        list(distinct pattern_id order by pattern_id) as shown_in
    from bits
    where get_bit(zero, entry) = 0
    group by env, source_space, source, target
),

blocks as (
    select env, shown_in, row_number() over (partition by env order by max(steps) desc, count(*) desc, shown_in) as block
    from there
    group by env, shown_in
)

select
    env,
    source_space,
    source,
    sources.name as source_name,
    target,
    targets.name as target_name,
    there.steps / totals.steps as share,
    block
from there
inner join totals using (env)
inner join blocks using (env, shown_in)
inner join axes as sources
    on there.env = sources.env and there.source_space = sources.space and there.source = sources."index"
inner join axes as targets on there.env = targets.env and targets.space = 'tangent' and there.target = targets."index"
order by env, source_space desc, target, source
