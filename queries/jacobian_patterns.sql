-- grain: one Jacobian of one zero pattern of an environment.
-- question: which of its entries are zero, and in how many steps?
-- columns: env pattern_id jacobian zero n_zero d_state width counts
--
-- `pattern_totals`, a row for each of its two matrices: jacobian is 'state' (d next x / d x) or 'action' (d next x / d
-- action); zero has d_state rows of width bits, entry // width is the row and entry % width the column.
select
    env,
    pattern_id,
    jacobians.jacobian,
    if(jacobian = 'state', zero_state, zero_action) as zero,
    bit_count(if(jacobian = 'state', zero_state, zero_action))::integer as n_zero,
    d_state,
    if(jacobian = 'state', d_state, d_action) as width,
    counts
from pattern_totals
cross join (values ('state'), ('action')) as jacobians (jacobian)
