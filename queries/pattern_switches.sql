-- grain: one step whose zero pattern is not that of the step before.
-- question: when does the causal graph change, by how much, and what began or ended to hold just then?
-- columns: env run_id episode step pattern_before pattern_id changed_state changed_action began ended
--
-- changed_state and changed_action count the entries that became zero or ceased to be. began and ended name the
-- constraints that hold in one of the two steps only; both empty: nothing that jacdb records explains the switch.
with followed as (
    select env, run_id, episode, step, pattern_id, set,
        lag(pattern_id) over along as pattern_before,
        lag(set) over along as set_before,
        lag(step) over along as step_before
    from step_sets
    window along as (partition by env, run_id, episode order by step)
),

switches as materialized (
    select * from followed where pattern_id <> pattern_before and step = step_before + 1
),

-- few rows from here on: what a change of pattern is, and what a change of constraints, once each
bits as materialized (from patterns),

first as materialized (
    select pairs.*, zero_state, zero_action
    from (select distinct env, run_id, pattern_before, pattern_id from switches) as pairs
    inner join bits on pairs.env = bits.env and pairs.run_id = bits.run_id and pattern_before = bits.pattern_id
),

turned as (
    select
        first.env,
        first.run_id,
        pattern_before,
        first.pattern_id,
        bit_count(xor(first.zero_state, bits.zero_state))::integer as changed_state,
        coalesce(bit_count(xor(first.zero_action, bits.zero_action)), 0)::integer as changed_action
    from first
    inner join bits using (env, run_id, pattern_id)
),

sets as materialized (from constraint_sets),

switched as (
    select
        pairs.*,
        list_filter(after.constraints, lambda c: not list_contains(before.constraints, c)) as began,
        list_filter(before.constraints, lambda c: not list_contains(after.constraints, c)) as ended
    from (select distinct env, set_before, set from switches) as pairs
    inner join sets as before on pairs.env = before.env and set_before = before.set
    inner join sets as after on pairs.env = after.env and pairs.set = after.set
)

select
    env,
    run_id,
    episode,
    step,
    pattern_before,
    pattern_id,
    changed_state,
    changed_action,
    began,
    ended
from switches
inner join turned using (env, run_id, pattern_before, pattern_id)
inner join switched using (env, set_before, set)
order by env, run_id, episode, step
