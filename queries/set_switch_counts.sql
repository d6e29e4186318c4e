-- grain: one pair of sets of constraints that held in consecutive steps of an episode, and whether the zero pattern
--   changed with them; of an environment, a part of its runs. Partial: `switch_explanations` adds them up.
-- question: how often does one set of constraints follow another?
-- columns: env run_id set_before set_after pattern_switched steps
--
-- set_before and set_after are numbers of the constraints' names, the same in every run (`constraints_id`). run_id is empty
-- where the row is of several runs.
with hashed as (
    select env, run_id, episode, step, pattern_id, constraint_set(contacts, active) as set from remaining_steps where finite
),

followed as (
    select env, set,
        lag(set) over along as set_before,
        pattern_id <> lag(pattern_id) over along as pattern_switched,
        step = lag(step) over along + 1 as consecutive
    from hashed
    window along as (partition by env, run_id, episode order by step)
),

-- few rows from here on
counted as (
    select env, set_before, set, pattern_switched, count(*) as steps
    from followed
    where consecutive
    group by all
),

-- one number for a set, in whatever order its names stand
named as materialized (
    select
        env,
        constraint_set(contacts, active) as set,
        constraints_id(constraint_names(contacts, active)) as id
    from set_counts
    where run_id = ''
)

select
    counted.env,
    '' as run_id,
    before.id as set_before,
    after.id as set_after,
    pattern_switched,
    sum(counted.steps)::bigint as steps
from counted
inner join named as before on counted.env = before.env and counted.set_before = before.set
inner join named as after on counted.env = after.env and counted.set = after.set
group by counted.env, before.id, after.id, pattern_switched
