-- By hand: DuckDB's text is laid over a table that Python names.
select * from steps where method <> 'fd'
