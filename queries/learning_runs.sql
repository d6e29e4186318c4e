-- grain: one model of the dynamics on one benchmark.
-- question: which models were trained or scored on the rows, with which settings, and what did each cost?
-- columns: those of the table `learning_runs` in jacdb.schemas.
select *
from stored_learning_runs
order by env, run_id
