-- grain: one episode of a run whose partial statistics are not read.
-- question: which rows of `episodes` are to be read from its files?
-- columns: those of the table `episodes` in jacdb.schemas.
select * from stored_episodes
