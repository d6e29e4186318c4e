-- grain: one control step of an environment.
-- question: what happened, and how did the next state depend on the present one?
-- columns: those of the table `steps` in jacdb.schemas.
select * from stored_steps
