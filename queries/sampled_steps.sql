-- grain: one of at most 1,000 steps that stand for an environment: evenly spaced, of its first ten episodes.
-- question: which few steps show where an environment has been?
-- columns: env place run_id episode step state action next_state pattern_id zero_state zero_action sparsity
--
-- place numbers the steps of those episodes in order. sparsity: the share of zeros in both Jacobians together.
with episodes_ as (
    select env, run_id, episode
    from (select distinct env, run_id, episode from exact_steps where finite)
    qualify row_number() over (partition by env order by run_id, episode) <= 10
),

placed as (
    select exact_steps.*,
        row_number() over (partition by env order by run_id, episode, step) as place,
        count(*) over (partition by env) as total
    from exact_steps
    inner join episodes_ using (env, run_id, episode)
    where finite
)

select
    env,
    place,
    run_id,
    episode,
    step,
    state,
    action,
    next_state,
    pattern_id,
    zero_state,
    zero_action,
    (patterns.n_zero_state + patterns.n_zero_action) / (d_state * (d_state + d_action)) as sparsity
from placed
inner join patterns using (env, run_id, pattern_id)
where place % ((total + 999) // 1000) = 0
