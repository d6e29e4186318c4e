-- grain: one zero pattern of an environment, over all its runs.
-- question: which patterns are there, and in how many steps?
-- columns: env pattern_id d_state d_action zero_state zero_action counts
--
-- A bit is 1 where the entry is zero, row by row. What is worked out of bits costs by the pattern, and not by the run.
with summed as (
    select env, pattern_id,
        any_value(d_state) as d_state,
        any_value(d_action) as d_action,
        any_value(zero_state)::bit as zero_state,
        any_value(zero_action)::bit as zero_action,
        sum(counts)::bigint as counts
    from pattern_counts
    group by env, pattern_id
)

select
    env,
    pattern_id,
    d_state,
    d_action,
    -- stored bytes are padded to whole bytes; a BIT has exactly its entries
    left(zero_state::varchar, d_state * d_state)::bit as zero_state,
    left(zero_action::varchar, d_state * d_action)::bit as zero_action,
    counts
from summed
