-- grain: one dimension of one space of a run. Partial: `axes` takes one run's for each environment.
-- question: what does a run call row 7 of the Jacobian?
-- columns: env run_id space index name joint body quantity unit
select
    env,
    run_id,
    space,
    "index",
    name,
    joint,
    body,
    quantity,
    unit
from remaining_axes
