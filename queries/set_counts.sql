-- grain: one set of constraints that held together in some step of an environment, a part of its runs. Partial:
--   `constraint_sets` adds them up.
-- question: what touches, sticks, or is at its limit at the same time, and in how many steps?
-- columns: env run_id contacts active steps zero_state zero_action
--
-- contacts names the pairs of geoms that touch, active the other constraints, both in the order of the rows. run_id is
-- empty where the row is of several runs.
with held as (
    select env, constraint_set(contacts, active) as set,
        any_value(contacts) as contacts,
        any_value(active) as active,
        count(*) as steps,
        sum(n_zero_state)::bigint as zero_state,
        sum(n_zero_action)::bigint as zero_action
    from remaining_steps
    where finite
    group by env, set
)

select
    env,
    '' as run_id,
    list_transform(contacts, lambda c: struct_pack(geom1 := c.geom1, geom2 := c.geom2)) as contacts,
    active,
    steps,
    zero_state,
    zero_action
from held
