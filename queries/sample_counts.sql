-- grain: one environment, a part of its runs. Partial: `samples` adds them up.
-- question: how many steps count in the statistics, and how many are left out?
-- columns: env run_id samples excluded
--
-- run_id is empty where the row is of several runs together.
select
    env,
    '' as run_id,
    count(*) filter (where finite) as samples,
    count(*) filter (where not finite) as excluded
from remaining_steps
group by env
