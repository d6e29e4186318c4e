-- grain: one control step whose zeros count.
-- question: which steps tell zeros from small numbers?
-- columns: those of `steps`.
--
-- Rows by finite differences (method fd) do not: their noise is above the threshold, and they see no zeros. This is the
-- one place that leaves them out. Steps that are not finite are still here, to be counted as excluded.
select * from $steps where method <> 'fd'
