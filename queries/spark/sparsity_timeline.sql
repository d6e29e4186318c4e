-- By hand: DuckDB's list_transform is Spark's transform.
with sizes as (
    select env, count_if(space = 'tangent') as d_state, count_if(space = 'action') as d_action from axes group by env
)

select
    env,
    run_id,
    episode,
    step,
    n_zero_state / (d_state * d_state) as sparsity_state,
    n_zero_action / nullif(d_state * d_action, 0) as sparsity_action,
    in_contact,
    transform(contacts, c -> c.geom1 || ' - ' || c.geom2) as contacts,
    active
from exact_steps
inner join sizes using (env)
order by env, run_id, episode, step
