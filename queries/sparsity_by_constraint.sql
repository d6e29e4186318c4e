-- grain: one constraint of an environment that held in some step, one kind of constraint, or none at all.
-- question: do the dynamics become denser where something touches, sticks, or reaches its limit?
-- columns: env kind name steps share sparsity_state sparsity_state_else sparsity_action sparsity_action_else
--
-- Mean sparsity of the steps in which it held, and of all others; null where there are no such steps, or no entries. A row
-- without a name is of its whole kind: steps in which any such constraint held; kind 'nothing': steps in which none did.
with sets as materialized (from constraint_sets),

sizes as (
    select env, count(*) filter (where space = 'tangent') as d_state, count(*) filter (where space = 'action') as d_action
    from axes
    group by env
),

totals as (
    select env, sum(steps) as steps, sum(zero_state) as zero_state, sum(zero_action) as zero_action
    from sets
    group by env
),

held as (
    select env, unnest(constraints) as what, steps, zero_state, zero_action from sets
    union all
    select env, unnest(list_distinct(list_transform(constraints, lambda c: split_part(c, ':', 1)))) as what,
        steps, zero_state, zero_action
    from sets
    union all
    select env, 'nothing' as what, steps, zero_state, zero_action from sets where len(constraints) = 0
),

summed as (
    select env, what, sum(steps) as steps, sum(zero_state) as zero_state, sum(zero_action) as zero_action
    from held
    group by env, what
)

select
    env,
    split_part(what, ':', 1) as kind,
    if(contains(what, ':'), substr(what, strpos(what, ':') + 1), null) as name,
    summed.steps::bigint as steps,
    summed.steps / totals.steps as share,
    summed.zero_state / (summed.steps * d_state * d_state) as sparsity_state,
    (totals.zero_state - summed.zero_state) / nullif((totals.steps - summed.steps) * d_state * d_state, 0)
        as sparsity_state_else,
    summed.zero_action / nullif(summed.steps * d_state * d_action, 0) as sparsity_action,
    (totals.zero_action - summed.zero_action) / nullif((totals.steps - summed.steps) * d_state * d_action, 0)
        as sparsity_action_else
from summed
inner join totals using (env)
inner join sizes using (env)
order by env, kind, name nulls first
