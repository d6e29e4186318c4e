-- grain: one step of one episode.
-- question: how does sparsity move along an episode, and what held meanwhile? (Figure 6 of the paper.)
-- columns: env run_id episode step sparsity_state sparsity_action in_contact contacts active
--
-- Sparsity is zeros / entries; null in a step that is not finite, and where there are no entries. contacts names the pairs
-- of geoms that touch.
with sizes as (
    select env, count(*) filter (where space = 'tangent') as d_state, count(*) filter (where space = 'action') as d_action
    from axes
    group by env
)

select
    env,
    run_id,
    episode,
    step,
    n_zero_state / (d_state * d_state) as sparsity_state,
    n_zero_action / nullif(d_state * d_action, 0) as sparsity_action,
    in_contact,
    list_transform(contacts, lambda c: c.geom1 || ' - ' || c.geom2) as contacts,
    active
from exact_steps
inner join sizes using (env)
order by env, run_id, episode, step
