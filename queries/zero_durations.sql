-- grain: one duration of one state (zero or not) of one Jacobian's entries, of an environment.
-- question: do the local dynamics change sparsely in time? For how many consecutive steps does an entry stay zero, and
--   stay non-zero? (Figure 7 of the paper.)
-- columns: env jacobian zero duration runs mean_duration
--
-- runs counts, over all entries, the runs of that duration; mean_duration is the mean of all runs of that Jacobian and
-- state. A run never crosses episodes, nor a step that is not finite or that a condition leaves out. One that spans
-- its whole episode is left out: the entry never switches in it.
select
    env,
    jacobian,
    zero,
    duration,
    sum(runs)::bigint as runs,
    sum(sum(runs * duration)) over same / sum(sum(runs)) over same as mean_duration
from duration_counts
group by env, jacobian, zero, duration
window same as (partition by env, jacobian, zero)
order by env, jacobian desc, zero, duration
