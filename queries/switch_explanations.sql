-- grain: one kind of constraint of an environment, and all kinds together ('any').
-- question: do contacts (limits, clips, dry friction) explain when the causal graph changes?
-- columns: env kind steps pattern_switches constraint_switches together precision recall
--
-- Of pairs of consecutive steps of an episode. A constraint switch: the constraints of that kind that hold are not the
-- same in both. precision: share of the constraint switches at which the pattern switches; recall: share of the pattern
-- switches at which constraints do. Null where there are none to share.
with counted as (
    select env, set_before, set_after, pattern_switched, sum(steps) as steps
    from set_switch_counts
    group by env, set_before, set_after, pattern_switched
),

-- few rows from here on
sets as materialized (
    select distinct env, constraints, constraints_id(constraints) as id from constraint_sets
),

pairs as (
    select
        counted.env,
        before.constraints as constraints_before,
        after.constraints,
        pattern_switched,
        counted.steps
    from counted
    inner join sets as before on counted.env = before.env and counted.set_before = before.id
    inner join sets as after on counted.env = after.env and counted.set_after = after.id
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
