-- grain: one zero pattern of one run, among the steps that show it.
-- question: which patterns are there, and how often does each occur?
-- columns: env run_id pattern_id d_state d_action zero_state zero_action n_zero_state n_zero_action counts
--
-- A bit is 1 where the entry is zero, row by row; zero_action is null where there are no actions. Counts are those of steps,
-- right at every moment of a run, and follow a condition on steps (`pattern_counts`). Rows by finite differences are left
-- out (`exact_steps`).
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
    coalesce(bit_count(zero_action::bit), 0)::integer as n_zero_action,
    counts
from pattern_counts
order by env, run_id, pattern_id
