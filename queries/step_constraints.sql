-- grain: one step that counts in the statistics.
-- question: what touches, sticks, or is at its limit in a step?
-- columns: env run_id episode step pattern_id n_zero_state n_zero_action constraints
--
-- constraints: as in `constraint_sets`, each name once and in alphabetical order: the same set has the same list.
select
    env,
    run_id,
    episode,
    step,
    pattern_id,
    n_zero_state,
    n_zero_action,
    constraints
from step_sets
inner join constraint_sets using (env, set)
order by env, run_id, episode, step
