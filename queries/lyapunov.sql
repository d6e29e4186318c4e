-- grain: one span of consecutive steps of an episode: all of them (span 'whole'), or a window of $n_steps ('window').
-- question: how fast do small differences of states grow or shrink, and in how many directions?
-- columns: env run_id episode span first_step last_step seconds largest total kaplan_yorke_dimension contact_share
--   exponents spread
--
-- exponents: the finite-time Lyapunov exponents (1/s), by QR of the products of j_state, in the order of the frame's
-- vectors; largest is the first, and total is their sum: the rate at which volume grows. -inf: j_state is singular in
-- some step, so that a direction shrinks to nothing. spread: how far another start of the frame has each exponent
-- (1/s): what it has not forgotten yet, most of it in the first window. Actions are held, so they say how an open loop
-- behaves. A span never crosses a step that is not finite, or that a condition leaves out; what follows is a span of
-- its own. Steps after the last whole window are in the whole only. Of finished runs: `runs` has the time of a step.
with numbered as (
    select env, run_id, episode, step,
        step - row_number() over (partition by env, run_id, episode order by step) as gap
    from exact_steps
    where finite
),

segments as (
    select env, run_id, episode, min(step) as first_step, max(step) as last_step
    from numbered
    group by env, run_id, episode, gap
),

-- in order: segments that DuckDB passes on together are read together
ordered as (
    select env, run_id, episode, first_step, last_step, ctrl_dt
    from segments
    inner join runs using (env, run_id)
    order by env, run_id, episode, first_step
),

spans as (
    select env, run_id, episode, ctrl_dt,
        unnest(lyapunov_spectra(
            env, run_id, episode, first_step, last_step,
            if($n_steps > 0, $n_steps, error('a window has 1 step or more'))
        )) as spectrum
    from ordered
)

select
    env,
    run_id,
    episode,
    spectrum.span,
    spectrum.first_step,
    spectrum.last_step,
    (spectrum.last_step - spectrum.first_step + 1) * ctrl_dt as seconds,
    spectrum.growth[1] / ctrl_dt as largest,
    list_sum(spectrum.growth) / ctrl_dt as total,
    spectrum.dimension as kaplan_yorke_dimension,
    spectrum.contact_share,
    list_transform(spectrum.growth, lambda one: one / ctrl_dt) as exponents,
    list_transform(spectrum.spread, lambda one: one / ctrl_dt) as spread
from spans
order by env, run_id, episode, spectrum.span, spectrum.first_step
