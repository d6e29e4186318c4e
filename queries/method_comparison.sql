-- grain: one pair of methods, for one Jacobian of an environment.
-- question: how far do two methods differ on the same states, and do they see the same zeros?
-- columns: env method other jacobian steps same_zeros difference_median difference_p90 difference_max apart
--
-- Runs of the same policy, seed and model by two methods are compared step by step, in the episodes that begin with the
-- same state and action: of another length, noise is another. difference: norm of the difference over the norm of the
-- first method's matrix (Frobenius). apart: steps left out because the two runs stood in different states or acted
-- differently there: rounding grows along an episode. same_zeros is null against finite differences, which see no zeros.
with pairs as (
    select one.env, one.run_id, one.method, two.run_id as other_run_id, two.method as other
    from runs as one
    inner join runs as two using (env, policy_config, seed, model)
    where
        list_position($methods, one.method) < list_position($methods, two.method)
),

-- of all steps, whatever the condition on them: an episode is another from its first step on
firsts as (
    select env, run_id, episode, list_concat(state, action) as point
    from stored_steps
    where step = 0 and (run_id in (select run_id from pairs) or run_id in (select other_run_id from pairs))
),

alike as (
    select pairs.*, one.episode
    from pairs
    inner join firsts as one on pairs.env = one.env and pairs.run_id = one.run_id
    inner join firsts as two
        on pairs.env = two.env and pairs.other_run_id = two.run_id and one.episode = two.episode
    where list_distance(one.point, two.point) <= 1e-9 * (1 + sqrt(list_inner_product(one.point, one.point)))
),

points as (
    select *, list_concat(state, action) as point from steps
),

-- only runs that are compared are read: matrices are large
matched as (
    select
        alike.env,
        alike.method,
        other,
        list_distance(one.point, two.point) <= 1e-9 * (1 + sqrt(list_inner_product(one.point, one.point)))
            as same_step,
        if(other = 'fd', null, one.pattern_id = two.pattern_id) as same_zeros,
        flatten(one.j_state)::double[] as state_one,
        flatten(two.j_state)::double[] as state_two,
        flatten(one.j_action)::double[] as action_one,
        flatten(two.j_action)::double[] as action_two
    from alike
    inner join (select * from points where run_id in (select run_id from alike)) as one
        on alike.env = one.env and alike.run_id = one.run_id and alike.episode = one.episode
    inner join (select * from points where run_id in (select other_run_id from alike)) as two
        on alike.env = two.env and alike.other_run_id = two.run_id and one.episode = two.episode and one.step = two.step
    where one.finite and two.finite
),

differences as (
    select env, method, other, 'state' as jacobian, same_step, same_zeros,
        list_distance(state_one, state_two) / sqrt(list_inner_product(state_one, state_one)) as difference
    from matched
    union all
    select env, method, other, 'action' as jacobian, same_step, same_zeros,
        list_distance(action_one, action_two) / sqrt(list_inner_product(action_one, action_one)) as difference
    from matched
)

select
    env,
    method,
    other,
    jacobian,
    count(*) filter (where same_step) as steps,
    avg(same_zeros::integer) filter (where same_step) as same_zeros,
    quantile_cont(difference, 0.5) filter (where same_step) as difference_median,
    quantile_cont(difference, 0.9) filter (where same_step) as difference_p90,
    max(difference) filter (where same_step) as difference_max,
    count(*) filter (where not same_step) as apart
from differences
group by env, method, other, jacobian
order by env, method, other, jacobian desc
