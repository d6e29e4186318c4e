-- grain: one step that counts in the statistics.
-- question: which set of constraints holds in a step, by a number that is quick to compare?
-- columns: env run_id episode step pattern_id n_zero_state n_zero_action contacts active set
--
-- set: a hash of the names of what touches and of `active`, as they stand. What it says is in `constraint_sets`; one set
-- may have several numbers, for its names may stand in several orders, or twice.
select
    env,
    run_id,
    episode,
    step,
    pattern_id,
    n_zero_state,
    n_zero_action,
    contacts,
    active,
    constraint_set(contacts, active) as set
from exact_steps
where finite
