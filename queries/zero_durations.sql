-- grain: one duration of one state (zero or not) of one Jacobian's entries, of an environment.
-- question: do the local dynamics change sparsely in time? For how many consecutive steps does an entry stay zero, and
--   stay non-zero? (Figure 7 of the paper.)
-- columns: env jacobian zero duration runs mean_duration
--
-- runs counts, over all entries, the runs of that duration; mean_duration is the mean of all runs of that Jacobian and
-- state. A run never crosses episodes, nor a step that is not finite or that a condition leaves out. One that spans
-- its whole episode is left out: the entry never switches in it. The cost is by the step: entries that are zero in the
-- same patterns move together, and are followed together.
with followed as (
    select env, run_id, episode, step, pattern_id,
        lag(pattern_id) over along as before,
        lag(step) over along as step_before
    from steps
    where method <> 'fd'
    window along as (partition by env, run_id, episode order by step)
),

spans as (
    select env, run_id, episode, min(step) as first_step, max(step) as last_step
    from steps
    where method <> 'fd'
    group by env, run_id, episode
),

-- where the pattern changes, or steps are missing: few rows from here on
changes as (
    select env, run_id, episode, step as start, pattern_id, step_before
    from followed
    where pattern_id is distinct from before or step_before is null or step <> step_before + 1
),

segments as (
    select changes.*, spans.first_step, spans.last_step,
        coalesce(lead(changes.step_before) over along, spans.last_step) as stop
    from changes
    inner join spans using (env, run_id, episode)
    window along as (partition by changes.env, changes.run_id, changes.episode order by changes.start)
),

entries as (
    select distinct env, 'state' as jacobian, pattern_id, zero_state as zero from patterns
    union all
    select distinct env, 'action' as jacobian, pattern_id, zero_action as zero from patterns
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

marked as (
    select segments.*, kind_bits.jacobian, kind_bits.kind, kind_bits.n_entries, kind_bits.zero,
        lag(kind_bits.zero) over along is distinct from kind_bits.zero
        or lag(segments.stop) over along is distinct from segments.start - 1 as begins
    from segments
    inner join kind_bits on segments.env = kind_bits.env and segments.pattern_id = kind_bits.pattern_id
    window along as (
        partition by segments.env, segments.run_id, segments.episode, kind_bits.jacobian, kind_bits.kind
        order by segments.start
    )
),

numbered as (
    select *, sum(begins::integer) over (
        partition by env, run_id, episode, jacobian, kind order by start
    ) as run
    from marked
),

runs as (
    select env, jacobian, zero, n_entries, max(stop) - min(start) + 1 as duration
    from numbered
    group by env, run_id, episode, jacobian, kind, run, zero, n_entries, first_step, last_step
    having not (min(start) = first_step and max(stop) = last_step)
)

select
    env,
    jacobian,
    zero,
    duration::integer as duration,
    sum(n_entries)::bigint as runs,
    sum(sum(n_entries * duration)) over same / sum(sum(n_entries)) over same as mean_duration
from runs
group by env, jacobian, zero, duration
window same as (partition by env, jacobian, zero)
order by env, jacobian desc, zero, duration
