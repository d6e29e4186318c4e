-- grain: one dimension of one space of a run whose partial statistics are not read.
-- question: which rows of `axes` are to be read from its files?
-- columns: those of the table `axes` in jacdb.schemas.
select * from stored_axes
