-- By hand, over words: Spark has no bit strings, and counts no bits of bytes. Words in place of zero_state and zero_action;
-- entry i is bit i % 32, counted from the lowest, of word i div 32.
with bits as (
    -- a run that was taken up again may have stored a pattern twice
    select
        env,
        run_id,
        pattern_id,
        any_value(d_state) as d_state,
        any_value(d_action) as d_action,
        any_value(zero_state_words) as zero_state_words,
        any_value(zero_action_words) as zero_action_words
    from stored_patterns
    group by env, run_id, pattern_id
),

shown as (
    select
        env,
        run_id,
        pattern_id,
        any_value(n_zero_state) as n_zero_state,
        any_value(n_zero_action) as n_zero_action,
        count(*) as counts
    from exact_steps
    where finite
    group by env, run_id, pattern_id
)

select
    env,
    run_id,
    pattern_id,
    d_state,
    d_action,
    zero_state_words,
    zero_action_words,
    n_zero_state,
    n_zero_action,
    counts
from shown
inner join bits using (env, run_id, pattern_id)
