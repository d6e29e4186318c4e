-- grain: one kind of constraint of an environment, and all kinds together ('any'), of a part of its runs. Partial:
--   `switch_explanations` adds them up.
-- question: how often do the constraints of that kind change from one step to the next, and the zero pattern with them?
-- columns: env run_id kind steps pattern_switches constraint_switches together
--
-- Of pairs of consecutive steps of an episode. run_id is empty where the row is of several runs.
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
counted as materialized (
    select env, set_before, set, pattern_switched, count(*) as steps
    from followed
    where consecutive
    group by all
),

sets as materialized (
    select env, constraint_set(contacts, active) as set, constraint_names(contacts, active) as names
    from set_counts
    where run_id = ''
),

kinds as (
    select distinct env, split_part(unnest(names), ':', 1) as kind from sets
    union all
    select distinct env, 'any' as kind from sets
),

-- what a set has of a kind, once a set: pairs of sets are many
parts as materialized (
    select
        sets.env,
        set,
        kind,
        list_filter(names, lambda c: kind = 'any' or starts_with(c, kind || ':')) as held,
        hash(held) as part,
        kind = 'any' or len(held) > 0 as has_it
    from sets
    inner join kinds on sets.env = kinds.env
),

-- materialized, or all sets before may be paired with all sets after
from_before as materialized (
    select counted.env, counted.set, pattern_switched, steps, kind, part, has_it
    from counted
    inner join parts on counted.env = parts.env and counted.set_before = parts.set
)

select
    before.env,
    '' as run_id,
    before.kind,
    sum(steps)::bigint as steps,
    coalesce(sum(steps) filter (where pattern_switched), 0)::bigint as pattern_switches,
    coalesce(sum(steps) filter (where before.part <> after.part), 0)::bigint as constraint_switches,
    coalesce(sum(steps) filter (where before.part <> after.part and pattern_switched), 0)::bigint as together
from from_before as before
inner join parts as after on before.env = after.env and before.set = after.set and before.kind = after.kind
group by before.env, before.kind
having bool_or(before.has_it or after.has_it)  -- in some pair
