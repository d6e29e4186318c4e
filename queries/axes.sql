-- grain: one dimension of one space (tangent, state, action) of an environment.
-- question: what is row 7 of the Jacobian?
-- columns: env space index name joint body quantity unit
select distinct env, space, "index", name, joint, body, quantity, unit
from stored_axes
order by env, case space when 'tangent' then 0 when 'state' then 1 else 2 end, "index"
