"""Shards that travel through a store make the run; what is lost or damaged on the way is made anew, and no more."""

import os
import resource
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import filelock
import pytest
from conftest import call_jacdb
from shard_rows import EPISODES, N, made, rows, same, shard
from synthetic import dataset

from jacdb import FailureError, UsageError
from jacdb.dataset import manifest, shards
from jacdb.dataset.layout import Run
from jacdb.dataset.shard import Shard
from jacdb.dataset.shards import MARK, BegunShard
from jacdb.ingest.plans import transfers
from jacdb.ingest.plans.object_store import ObjectStore
from jacdb.ingest.plans.scratch_folder import LOCK, PREFIX, scratch_folder
from jacdb.ingest.plans.transfers import Inventory, Sent
from jacdb.ingest.requested_run import RequestedRun
from jacdb.merging import merge

RUN = Run("E", "run-a")
CART = """<mujoco model="cart"><worldbody><body><joint name="x" type="slide" axis="1 0 0"/><geom size=".1"/></body>
</worldbody><actuator><motor name="push" joint="x"/></actuator></mujoco>"""


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    (tmp_path / "store").mkdir()
    return ObjectStore(f"file://{tmp_path}/store")


def send(store: ObjectStore, node: Path, index: int) -> None:
    """Make a shard in a node's folder, if it is not there, and send it."""
    if not node.exists():
        shard(node, index)
    store.send(BegunShard(Shard(index, N).root(node), RUN, Shard(index, N)).read())


def receive(store: ObjectStore, index: int, data: Path, count: int = N) -> transfers.Outcome:
    return transfers.receive(Sent(store.url, RUN, Shard(index, count)), data, lambda event: None)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_shards_that_travel_are_the_run_in_one_piece(store, tmp_path):
    store.check()
    for index in range(N):
        send(store, tmp_path / f"node{index}", index)
    copied = merge([shutil.copytree(tmp_path / "store", tmp_path / "copied")], tmp_path / "merged")
    assert copied.completed == [RUN]  # without who was to fetch them
    told = [receive(store, index, tmp_path / "data") for index in (2, 0, 3, 1)]
    assert not any(one.failed for one in told)
    assert "shard 2 of 4 of run run-a" in told[0].told and told[0].told.endswith("; shards 0, 1, 3 of 4 are missing")
    assert told[3].told.endswith("all shards are there, the run is whole")
    dataset(tmp_path / "whole", "E", [made(number) for number in range(EPISODES)])
    same(rows(tmp_path / "data"), rows(tmp_path / "whole"))
    assert not files(tmp_path / "store") and not (tmp_path / "data" / "shards").exists()


@pytest.mark.slow
def test_a_run_in_one_piece_travels_as_one_shard(store, tmp_path):
    dataset(tmp_path / "node", "E", [made(number) for number in range(EPISODES)])
    expected = rows(tmp_path / "node")
    store.send(transfers.as_shard(tmp_path / "node", RUN))
    told = receive(store, 0, tmp_path / "data", 1)
    assert (told.told, told.failed) == (f"60 steps of E in {tmp_path}/data, run run-a: 0 s, 1 excluded", False)
    same(rows(tmp_path / "data"), expected)
    assert manifest.read(tmp_path / "data", RUN) == manifest.read(tmp_path / "node", RUN)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("part-00000.parquet", cut, "its SHA-256 is"),
        ("part-00000.parquet", Path.unlink, "it is missing"),
        (MARK, cut, "shard.json: it can't be read: "),
        (MARK, Path.unlink, "it is missing"),
    ],
)
def test_a_damaged_file_is_named_and_its_shard_made_anew(name, damage, said, store, tmp_path):
    send(store, tmp_path / "node", 1)
    [*_, damaged] = sorted((tmp_path / "store").rglob(name))
    damage(damaged)
    told = receive(store, 1, tmp_path / "data")
    assert told.failed and "\n" not in told.told and said in told.told
    assert f"{store.url}/{damaged.relative_to(tmp_path / 'store')}: " in told.told
    assert not files(tmp_path / "store") and not files(tmp_path / "data") and not store.has(RUN, Shard(1, N))
    send(store, tmp_path / "node", 1)
    assert store.has(RUN, Shard(1, N)) and not receive(store, 1, tmp_path / "data").failed


def test_what_a_lost_node_had_sent_is_no_shard_and_gives_way(store, tmp_path):
    stray = tmp_path / "store" / Shard(1, N).folder / RUN.folder("steps") / "part-00099.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_text("half")
    assert not store.has(RUN, Shard(1, N))
    send(store, tmp_path / "node", 1)
    assert not stray.exists() and not receive(store, 1, tmp_path / "data").failed


def test_who_cannot_write_the_dataset_leaves_the_shard_in_the_store(store, tmp_path):
    send(store, tmp_path / "node", 1)
    there = BegunShard(Shard(1, N).root(tmp_path / "data"), RUN, Shard(1, N))
    (there.root / RUN.journal).mkdir(parents=True)
    with filelock.FileLock(there.root / RUN.lock):
        told = receive(store, 1, tmp_path / "data")
    assert told.failed and "another process is at work" in told.told
    assert store.has(RUN, Shard(1, N)) and not there.is_finished


@pytest.mark.slow
def test_nodes_know_what_the_dataset_has(store, tmp_path):
    assert not Inventory.of(tmp_path / "data").has(RUN, Shard(0, 1))
    for index in range(N):
        send(store, tmp_path / f"node{index}", index)
    receive(store, 1, tmp_path / "data")
    inventory = Inventory.of(tmp_path / "data")
    assert inventory.has(RUN, Shard(1, N)) and not inventory.has(RUN, Shard(0, N))
    with pytest.raises(UsageError, match=r"--shard 0/3: .*data has shards of 4 of .*give --shard I/4 .*`shards: 4`"):
        shards.check_counts(inventory.place, RUN, Shard(0, 3), {one.count for one in inventory.pieces[RUN]})
    for index in (0, 2, 3):
        receive(store, index, tmp_path / "data")
    assert Inventory.of(tmp_path / "data").has(RUN, Shard(5, 7))
    send(store, tmp_path / "node1", 1)  # a plan may name a run twice
    again = receive(store, 1, tmp_path / "data")
    assert not again.failed and not files(tmp_path / "store")
    there = transfers.receive(Sent(store.url, RUN, Shard(1, N), is_there=True), tmp_path / "data", lambda event: None)
    assert there == again
    assert there.told.endswith("there already, nothing to do; all shards are there, the run is whole")


def test_a_folder_of_a_killed_process_is_removed_and_no_other(tmp_path):
    def left(name: str, age: float) -> Path:
        folder = tmp_path / f"{PREFIX}{name}"
        folder.mkdir()
        (folder / LOCK).touch()
        os.utime(folder, (folder.stat().st_mtime - age,) * 2)
        return folder

    killed, young, used = left("killed", 100), left("young", 0), left("used", 100)
    with filelock.FileLock(used / LOCK), scratch_folder(tmp_path) as own:
        assert not killed.exists() and young.exists() and used.exists() and own.parent == tmp_path
    assert not own.exists()


def test_a_store_that_fails_is_told_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    store = ObjectStore(f"file://{tmp_path}/file")
    shard(tmp_path / "node", 1)
    with pytest.raises(FailureError, match=r"shard 1 of 4 of run run-a .*file:.*/file") as told:
        send(store, tmp_path / "node", 1)
    assert "\n" not in str(told.value)
    with pytest.raises(UsageError, match=r"--store .*/file can't be written"):
        store.check()


@pytest.mark.slow
def test_a_node_makes_what_is_neither_in_the_store_nor_in_the_dataset(store, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "cart.xml").write_text(CART)
    first, second = RequestedRun(model=str(tmp_path / "cart.xml"), episodes=2, steps=5).shards(2)
    data = tmp_path / "data"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limit[1]))
    try:
        told = transfers.send(first, store, Inventory.of(data)).told
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "File too large; TMPDIR of the nodes names another disk" in told and not files(tmp_path / "store")

    sent = transfers.send(first, store, Inventory.of(data))
    [mark] = (tmp_path / "store").rglob(MARK)
    before = mark.read_bytes()
    assert transfers.send(first, store, Inventory.of(data)) == sent and mark.read_bytes() == before
    shutil.copytree(tmp_path / "store", tmp_path / "kept")
    assert not transfers.receive(sent, data, lambda event: None).failed
    shutil.copytree(tmp_path / "kept", tmp_path / "store", dirs_exist_ok=True)  # as who was stopped leaves it
    assert transfers.send(first, store, Inventory.of(data)) == sent._replace(is_there=True)
    assert not files(tmp_path / "store")
    other = transfers.send(replace(first, episodes=2, shard=Shard(0, 1)), store, Inventory.of(data))
    assert "has shards of 2 of run" in other.told and not files(tmp_path / "store")

    told = transfers.receive(transfers.send(second, store, Inventory.of(data)), data, lambda event: None)
    assert told.told.endswith("all shards are there, the run is whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cart.xml", "data", "kept", "store"]
    first.carry_out(tmp_path / "whole", lambda event: None)
    second.carry_out(tmp_path / "whole", lambda event: None)
    same(rows(data), rows(tmp_path / "whole"))
    for name, only in (("one", None), ("of_one", Shard(0, 1))):
        sent = transfers.send(replace(first, shard=only), store, Inventory.of(tmp_path / name))
        assert not transfers.receive(sent, tmp_path / name, lambda event: None).failed
        same(rows(tmp_path / name), rows(data))


def test_only_ingest_travels(tmp_path):
    (tmp_path / "plan.yaml").write_text("- {command: verify, env: CartpoleBalance}")
    words = ["--plan", tmp_path / "plan.yaml", "--ray", "local", "--store", f"file://{tmp_path}/store"]
    told = call_jacdb("ingest", *words, "--data", tmp_path / "data")
    assert told.returncode == 2 and told.stderr.count("\n") == 1
    assert "`verify --env CartpoleBalance` needs a folder that all nodes see" in told.stderr
    assert not (tmp_path / "data").exists() and not (tmp_path / "store").exists()


@pytest.mark.parametrize("prefix", ["exp?", "exp*", "e[12]", "e]"])
def test_a_prefix_that_stands_for_others_is_refused_but_of_local_folders(prefix, tmp_path):
    """fsspec's `rm` takes exact paths for patterns, but in a local folder: another store's shards were removed."""
    with pytest.raises(UsageError, match=r"--store s3://bucket/e.*: \* \? \[ \] would .* give a prefix without"):
        ObjectStore(f"s3://bucket/{prefix}").check()
    mine, other = (ObjectStore(f"file://{tmp_path}/{name}") for name in (prefix, "exp1"))
    for store in (mine, other):
        send(store, tmp_path / "node", 1)
    mine.remove(RUN, Shard(1, N))
    assert not mine.has(RUN, Shard(1, N)) and not receive(other, 1, tmp_path / "data").failed
