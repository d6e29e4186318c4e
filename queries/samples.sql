-- grain: one environment, over all its runs.
-- question: how many steps count in the statistics, and how many are left out?
-- columns: env samples excluded
--
-- excluded counts steps that are not finite: neither zero nor non-zero. Rows by finite differences are neither
-- (`exact_steps`).
select
    env,
    sum(samples)::bigint as samples,
    sum(excluded)::bigint as excluded
from sample_counts
group by env
order by env
