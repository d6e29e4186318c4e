-- grain: one step that counts in the statistics.
-- question: what touches, sticks, or is at its limit in a step?
-- columns: env run_id episode step pattern_id n_zero_state n_zero_action constraints
--
-- constraints: 'contact:geom1 - geom2' for each pair of geoms that touch, then what `active` names ('joint_limit:knee'),
-- in alphabetical order: equal lists are equal sets.
select
    env,
    run_id,
    episode,
    step,
    pattern_id,
    n_zero_state,
    n_zero_action,
    list_sort(
        list_concat(list_transform(contacts, lambda c: 'contact:' || c.geom1 || ' - ' || c.geom2), active)
    ) as constraints
from steps
where finite and method <> 'fd'
