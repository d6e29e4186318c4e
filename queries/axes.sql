-- grain: one dimension of one space (tangent, state, action) of an environment.
-- question: what is row 7 of the Jacobian?
-- columns: env space index name joint body quantity unit
select distinct env, space, "index", name, joint, body, quantity, unit
from stored_axes
