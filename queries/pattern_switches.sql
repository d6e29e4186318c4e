-- grain: one step whose zero pattern is not that of the step before.
-- question: when does the causal graph change, by how much, and what began or ended to hold just then?
-- columns: env run_id episode step pattern_before pattern_id changed_state changed_action began ended
--
-- changed_state and changed_action count the entries that became zero or ceased to be. began and ended name the
-- constraints that hold in one of the two steps only; both empty: nothing that jacdb records explains the switch.
with followed as (
    select *,
        lag(pattern_id) over along as pattern_before,
        lag(constraints) over along as constraints_before,
        lag(step) over along as step_before
    from step_constraints
    window along as (partition by env, run_id, episode order by step)
)

select
    followed.env,
    followed.run_id,
    episode,
    step,
    pattern_before,
    followed.pattern_id,
    bit_count(xor(before.zero_state, after.zero_state))::integer as changed_state,
    bit_count(xor(before.zero_action, after.zero_action))::integer as changed_action,
    list_filter(constraints, lambda c: not list_contains(constraints_before, c)) as began,
    list_filter(constraints_before, lambda c: not list_contains(constraints, c)) as ended
from followed
inner join patterns as before
    on followed.env = before.env and followed.run_id = before.run_id and followed.pattern_before = before.pattern_id
inner join patterns as after
    on followed.env = after.env and followed.run_id = after.run_id and followed.pattern_id = after.pattern_id
where followed.pattern_id <> pattern_before and step = step_before + 1
order by followed.env, followed.run_id, episode, step
