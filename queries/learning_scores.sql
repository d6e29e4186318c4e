-- grain: one score of one model, over some rows.
-- question: how well do models predict, and do they find the zeros?
-- columns: those of the table `learning_scores` in jacdb.schemas.
select * from stored_learning_scores
