-- grain: one zero pattern of one run. Partial: `patterns` shows them, `pattern_totals` adds them up.
-- question: which patterns are there, and how often does each occur?
-- columns: env run_id pattern_id d_state d_action zero_state zero_action counts
--
-- zero_state and zero_action are bytes, as stored. Counts come from `steps`, so that they are right at every moment of a
-- run, and follow a condition on steps.
with bits as (
    -- a run that was taken up again may have stored a pattern twice
    select env, run_id, pattern_id,
        any_value(d_state) as d_state,
        any_value(d_action) as d_action,
        any_value(zero_state) as zero_state,
        any_value(zero_action) as zero_action
    from remaining_patterns
    group by env, run_id, pattern_id
),

shown as (
    select env, run_id, pattern_id, count(*) as counts
    from remaining_steps
    where finite
    group by env, run_id, pattern_id
)

select
    env,
    run_id,
    pattern_id,
    d_state,
    d_action,
    zero_state,
    zero_action,
    counts
from shown
inner join bits using (env, run_id, pattern_id)
