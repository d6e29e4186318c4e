-- grain: one duration of one state (zero or not) of one Jacobian's entries, of an environment, a part of its runs. Partial:
--   `zero_durations` adds them up.
-- question: for how many consecutive steps does an entry stay zero, and stay non-zero?
-- columns: env run_id jacobian zero duration runs
--
-- runs counts, over all entries, the runs of that duration: `zero_durations` says which ones. The cost is by the step:
-- entries that are zero in the same patterns move together, and are followed together. run_id is empty where the row is
-- of several runs of the dataset.
with followed as (
    select env, run_id, episode, step, pattern_id,
        lag(step) over along as step_before,
        if(step = step_before + 1, lag(pattern_id) over along, null) as before
    from remaining_steps
    where finite
    window along as (partition by env, run_id, episode order by step)
),

spans as (
    select env, run_id, episode, min(step) as first_step, max(step) as last_step,
        max(step) filter (where finite) as last_finite
    from remaining_steps
    group by env, run_id, episode
),

-- where the pattern changes, or is taken up again after steps that do not count: few rows from here on
changes as (
    select * from followed where pattern_id is distinct from before
),

entries as (
    select env, jacobian, pattern_id, zero from jacobian_patterns
),

bits as (
    select env, jacobian, pattern_id, zero, unnest(range(bit_length(zero))) as entry from entries
),

-- which patterns each entry is zero in; entries alike in that are one kind
kinds as (
    select env, jacobian, zero_in, count(*) as n_entries, row_number() over () as kind
    from (
        select env, jacobian, entry,
            list(pattern_id order by pattern_id) filter (where get_bit(zero, entry::integer) = 1) as zero_in
        from bits
        group by env, jacobian, entry
    )
    group by env, jacobian, zero_in
),

kind_bits as (
    select kinds.env, kinds.jacobian, kind, n_entries, entries.pattern_id,
        coalesce(list_contains(zero_in, entries.pattern_id), false) as zero
    from kinds
    inner join entries on kinds.env = entries.env and kinds.jacobian = entries.jacobian
),

-- which kinds a change of pattern makes zero, or ends the zeros of; where nothing is before, it is all
turns as (
    select pairs.env, pairs.before, pairs.pattern_id, after.jacobian, after.kind, after.n_entries, after.zero
    from (select distinct env, before, pattern_id from changes) as pairs
    inner join kind_bits as after on pairs.env = after.env and pairs.pattern_id = after.pattern_id
    left join kind_bits as earlier
        on pairs.env = earlier.env and pairs.before = earlier.pattern_id and after.kind = earlier.kind
    where after.zero is distinct from earlier.zero
),

-- a run lasts until its kind turns again
runs as (
    select changes.env, jacobian, zero, n_entries, first_step, last_step, step as start,
        coalesce(lead(step_before) over along, last_finite) as stop
    from changes
    inner join spans using (env, run_id, episode)
    inner join turns
        on changes.env = turns.env and changes.pattern_id = turns.pattern_id
        and changes.before is not distinct from turns.before
    window along as (partition by changes.env, run_id, episode, kind order by step)
)

select
    env,
    '' as run_id,
    jacobian,
    zero,
    (stop - start + 1)::integer as duration,
    sum(n_entries)::bigint as runs
from runs
where start > first_step or stop < last_step
group by env, jacobian, zero, duration
