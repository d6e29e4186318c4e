"""Recorded trajectories as a source: npz, Parquet, Minari, D4RL's HDF5 and LeRobot, read and replayed."""

from pathlib import Path
from typing import TYPE_CHECKING

from jacdb.errors import UsageError

if TYPE_CHECKING:
    import mujoco

    from jacdb.ingest.sources.recordings.recording import Recording


def open(
    source: str | Path,
    env: str | None = None,
    model: "mujoco.MjModel | str | Path | None" = None,
    mapping: Path | None = None,
    n_substeps: int | None = None,
) -> "Recording":
    """Return what someone recorded, as a source.

    Args:
        source: a file (.npz, .parquet, .hdf5), a folder (of Parquet files, of a Minari or a LeRobot dataset), or a
            Minari dataset's id, which is fetched if it is not on this machine.
        env: what it is of, ``gymnasium:HalfCheetah-v5``; a Minari dataset says it itself.
        model: what it is of, instead of ``env``: a compiled model, or a file that
            :func:`jacdb.ingest.models.loading.load` takes, whose name a model without a name gets.
        mapping: a file that says which columns are what (:mod:`~jacdb.ingest.sources.recordings.mapping`).
        n_substeps: physics steps between two states. By default the environment's, those that fps and timestep of a
            LeRobot dataset give, and otherwise 1.

    Raises:
        UsageError: there is no such source, it is of no known format, its model is not known, or it lacks what a
            trajectory needs. What is wrong in single episodes is raised when they are read.
    """
    from jacdb.ingest.sources.recordings import formats

    check(source, env, mapping, n_substeps, has_model=model is not None)
    if isinstance(model, (str, Path)):
        from jacdb.ingest.models import loading

        loaded = loading.load(str(model))
        return open(source, env, loaded.model, mapping, n_substeps).of_file(loaded.name)
    kind, path = formats.recognise(str(source))
    if kind == "minari":
        from jacdb.ingest.sources.recordings import minari

        return minari.read(path, env, model, n_substeps)
    return _of_columns(kind, path, env, model, mapping, n_substeps)


def check(
    source: str | Path, env: str | None, mapping: Path | None, n_substeps: int | None, *, has_model: bool
) -> None:
    """Refuse what :func:`open` would before it reads the source or compiles a model.

    Args:
        source, env, mapping, n_substeps: as for :func:`open`.
        has_model: it is of a model.

    Raises:
        UsageError: there is no such source, it is of no known format, what it is of is said twice, not at all or by a
            name that Gymnasium lacks, or a number or the mapping can't be.
    """
    from jacdb.ingest.sources.recordings import formats

    kind, _ = formats.recognise(str(source))
    if env is not None and has_model:
        raise UsageError(f"--env {env} and --model: a recording is of one of both; leave one out")
    if env is not None and not env.startswith("gymnasium:"):
        raise UsageError(f"--env {env}: recordings are of gymnasium:NAME, or of a model of your own with --model")
    if env is None and not has_model and kind != "minari":
        example = "--env gymnasium:HalfCheetah-v5, or --model robot.xml"
        raise UsageError(f"{source} does not say which model it is of: name it, {example}")
    # the simulator's modules
    from jacdb.ingest.sources import gymnasium
    from jacdb.ingest.sources.recordings import mapping as mappings
    from jacdb.ingest.sources.trajectory import check_substeps

    if n_substeps is not None:
        check_substeps(n_substeps)
    if mapping is not None:
        if kind in ("minari", "d4rl"):
            raise UsageError(f"--mapping {mapping}: {source} is a {formats.TITLES[kind]}, whose columns are known")
        mappings.read(mapping)
    if env is not None:
        gymnasium.check(env.removeprefix("gymnasium:"))


def _of_columns(
    kind: str, path: Path, env: str | None, model: "mujoco.MjModel | None", mapping: Path | None, n_substeps: int | None
) -> "Recording":
    """Return a recording in a format that does not say which model it is of."""
    from jacdb.ingest.sources.recordings import d4rl, lerobot, table
    from jacdb.ingest.sources.recordings import mapping as mappings
    from jacdb.ingest.sources.recordings.recording import Origin

    said = mappings.read(mapping) if mapping is not None else None
    origin = Origin.of_env(env) if env is not None else Origin.of_model(model)
    origin = origin.with_substeps(n_substeps or (said.n_substeps if said else None))
    if kind == "lerobot":
        return lerobot.read(path, origin, said)
    if kind == "d4rl":
        return d4rl.read(path, origin)
    return (table.npz if kind == "npz" else table.parquet)(path, origin, said)
