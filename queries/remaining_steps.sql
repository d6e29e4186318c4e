-- grain: one control step whose zeros count, of a run whose partial statistics are not read.
-- question: which steps are to be counted one by one?
-- columns: those of `steps`.
--
-- All exact steps under a condition, and where no run has partial statistics (`partials`). jacdb.dataset.catalog lays
-- over it the files of those runs that have none.
select * from exact_steps
