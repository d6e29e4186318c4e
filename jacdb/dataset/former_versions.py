"""Tables of former schema versions, read as today's: what a later version added is worked out from what was there."""

from jacdb import schemas
from jacdb.dataset.sql_text import literal, patterns_select

# Hashes in SQL as schemas.trajectory_id does in Python. Of a run that is not finished, the row in `runs` is missing:
# there the run's id, which its settings determine too, has to do.
_EPISODES_OF_VERSION_1 = """
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
_STEPS_BEFORE_3 = "select *, null::double as replay_error from {scan}"
_RUNS_BEFORE_3 = f"""
select
    *, coalesce(versions::json ->> 'suite', {literal(schemas.PLAYGROUND)}) as suite,
    null::varchar as source, null::varchar as source_version,
    null::varchar as licence, null::double as replay_tolerance
from {{scan}}
"""


# The tables that the text of another reads besides its own files
READS = {"episodes": ("runs",)}


def select(table: str, version: int, scan: str) -> str:
    """Return SQL that selects a stored table with today's columns.

    Args:
        table: its name.
        version: the schema version of its files.
        scan: what reads them, for DuckDB's FROM.
    """
    if table == "patterns":
        return patterns_select(scan)
    if table == "episodes" and version < 2:
        return _EPISODES_OF_VERSION_1.format(scan=scan)
    before_3 = {"steps": _STEPS_BEFORE_3, "runs": _RUNS_BEFORE_3} if version < 3 else {}
    return before_3.get(table, "select * from {scan}").format(scan=scan)
