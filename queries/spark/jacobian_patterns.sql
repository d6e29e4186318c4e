-- By hand, over words: see patterns.sql.
with totals as (
    select
        env,
        pattern_id,
        any_value(d_state) as d_state,
        any_value(d_action) as d_action,
        any_value(zero_state_words) as zero_state_words,
        any_value(zero_action_words) as zero_action_words,
        any_value(n_zero_state) as n_zero_state,
        any_value(n_zero_action) as n_zero_action,
        sum(counts) as counts
    from patterns
    group by env, pattern_id
)

select env, pattern_id, 'state' as jacobian, zero_state_words as words, n_zero_state as n_zero, d_state, d_state as width, counts
from totals
union all
select env, pattern_id, 'action' as jacobian, zero_action_words as words, n_zero_action as n_zero, d_state, d_action as width, counts
from totals
