-- grain: one kind of constraint of an environment, and all kinds together ('any').
-- question: do contacts (limits, clips, dry friction) explain when the causal graph changes?
-- columns: env kind steps pattern_switches constraint_switches together precision recall
--
-- Of pairs of consecutive steps of an episode. A constraint switch: the constraints of that kind that hold are not the
-- same in both. precision: share of the constraint switches at which the pattern switches; recall: share of the pattern
-- switches at which constraints do. Null where there are none to share.
with numbered as materialized (
    select env, run_id, number, constraint_set(contacts, active) as set from set_counts
),

-- the same pair of sets in several runs is one
counted as (
    select
        switches.env,
        before.set as set_before,
        after.set,
        pattern_switched,
        sum(switches.steps) as steps
    from set_switch_counts as switches
    inner join numbered as before
        on switches.env = before.env and switches.run_id = before.run_id and switches.number_before = before.number
    inner join numbered as after
        on switches.env = after.env and switches.run_id = after.run_id and switches.number_after = after.number
    group by switches.env, set_before, after.set, pattern_switched
),

sets as materialized (from constraint_sets),

pairs as (
    select counted.env, before.constraints as constraints_before, after.constraints, pattern_switched, counted.steps
    from counted
    inner join sets as before on counted.env = before.env and set_before = before.set
    inner join sets as after on counted.env = after.env and counted.set = after.set
),

kinds as (
    select distinct env, split_part(unnest(list_concat(constraints_before, constraints)), ':', 1) as kind from pairs
    union all
    select distinct env, 'any' as kind from pairs
),

judged as (
    select
        pairs.env,
        kind,
        steps,
        pattern_switched,
        list_filter(constraints, lambda c: kind = 'any' or starts_with(c, kind || ':'))
        <> list_filter(constraints_before, lambda c: kind = 'any' or starts_with(c, kind || ':')) as switched
    from pairs
    inner join kinds on pairs.env = kinds.env
)

select
    env,
    kind,
    sum(steps)::bigint as steps,
    coalesce(sum(steps) filter (where pattern_switched), 0)::bigint as pattern_switches,
    coalesce(sum(steps) filter (where switched), 0)::bigint as constraint_switches,
    coalesce(sum(steps) filter (where switched and pattern_switched), 0)::bigint as together,
    together / nullif(constraint_switches, 0) as precision,
    together / nullif(pattern_switches, 0) as recall
from judged
group by env, kind
order by env, kind <> 'any', kind
