-- grain: one kind of constraint of an environment, and all kinds together ('any').
-- question: do contacts (limits, clips, dry friction) explain when the causal graph changes?
-- columns: env kind steps pattern_switches constraint_switches together precision recall
--
-- Of pairs of consecutive steps of an episode. A constraint switch: the constraints of that kind that hold are not the
-- same in both. precision: share of the constraint switches at which the pattern switches; recall: share of the pattern
-- switches at which constraints do. Null where there are none to share.
with totals as (
    select env, sum(steps) as steps, sum(pattern_switches) as pattern_switches
    from switch_counts
    where kind = 'any'
    group by env
),

summed as (
    select env, kind, sum(constraint_switches) as constraint_switches, sum(together) as together
    from switch_counts
    group by env, kind
)

select
    env,
    kind,
    steps::bigint as steps,
    pattern_switches::bigint as pattern_switches,
    constraint_switches::bigint as constraint_switches,
    summed.together::bigint as together,
    summed.together / nullif(summed.constraint_switches, 0) as precision,
    summed.together / nullif(totals.pattern_switches, 0) as recall
from summed
inner join totals using (env)
order by env, kind <> 'any', kind
