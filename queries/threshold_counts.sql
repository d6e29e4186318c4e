-- grain: one Jacobian of an environment, a part of its runs. Partial: `threshold_sweep` adds them up.
-- question: how large does each entry become, and how many entries are below each threshold?
-- columns: env run_id jacobian largest below steps
--
-- largest: of each entry, row by row, over all steps; below: entries below 1e-16, 1e-15, … 1e-2, summed over steps. From
-- what `episodes` keeps of every episode, its exact steps together; how many these are only `steps` says. run_id is empty
-- where the row is of several runs.
with exact as (
    select env, run_id, episode, count(*) as steps
    from remaining_steps
    where finite
    group by env, run_id, episode
),

sizes as (
    select env, 'state' as jacobian, largest_state as largest, below_state as below, steps
    from remaining_episodes
    inner join exact using (env, run_id, episode)
    where below_state is not null
    union all
    select env, 'action' as jacobian, largest_action as largest, below_action as below, steps
    from remaining_episodes
    inner join exact using (env, run_id, episode)
    where below_action is not null
),

entries as (
    select env, jacobian, unnest(flatten(largest)) as size, generate_subscripts(flatten(largest), 1) as entry
    from sizes
),

largest as (
    select env, jacobian, entry, max(size) as size from entries group by env, jacobian, entry
),

lists as (
    select env, jacobian, list(size order by entry) as largest from largest group by env, jacobian
),

counted as (
    select env, jacobian, unnest(below) as below, generate_subscripts(below, 1) as place from sizes
),

sums as (
    select env, jacobian, place, sum(below)::bigint as below from counted group by env, jacobian, place
),

sums_lists as (
    select env, jacobian, list(below order by place) as below from sums group by env, jacobian
),

totals as (
    select env, jacobian, sum(steps)::bigint as steps from sizes group by env, jacobian
)

select
    env,
    '' as run_id,
    jacobian,
    lists.largest,
    sums_lists.below,
    totals.steps
from totals
inner join lists using (env, jacobian)
inner join sums_lists using (env, jacobian)
