-- grain: one version of a policy with one noise in an environment, over its runs.
-- question: what did the episodes return, and in what share of them was the task done?
-- columns: env policy version noise episodes steps mean std success
--
-- version: of a policy that was trained or written, or of a recording: how the hash of its network or file begins; null of
-- other policies. Two networks may have one name.
-- noise: white, pink or beta = b, by the exponent of its spectrum, and its scale where that is not 1; none where the
-- policy acts without, - where its configuration does not say. episodes: those with a return (total_reward), once each:
-- of several runs of a trajectory one counts, an exact one before one by finite differences, then the one of most rows.
-- steps: of these, in the mean. mean and std: of their returns.
-- success: the share of episodes whose last step earns what only the task's end does; null where no rule says so.
-- PandaPickCube: 11 or more. Of at most 12.55 a step (`default_config` in Playground 0.2's pick.py) 4.55 are for other
-- things than where the cube is, so that it is 4.4 cm from its target at most: 8 (1 - tanh(5 * 0.9 * 0.044)) = 6.45.
with noises as (
    -- by text: DuckDB in a browser would load its functions of JSON from the network
    select env, run_id, method = 'fd' as by_fd,
        try_cast(regexp_extract(policy_config, '"beta": ?([-+.0-9e]+)', 1) as double) as beta,
        nullif(regexp_extract(policy_config, '"(network|sha256)": ?"([0-9a-f]{8})', 2), '') as version,
        coalesce(try_cast(regexp_extract(policy_config, '"scale": ?([-+.0-9e]+)', 1) as double), 1) as scale,
        policy = 'zero' or regexp_matches(policy_config, '"deterministic": ?true') as silent
    from runs
),

ends as (
    -- NaN would be above all numbers
    select env, run_id, episode, max_by(reward, step) as last_reward, last_reward >= 11 and not isnan(last_reward) as success
    from stored_steps  -- of whole episodes: a condition on steps filters none of the other columns either
    where env = 'PandaPickCube'
    group by env, run_id, episode
),

labelled as (
    select env, policy, version, n_steps, total_reward, success,
        case
            when silent or scale = 0 then 'none'
            when beta is null then '-'
            when beta = 0 then 'white'
            when beta = 1 then 'pink'
            else printf('beta = %g', beta)
        end as color,
        color || if(color in ('none', '-') or scale = 1, '', printf(', scale %g', scale)) as noise
    from episodes
    inner join noises using (env, run_id)
    left join ends using (env, run_id, episode)
    qualify row_number() over (partition by env, trajectory_id order by by_fd, n_steps - n_excluded desc, run_id) = 1
)

select
    env,
    policy,
    version,
    noise,
    count(total_reward) as episodes,
    avg(n_steps) filter (where total_reward is not null) as steps,
    avg(total_reward) as mean,
    stddev_samp(total_reward) as std,
    avg(success::int) as success
from labelled
group by env, policy, version, noise
order by env, policy nulls last, version nulls first, noise
