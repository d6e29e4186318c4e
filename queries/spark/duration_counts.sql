-- By hand, over words. The cost is by the step where patterns change: entries that are zero in the same patterns are of one
-- kind, and are followed together.
with numbered as (
    select
        env,
        run_id,
        episode,
        step,
        pattern_id,
        lag(step) over along as step_before,
        lag(pattern_id) over along as pattern_before
    from exact_steps
    where finite
    window along as (partition by env, run_id, episode order by step)
),

followed as (
    select *, if(step = step_before + 1, pattern_before, null) as before from numbered
),

spans as (
    select
        env,
        run_id,
        episode,
        min(step) as first_step,
        max(step) as last_step,
        max(step) filter (where finite) as last_finite
    from exact_steps
    group by env, run_id, episode
),

-- where the pattern changes, or is taken up again after steps that do not count: few rows from here on
changes as (
    select * from followed where pattern_id is distinct from before
),

-- which patterns each entry is zero in; entries alike in that are one kind
places as (
    select env, jacobian, entry, sort_array(collect_list(pattern_id) filter (where zero)) as zero_in
    from entries
    group by env, jacobian, entry
),

kinds as (
    select env, jacobian, zero_in, min(entry) as kind, count(*) as n_entries
    from places
    group by env, jacobian, zero_in
),

kind_bits as (
    select
        kinds.env,
        kinds.jacobian,
        kinds.kind,
        kinds.n_entries,
        jacobian_patterns.pattern_id,
        array_contains(kinds.zero_in, jacobian_patterns.pattern_id) as zero
    from kinds
    inner join jacobian_patterns on kinds.env = jacobian_patterns.env and kinds.jacobian = jacobian_patterns.jacobian
),

pairs as (
    select distinct env, before, pattern_id from changes
),

-- which kinds a change of pattern makes zero, or ends the zeros of; where nothing is before, it is all
turns as (
    select pairs.env, pairs.before, pairs.pattern_id, later.jacobian, later.kind, later.n_entries, later.zero
    from pairs
    inner join kind_bits as later on pairs.env = later.env and pairs.pattern_id = later.pattern_id
    left join kind_bits as earlier
        on
            pairs.env = earlier.env and pairs.before = earlier.pattern_id
            and later.jacobian = earlier.jacobian and later.kind = earlier.kind
    where later.zero is distinct from earlier.zero
),

-- a run lasts until its kind turns again
followed_kinds as (
    select
        changes.env,
        turns.jacobian,
        turns.zero,
        turns.n_entries,
        spans.first_step,
        spans.last_step,
        changes.step as start,
        coalesce(lead(changes.step_before) over along, spans.last_finite) as stop
    from changes
    inner join spans
        on changes.env = spans.env and changes.run_id = spans.run_id and changes.episode = spans.episode
    inner join turns
        on
            changes.env = turns.env and changes.pattern_id = turns.pattern_id
            and changes.before is not distinct from turns.before
    window along as (
        partition by changes.env, changes.run_id, changes.episode, turns.jacobian, turns.kind order by changes.step
    )
)

select
    env,
    jacobian,
    zero,
    cast(stop - start + 1 as int) as duration,
    sum(n_entries) as runs
from followed_kinds
where start > first_step or stop < last_step
group by env, jacobian, zero, stop - start
