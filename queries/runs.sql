-- grain: one finished run of ingest.
-- question: where do the rows come from: settings, versions, counts?
-- columns: those of the table `runs` in jacdb.schemas.
select * from stored_runs
