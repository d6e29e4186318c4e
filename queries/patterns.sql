-- grain: one zero pattern of one run, among the steps that show it.
-- question: which patterns are there, and how often does each occur?
-- columns: env run_id pattern_id d_state d_action zero_state zero_action n_zero_state n_zero_action counts
--
-- A bit is 1 where the entry is zero, row by row. Counts come from `steps`, so that they are right at every moment
-- of a run, and follow a condition on steps. Rows by finite differences are left out (`exact_steps`).
with bits as (
    -- a run that was taken up again may have stored a pattern twice
    select env, run_id, pattern_id,
        any_value(d_state) as d_state,
        any_value(d_action) as d_action,
        any_value(zero_state) as zero_state,
        any_value(zero_action) as zero_action
    from stored_patterns
    group by env, run_id, pattern_id
),

shown as (
    select env, run_id, pattern_id, count(*) as counts
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
    -- stored bytes are padded to whole bytes; a BIT has exactly its entries
    left(zero_state::bit::varchar, d_state * d_state)::bit as zero_state,
    left(zero_action::bit::varchar, d_state * d_action)::bit as zero_action,
    bit_count(zero_state::bit)::integer as n_zero_state,
    bit_count(zero_action::bit)::integer as n_zero_action,
    counts
from shown
inner join bits using (env, run_id, pattern_id)
