-- By hand, over words: DuckDB's bit_and of bit strings is Spark's bool_and of entries.
with totals as (
    select env, jacobian, entry, bool_and(zero) as zero from entries group by env, jacobian, entry
),

always as (
    select
        env,
        count_if(zero and jacobian = 'state') as zero_state,
        count_if(zero and jacobian = 'action') as zero_action
    from totals
    group by env
),

sizes as (
    select distinct env, d_state, d_action from patterns
)

select
    env,
    cast(zero_state as int) as zero_state,
    round(100D * zero_state / (d_state * d_state), 2) as zero_state_pct,
    cast(zero_action as int) as zero_action,
    round(100D * zero_action / nullif(d_state * d_action, 0), 2) as zero_action_pct,
    d_state,
    d_action,
    samples,
    excluded
from samples
left join sizes using (env)
left join always using (env)
order by env
