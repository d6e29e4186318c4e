-- grain: one policy with one noise in an environment, over its runs.
-- question: what did the episodes return, and in what share of them was the task done?
-- columns: env policy noise episodes steps mean std success
--
-- noise: white, pink or beta = b, by the exponent of its spectrum; none where the policy acts without, - where its
-- configuration does not say. steps: of an episode, in the mean. mean and std: of the episodes' returns (total_reward).
-- success: the share of episodes whose last step earns what only the task's end does; null where no rule says so.
-- PandaPickCube: 11 or more. Of at most 12.55 a step (`default_config` in Playground 0.2's pick.py) 4.55 are for other
-- things than where the cube is, so that it is 4.4 cm from its target at most: 8 (1 - tanh(5 * 0.9 * 0.044)) = 6.45.
with noises as (
    -- by text: DuckDB in a browser would load its functions of JSON from the network
    select env, run_id,
        regexp_extract(policy_config, '"beta": ?([-+.0-9e]+)', 1) as beta,
        regexp_matches(policy_config, '"deterministic": ?true') as silent
    from runs
),

ends as (
    select env, run_id, episode, max_by(reward, step) >= 11 as success
    from steps
    where env = 'PandaPickCube'
    group by env, run_id, episode
),

labelled as (
    select env, policy, n_steps, total_reward, success,
        case
            when silent then 'none'
            when beta = '' then '-'
            when beta::double = 0 then 'white'
            when beta::double = 1 then 'pink'
            else printf('beta = %g', beta::double)
        end as noise
    from episodes
    inner join noises using (env, run_id)
    left join ends using (env, run_id, episode)
)

select
    env,
    policy,
    noise,
    count(*) as episodes,
    avg(n_steps) as steps,
    avg(total_reward) as mean,
    stddev_samp(total_reward) as std,
    avg(success::int) as success
from labelled
group by env, policy, noise
order by env, policy nulls last, noise
