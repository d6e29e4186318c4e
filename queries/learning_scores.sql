-- grain: one score of one model, over some rows.
-- question: how well do models predict, and do they find the zeros?
-- columns: those of the table `learning_scores` in jacdb.schemas.
--
-- Scores whose model has no row in `learning_runs` are left out: a command was stopped before it wrote it.
select *
from stored_learning_scores
where (env, run_id) in (select (env, run_id) from stored_learning_runs)
order by env, run_id, part, "rows", metric, horizon, threshold, "row", col
