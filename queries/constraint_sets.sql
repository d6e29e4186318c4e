-- grain: one number of a set of constraints that held together in some step of an environment.
-- question: what touches, sticks, or is at its limit at the same time, and in how many steps?
-- columns: env set constraints steps zero_state zero_action
--
-- constraints: 'contact:geom1 - geom2' for each pair of geoms that touch, then what `active` names ('joint_limit:knee'),
-- in alphabetical order, each once. A set may have several numbers, and a row for each: rows name what holds in several
-- orders, and those of before 1.0 a joint once for each of its dofs; add up over `constraints` to have each set once.
-- zero_state and zero_action: zeros of all those steps together.
-- Names are put together once a set, and not once a step.
select
    env,
    constraint_set(contacts, active) as set,
    constraint_names(any_value(contacts), any_value(active)) as constraints,
    sum(steps)::bigint as steps,
    sum(zero_state)::bigint as zero_state,
    sum(zero_action)::bigint as zero_action
from set_counts
group by env, set
order by env, constraints, set
