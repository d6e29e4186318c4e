-- grain: one environment, over all its runs.
-- question: is the causal graph globally sparse? (Table 1 of the paper.) An entry is globally zero when it is zero
--   in every step.
-- columns: env zero_state zero_state_pct zero_action zero_action_pct d_state d_action samples excluded
--
-- Without a finite step, sizes and zeros are null. Where there are no actions, so is the percentage of their zeros.
with always as (
    select
        env,
        d_state,
        d_action,
        bit_count(bit_and(zero_state))::integer as zero_state,
        coalesce(bit_count(bit_and(zero_action)), 0)::integer as zero_action
    from pattern_totals
    group by env, d_state, d_action
)

select
    env,
    zero_state,
    round(100.0 * zero_state / (d_state * d_state), 2) as zero_state_pct,
    zero_action,
    round(100.0 * zero_action / nullif(d_state * d_action, 0), 2) as zero_action_pct,
    d_state,
    d_action,
    samples,
    excluded
from samples
left join always using (env)
order by env
