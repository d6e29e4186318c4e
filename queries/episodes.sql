-- grain: one episode, complete.
-- question: how long was it, what did it return, how much of it was in contact?
-- columns: those of the table `episodes` in jacdb.schemas.
select * from stored_episodes
