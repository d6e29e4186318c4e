-- grain: one zero pattern of a run whose partial statistics are not read.
-- question: which rows of `patterns` are to be read from its files?
-- columns: those of the table `patterns` in jacdb.schemas.
select * from stored_patterns
