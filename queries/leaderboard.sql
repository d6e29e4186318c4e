-- grain: one model with one configuration on one benchmark: all its seeds together.
-- question: which models predict best, which find the zeros, and what did they cost? (The leaderboard.)
-- columns: env model loss rank auroc_mean f1_mean prediction_mse_1_mean jacobian_mse_mean relative_sparsity_mean kind
-- weight seeds benchmark auroc_std auroc_near_switch_mean auroc_near_switch_std auprc_mean auprc_std f1_std shd_mean
-- shd_std body_auroc_mean body_auroc_std switch_f1_mean switch_f1_std global_auroc_mean global_auroc_std
-- prediction_mse_1_std prediction_mse_10_mean prediction_mse_10_std prediction_mse_50_mean prediction_mse_50_std
-- jacobian_mse_std relative_sparsity_std n_parameters steps seconds device policy n_train n_test n_switching
-- configuration
--
-- Only rows with an equal benchmark compare: it is a hash of rows, their split and the rules. rank counts within it, by
-- auroc_mean, then by prediction_mse_1_mean. Scores are of all rows of the test part; auroc_near_switch is of those
-- close to a switch, prediction_mse_10 of ten steps, relative_sparsity at 1e-6. _mean and _std are over seeds; _std is
-- the sample standard deviation, null of one seed, or where a score is infinite. kind: trained, baseline, file or
-- function. steps and seconds are sums over seeds: what the row cost. n_switching: how many entries auroc is the mean of.
with models as (
    select
        *,
        case
            when seed is not null then 'trained'
            when (configuration ->> 'baseline') is not null then 'baseline'
            when (configuration ->> 'file') is not null then 'file'
            else 'function'
        end as kind
    from learning_runs
),

named as (
    select
        env,
        run_id,
        case
            when metric = 'prediction_mse' then concat(metric, '_', horizon)
            when rows = 'near_switch' then 'auroc_near_switch'
            else metric
        end as score,
        value
    from learning_scores
    where
        part = 'test'
        and (rows = 'all' or (rows = 'near_switch' and metric = 'auroc'))
        and (metric <> 'relative_sparsity' or threshold = 1e-6)
),

over_seeds as (
    select
        env,
        benchmark,
        policy,
        configuration,
        score,
        -- in order: a sum's last digits, and so the order of rows, would depend on which thread is first
        avg(value order by value) as mean,
        -- of an infinite number there is none
        if(bool_and(isfinite(value)), stddev_samp(value order by value) filter (where isfinite(value)), null) as deviation
    from models
    inner join named using (env, run_id)
    group by all
),

switching as (
    select env, run_id, n as n_switching
    from learning_scores
    where part = 'test' and rows = 'all' and metric = 'auroc'
),

scored as (
    from over_seeds
    pivot (
        first(mean) as mean,
        first(deviation) as std
        for score in (
            'auroc', 'auroc_near_switch', 'auprc', 'f1', 'shd', 'body_auroc', 'switch_f1', 'global_auroc',
            'prediction_mse_1', 'prediction_mse_10', 'prediction_mse_50', 'jacobian_mse', 'relative_sparsity'
        )
    )
),

costs as (
    select
        env,
        benchmark,
        policy,
        configuration,
        kind,
        model,
        loss,
        weight,
        count(seed) as seeds,
        max(n_parameters) as n_parameters,
        sum(steps)::bigint as steps,
        sum(seconds order by seconds) as seconds,
        string_agg(distinct device, ', ' order by device) as device,
        max(n_train) as n_train,
        max(n_test) as n_test,
        max(n_switching) as n_switching
    from models
    left join switching using (env, run_id)
    group by all
)

select
    costs.env,
    model,
    loss,
    rank() over (
        partition by costs.env, costs.benchmark
        -- NaN, which is no score, would be above all numbers
        order by nullif(auroc_mean, 'nan'::double) desc nulls last, prediction_mse_1_mean nulls last
    ) as rank,
    auroc_mean,
    f1_mean,
    prediction_mse_1_mean,
    jacobian_mse_mean,
    relative_sparsity_mean,
    kind,
    weight,
    seeds,
    costs.benchmark,
    scored.* exclude (
        env, benchmark, policy, configuration,
        auroc_mean, f1_mean, prediction_mse_1_mean, jacobian_mse_mean, relative_sparsity_mean
    ),
    n_parameters,
    steps,
    seconds,
    device,
    costs.policy,
    n_train,
    n_test,
    n_switching,
    costs.configuration
from costs
inner join scored
    on
        costs.env = scored.env
        and costs.benchmark = scored.benchmark
        and costs.policy is not distinct from scored.policy
        and costs.configuration = scored.configuration
order by costs.env, costs.benchmark, rank, model, costs.configuration
