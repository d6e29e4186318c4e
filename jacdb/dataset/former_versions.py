"""Tables of former schema versions, read as today's: what a later version added is worked out from what was there."""

# Hashes in SQL as schemas.trajectory_id does in Python. Of a run that is not finished, the row in `runs` is missing:
# there the run's id, which its settings determine too, has to do.
EPISODES_OF_VERSION_1 = """
select
    stored.*,
    (('0x' || left(sha256(concat(coalesce(origin, env || chr(10) || run_id), chr(10), episode)), 16))::ubigint >> 1)
        ::bigint as trajectory_id
from {scan} as stored
left join (
    select env, run_id, concat_ws(chr(10), env, policy, policy_config, seed, model) as origin
    from stored_runs
) using (env, run_id)
"""
