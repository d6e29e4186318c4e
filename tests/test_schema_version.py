"""The format: what other tools read of it, and what becomes of a dataset of the version before."""

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, call_jacdb, leave_a_draft
from learned_results import checkpoint, learned
from synthetic import dataset, episode

import jacdb
from jacdb import FailureError, UsageError, schemas, verification
from jacdb.checksum import sha256_of
from jacdb.dataset import integrity, learning_files, manifest, run_status
from jacdb.dataset.layout import PartPath, Run
from jacdb.dataset.upgrade import upgrade
from jacdb.ingest.pipeline import ingest
from jacdb.ingest.run_plan import Request

VERSION_1, VERSION_2 = (ROOT / "tests" / "frozen" / f"v{version}" for version in (1, 2))
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """Two environments, with matrices of other sizes; one run is not finished."""
    root = tmp_path_factory.mktemp("two")
    for env, d in (("E", 3), ("F", 9)):
        j = RNG.normal(size=(6, d, d + 1)) * (RNG.random((6, d, d + 1)) < 0.5)
        dataset(root, env, [episode(number, j[..., :d], j[..., d:]) for number in range(2)])
    writer = dataset(root, "F", [episode(0, j[..., :d], j[..., d:])], "run-b")
    (root / writer._run.row).unlink()
    (root / writer._run.journal / "ingest.log").write_text("…")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("table", schemas.TABLES, ids=lambda table: table.name)
def test_users_13_a_tables_folder_holds_its_parts_and_is_read_without_options(table, two):
    folder = two / table.name
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files and all(path.suffix == ".parquet" for path in files)
    count = sum(pq.read_metadata(path).num_rows for path in files)
    for read in (pq.read_table(folder).to_pylist(), pl.read_parquet(folder).to_dicts()):
        assert len(read) == count and all(row["environment"] == row["env"] for row in read)
    asked = duckdb.sql(f"select count(*), list(distinct env order by env) from '{folder}/**/*.parquet'").fetchall()
    assert asked == [(count, ["E", "F"])]


def test_users_13_bits_can_be_counted_as_integers(two):
    """Entry i is bit i % 32, counted from the lowest, of word i // 32: as the text of the column says."""
    rows = pq.read_table(two / "patterns").to_pylist()
    assert {len(row["zero_state_words"]) for row in rows} == {1, 3}
    for row in rows:
        for name, entries in (("state", row["d_state"] ** 2), ("action", row["d_state"] * row["d_action"])):
            words, packed = row[f"zero_{name}_words"], row[f"zero_{name}"]
            bits = [words[i // 32] >> i % 32 & 1 for i in range(entries)]
            assert bits == np.unpackbits(np.frombuffer(packed, np.uint8), count=entries).tolist()
            assert sum(word.bit_count() for word in words) == sum(bits) and min(words) >= 0


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2])
def test_users_13_a_former_version_is_read_as_ever_and_not_written(version, tmp_path):
    copy = shutil.copytree(ROOT / "tests" / "frozen" / f"v{version}", tmp_path / "old")
    with jacdb.open(copy) as opened:
        assert "trajectory_id" in opened.episodes().columns
        assert opened.steps()["replay_error"].null_count() == len(opened.steps()) > 0
        told = opened.sql("select suite, source, source_version, licence, replay_tolerance from runs").pl()
        assert told.rows() == [("playground", None, None, None, None)]
    assert run_status.status(copy)["status"].to_list() == ["finished"]
    with pytest.raises(UsageError, match=rf"of schema version {version}.*jacdb upgrade .* --out NEW"):
        ingest(Request("CartpoleBalance", episodes=1, steps=2), copy)
    assert not [*integrity.check_runs(copy, manifest.finished(copy))]


def test_users_13_two_layouts_in_one_folder_are_refused_by_name(two, tmp_path):
    copy = shutil.copytree(two, tmp_path / "both")
    shutil.copytree(VERSION_1, copy, dirs_exist_ok=True)
    told = r"both mixes env=… \(schema version 1\) and environment=… \(schema version 2 or 3\): move"
    for attempt in (jacdb.open, run_status.status, lambda root: ingest(Request("CartpoleBalance"), root)):
        with pytest.raises(UsageError, match=told):
            attempt(copy)


def test_users_13_a_file_of_another_version_under_a_name_of_this_one_is_refused(two, tmp_path):
    copy = shutil.copytree(two, tmp_path / "renamed")
    [old] = VERSION_1.glob("axes/*/*/*.parquet")
    shutil.copy(old, next(copy.glob("axes/*/*/*.parquet")))
    with pytest.raises(UsageError, match=r"mixes schema versions: axes/environment=.* is of version 1"):
        jacdb.open(copy)


def add_run(root: Path, run_id: str, *, finished: bool = True) -> None:
    """Add a run of version 1 whose matrices are float64, made of the frozen one."""
    [old] = manifest.finished(VERSION_1)
    new, sums = old._replace(run_id=run_id), {}
    for path in manifest.read(VERSION_1, old):
        table = pq.read_table(VERSION_1 / path, partitioning=None)
        there, part = path.replace(old.run_id, run_id), PartPath.parse(path)
        columns = {name: table[name] for name in table.column_names} | {"run_id": pa.array([run_id] * len(table))}
        schema = table.schema
        if part.table == "runs":
            columns["dtype"] = pa.array(["float64"])
        if part.table == "steps":
            stored = schemas.of_version("steps", schemas.steps(pa.float64()).schema, 1)
            schema = stored.with_metadata(schema.metadata)
        (root / there).parent.mkdir(parents=True)
        cast = [columns[name].cast(schema.field(name).type) for name in schema.names]
        pq.write_table(pa.table(cast, schema=schema), root / there)
        sums[there] = sha256_of(root / there)
    (root / new.manifest).write_text(manifest.encode(sums))
    if not finished:
        (root / new.row).unlink()


def answers(root: Path) -> dict[str, pl.DataFrame]:
    """What the tables of a dataset say, but for its version."""
    with jacdb.open(root) as opened:
        return {name: getattr(opened, name)() for name in ("steps", "episodes", "axes", "patterns")} | {
            "runs": opened.runs().drop("schema_version")
        }


@pytest.mark.slow
def test_users_13_an_upgrade_keeps_every_bit_and_verifies(tmp_path):
    old, new = shutil.copytree(VERSION_1, tmp_path / "old"), tmp_path / "new"
    add_run(old, "half", finished=False)
    ran = call_jacdb("upgrade", old, "--out", new)
    assert ran.returncode == 0 and "run half of CartpoleBalance is not finished and was left out" in ran.stderr
    assert ran.stdout == f"1 run of {old} in {new}, schema version 3\n"
    verified = verification.verify(new, sample=0)
    assert verified.ok and {check.name for check in verified.checks} >= {"files", "patterns", "summaries"}
    was, now = answers(VERSION_1), answers(new)
    for name, frame in was.items():
        assert now[name].equals(frame.select(now[name].columns)), name
    [run] = manifest.finished(new)
    assert run == Run("CartpoleBalance", "noise-seed0-93f1db0c9a")
    assert call_jacdb("upgrade", new, "--out", tmp_path / "again").stderr.count("nothing to upgrade") == 1


@pytest.mark.slow
def test_an_upgrade_of_version_2_keeps_every_bit_and_verifies(tmp_path):
    new = tmp_path / "new"
    assert upgrade(VERSION_2, new).n_runs == 1
    assert verification.verify(new, sample=0).ok
    was, now = answers(VERSION_2), answers(new)
    for name, frame in was.items():
        assert now[name].equals(frame.select(now[name].columns)), name


@pytest.mark.slow
def test_version_2_said_among_the_versions_where_a_run_is_from(tmp_path):
    """No release wrote such a run; a checkout may have."""
    old = shutil.copytree(VERSION_2, tmp_path / "old")
    [run] = manifest.finished(old)
    said = {"dataset_id": "made/Cart-v0", "minari_version": "0.5.3", "licence": "not stated"}
    about = {"mujoco": "4.0.0", "suite": "minari", "source": said, "replay": {"tolerance": 1e-6}}
    table = pq.read_table(old / run.row, partitioning=None)
    at = table.column_names.index("versions")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array([json.dumps(about)])), old / run.row)
    (old / run.journal / "model.mjb").write_bytes(b"a model")
    sums = manifest.read(old, run) | {run.row: sha256_of(old / run.row)}
    (old / run.manifest).write_text(manifest.encode(sums))
    with jacdb.open(old) as opened:
        assert opened.runs()["suite"].to_list() == ["minari"]
    upgrade(old, tmp_path / "new")
    with jacdb.open(tmp_path / "new") as opened:
        told = opened.sql("select suite, source, source_version, licence, replay_tolerance, versions from runs").pl()
        assert told.rows() == [("minari", "made/Cart-v0", "0.5.3", None, 1e-6, '{"mujoco": "4.0.0"}')]
    assert manifest.read(tmp_path / "new", run)[run.model] == sha256_of(old / run.journal / "model.mjb")


def test_files_of_versions_2_and_3_in_one_folder_are_refused_by_name(two, tmp_path):
    copy = shutil.copytree(two, tmp_path / "both")
    shutil.copytree(VERSION_2, copy, dirs_exist_ok=True)
    with pytest.raises(UsageError, match=r"mixes schema versions: axes/.* of version 2 and axes/.* of version 3; move"):
        jacdb.open(copy)


def test_users_13_an_upgrade_takes_over_one_type(tmp_path):
    old = shutil.copytree(VERSION_1, tmp_path / "old")
    add_run(old, "double")
    with pytest.raises(UsageError, match=r"runs of float32 and of float64.* give --dtype float32 or --dtype float64"):
        upgrade(old, tmp_path / "new")
    assert upgrade(old, tmp_path / "new", dtype="float64").left_out == [
        "run noise-seed0-93f1db0c9a of CartpoleBalance is float32"
    ]
    assert [run.run_id for run in manifest.finished(tmp_path / "new")] == ["double"]
    with pytest.raises(UsageError, match=r"--out .*new exists"):
        upgrade(old, tmp_path / "new", dtype="float32")


def test_users_13_an_upgrade_that_fails_leaves_nothing(tmp_path):
    old = shutil.copytree(VERSION_1, tmp_path / "old")

    def interrupt(event):
        if event.doing == "rewriting":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upgrade(old, tmp_path / "new", report=interrupt)
    [part] = old.glob("steps/*/*/*.parquet")
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    with pytest.raises(FailureError, match=r"part-00000.parquet: its SHA-256 is .*; nothing was written"):
        upgrade(old, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_what_a_killed_upgrade_left_is_removed_by_the_next(tmp_path):
    leave_a_draft(tmp_path / "new")
    assert len(list(tmp_path.iterdir())) == 1
    upgrade(VERSION_1, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.slow
@pytest.mark.parametrize("former", [VERSION_1, VERSION_2], ids=lambda root: root.name)
def test_an_upgrade_takes_over_what_was_learned(former, tmp_path):
    env, old, new = "CartpoleBalance", shutil.copytree(former, tmp_path / "old"), tmp_path / "new"
    kept, damaged = (checkpoint(old, f"mlp-mse-{seed}-b1", env=env) for seed in range(2))
    learned(old, env)
    damaged.write_bytes(b"damaged")
    checkpoint(old, "stopped", has_ended=False, env=env)
    runs = learning_files.in_folder(old)
    row = old / learning_files.row_of(runs[0])
    content = row.read_bytes()
    row.write_bytes(content[:-1] + b"?")
    with pytest.raises(FailureError, match=rf"{row}: .*; nothing was written: remove {row.parent} to leave it out"):
        upgrade(old, new)
    assert not new.exists()
    row.write_bytes(content)
    upgraded = upgrade(old, new)
    assert upgraded.describe("old", "new") == "1 run and 4 learning runs of old in new, schema version 3"
    assert upgraded.left_out[0] == f"learning run stopped of {env} is not finished"
    assert upgraded.left_out[1].startswith(f"{damaged} has the SHA-256 ")
    paths = [path(run) for run in runs for path in (learning_files.row_of, learning_files.scores_of)]
    for path in [*paths, kept.relative_to(old)]:
        assert (new / path).read_bytes() == (old / path).read_bytes()
    assert [path.name for path in new.glob("checkpoints/*/*")] == [kept.name] and verification.verify(new, sample=0).ok


def test_users_13_a_dataset_has_matrices_of_one_type(two):
    with pytest.raises(UsageError, match=r"--dtype float32: the matrices in .* are float64.* give another --data, or"):
        ingest(Request("CartpoleBalance", episodes=1, steps=2), two)
    ran = call_jacdb("ingest", "--env", "CartpoleBalance", "--dtype", "float32", "--data", two)
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1


def test_users_11_runs_are_listed_without_a_write(two, monkeypatch):
    """Of a colleague's folder: nothing of it may be opened for writing, and the status is still right."""
    run = Run("F", "run-b")

    def states():
        frame = run_status.status(two)
        return dict(zip(frame["run_id"], frame["status"], strict=True))

    with run_status.lock(two, run), monkeypatch.context() as patch:
        patch.setattr(run_status.filelock, "FileLock", lambda *_, **__: pytest.fail("opened for writing"))
        assert states()["run-b"] == "at work"
    with monkeypatch.context() as patch:
        patch.setattr(run_status.filelock, "FileLock", lambda *_, **__: pytest.fail("opened for writing"))
        assert states() == {"run-a": "finished", "run-b": "stopped"}
