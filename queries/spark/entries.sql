-- By hand, over words: a row for each entry of each Jacobian of each pattern. Others build on it: DuckDB says it in place.
with words as (
    select env, pattern_id, jacobian, d_state, width, counts, posexplode(words) as (place, word) from jacobian_patterns
),

bits as (
    select env, pattern_id, jacobian, d_state, width, counts, place, word, explode(sequence(0, 31)) as bit from words
)

select
    env,
    pattern_id,
    jacobian,
    width,
    counts,
    place * 32 + bit as entry,
    (word >> bit) & 1 = 1 as zero
from bits
where place * 32 + bit < d_state * width
