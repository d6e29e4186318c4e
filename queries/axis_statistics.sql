-- grain: one axis of the states, actions or deltas of an environment, over all steps or those of a split.
-- question: in which range does each axis vary, to normalize training data?
-- columns: env split space axis name mean deviation minimum maximum steps
--
-- space is state, action or delta, the next state minus the state, number by number. Of an orientation there is no
-- delta: `dx` of batches is its rotation. deviation is the standard deviation over all steps (not of a sample). split is
-- all, train or validation, as `batches` splits by default. Steps are finite and exact (`exact_steps`), of one run for
-- each trajectory: the one of most steps.
with spans as (
    select env, run_id, episode, count(*) as steps from exact_steps where finite group by all
),

chosen as (
    select env, run_id, episode, trajectory_id
    from spans
    inner join (select env, run_id, episode, trajectory_id from episodes) using (env, run_id, episode)
    qualify row_number() over (partition by env, trajectory_id order by steps desc, run_id) = 1
),

-- the id below which a trajectory is in the validation split; a condition on steps does not move it
bounds as (
    select
        env,
        if(
            count(distinct trajectory_id) = 1,
            floor(0.1 * 2::double ** 63)::bigint,
            least(greatest(floor(0.1 * 2::double ** 63)::bigint, min(trajectory_id) + 1), max(trajectory_id))
        ) as bound
    from episodes
    where (env, run_id, episode) in (select (env, run_id, episode) from stored_steps where finite and method <> 'fd')
    group by env
),

rows_ as (
    select
        exact_steps.env,
        if(trajectory_id < bound, 'validation', 'train') as part,
        state,
        action,
        list_transform(list_zip(state, next_state), lambda pair: pair[2] - pair[1]) as delta
    from exact_steps
    inner join chosen using (env, run_id, episode)
    inner join bounds on exact_steps.env = bounds.env
    where finite
),

entries as (
    select env, part, 'state' as space, unnest(state) as value, generate_subscripts(state, 1) - 1 as axis from rows_
    union all
    select env, part, 'action' as space, unnest(action) as value, generate_subscripts(action, 1) - 1 as axis from rows_
    union all
    select env, part, 'delta' as space, unnest(delta) as value, generate_subscripts(delta, 1) - 1 as axis from rows_
)

select
    entries.env,
    coalesce(part, 'all') as split,
    entries.space,
    axis::integer as axis,
    any_value(name) as name,
    avg(value) as mean,
    stddev_pop(value) as deviation,
    min(value) as minimum,
    max(value) as maximum,
    count(*) as steps
from entries
inner join axes
    on entries.env = axes.env
    and axes.space = if(entries.space = 'delta', 'state', entries.space)
    and entries.axis = axes."index"
where not (entries.space = 'delta' and axes.quantity = 'orientation')
group by grouping sets ((entries.env, entries.space, axis, part), (entries.env, entries.space, axis))
order by entries.env, split, entries.space, axis
