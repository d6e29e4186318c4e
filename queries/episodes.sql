-- grain: one episode, complete.
-- question: how long was it, what did it return, how much of it was in contact?
-- columns: env policy run_id episode n_steps total_reward done truncated n_contact_steps n_excluded largest_state
--   largest_action below_state below_action part trajectory_id
select * from stored_episodes
