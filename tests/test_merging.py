"""Datasets joined: shards of a run make the run, row by row; what does not fit is refused, and nothing is lost."""

import errno
import os
import re
import resource
import shutil
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from conftest import call_jacdb
from shard_rows import EPISODES, N, made, rows, same, shard
from synthetic import dataset

import jacdb
from jacdb import FailureError, UsageError
from jacdb.dataset import manifest, shards
from jacdb.dataset.layout import Run
from jacdb.dataset.shard import Shard
from jacdb.merging import file_copies, merge, shard_union
from jacdb.verification import verify

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The rows of the run in one piece."""
    root = tmp_path_factory.mktemp("whole")
    dataset(root, "E", [made(number) for number in range(EPISODES)])
    return rows(root)


@pytest.fixture
def cut(tmp_path) -> list[Path]:
    """A folder for each shard."""
    for index in range(N):
        shard(tmp_path / f"node{index}", index)
    return [tmp_path / f"node{index}" for index in range(N)]


def test_shards_hold_every_episode_once_and_differ_by_one_at_most():
    for total, count in ((10, 4), (4, 4), (3, 5), (1000, 7)):
        parts = [Shard(index, count).numbers(total) for index in range(count)]
        assert [number for part in parts for number in part] == list(range(total))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("order", [(2, 0, 3, 1), (3, 2, 1, 0)])
def test_shards_in_any_order_make_the_run_in_one_piece(whole, cut, tmp_path, order):
    merged = merge([cut[index] for index in order], tmp_path / "out")
    assert merged.describe("out") == "0 runs added to out, 1 run completed from shards"
    same(rows(tmp_path / "out"), whole)
    assert not (tmp_path / "out" / "shards").exists()
    checks = verify(tmp_path / "out", sample=0)
    assert checks.ok, checks.findings
    with jacdb.open(tmp_path / "out") as opened:  # in the run's order, without sorting
        numbers = opened.sql("from episodes order by part").pl()["episode"].to_list()
        assert numbers == list(range(EPISODES))


def test_every_order_gives_the_same_bytes_and_links_them(cut, tmp_path):
    for name, order in (("a", cut), ("b", cut[::-1])):
        merge(order, tmp_path / name)
    [run] = manifest.finished(tmp_path / "a")
    assert manifest.read(tmp_path / "a", run) == manifest.read(tmp_path / "b", run)
    parts = list((tmp_path / "a").glob("steps/*/*/*.parquet"))
    assert parts and all(part.stat().st_nlink == 3 for part in parts)


def test_shards_that_come_later_complete_the_run(whole, cut, tmp_path):
    out = tmp_path / "out"
    first = merge([cut[3], cut[1]], out)
    assert [one.words for one in first.missing] == ["run run-a of E: shards 0, 2 of 4 are missing"]
    [row] = pl.read_json(call_jacdb("runs", "--data", out, "--format", "json").stdout.encode()).to_dicts()
    assert (row["status"], row["steps"], row["doing"]) == ("stopped", 36, "2 of 4 shards are there")
    told = call_jacdb("query", "global_sparsity", "--data", out)
    assert told.returncode == 2 and "shards of runs and no run yet" in told.stderr
    again = call_jacdb("merge", cut[3], cut[0], "--data", out, "--quiet")
    assert (again.returncode, again.stderr) == (1, "jacdb: run run-a of E: shard 2 of 4 is missing\n")
    for node in cut[:2] + cut[3:]:
        shutil.rmtree(node)  # what was merged does not need them
    assert call_jacdb("merge", cut[2], "--data", out).returncode == 0
    same(rows(out), whole)
    assert (
        merge([cut[2]], out).describe("out") == "0 runs added to out, 0 runs completed from shards, 1 run there already"
    )


def test_finished_runs_are_added_as_they_are_and_once(tmp_path, cut):
    for name, run_id in (("a", "run-a"), ("b", "run-b")):
        dataset(tmp_path / name, "E", [made(0), made(1)], run_id)
    merged = merge([tmp_path / "a", tmp_path / "b", tmp_path / "a"], tmp_path / "out")
    assert [run.run_id for run in merged.added] == ["run-a", "run-b"]
    for run in manifest.finished(tmp_path / "out"):
        source = tmp_path / run.run_id[-1]
        assert (source / run.manifest).read_bytes() == (tmp_path / "out" / run.manifest).read_bytes()
    assert verify(tmp_path / "out", sample=0).ok
    assert len(merge([tmp_path / "b"], tmp_path / "out").there) == 1


def test_files_are_copied_where_they_cannot_be_linked(whole, cut, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(18, os.strerror(18))

    monkeypatch.setattr(os, "link", refuse)
    merge(cut, tmp_path / "out")
    same(rows(tmp_path / "out"), whole)
    assert {part.stat().st_nlink for part in (tmp_path / "out").rglob("*.parquet")} == {1}


def test_a_merge_that_is_stopped_goes_on_and_views_answer_meanwhile(whole, cut, tmp_path, monkeypatch):
    """Stopped before each of its files in turn."""
    out, put = tmp_path / "out", shard_union.file_copies.put
    for allowed in range(0, 30, 3):
        left = [allowed]

        def some(*arguments: object, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            put(*arguments)

        monkeypatch.setattr(shard_union.file_copies, "put", some)
        try:
            merge(cut, out)
        except KeyboardInterrupt:
            if (out / "axes").exists():
                with jacdb.open(out) as opened:
                    without = opened.sql("from steps anti join patterns using (pattern_id)").pl()
                    assert not without["finite"].any(), "a step came before its pattern"
        else:
            break
    assert left[0] >= 0, "it was never finished"
    same(rows(out), whole)
    assert not list(out.rglob("*.tmp"))


def test_drafts_of_a_merge_that_was_killed_go_with_the_next(whole, cut, tmp_path):
    out = tmp_path / "out"
    for place, nodes in ((Shard(0, N).root(out), cut[:1]), (out, cut)):
        draft = place / Run("E", "run-a").journal / "steps-part-00000.parquet.1.tmp"
        draft.parent.mkdir(parents=True)
        draft.write_bytes(b"half a file")
        merge(nodes, out)
        assert not list(out.rglob("*.tmp"))
    same(rows(out), whole)


def test_the_rest_of_an_ingest_in_one_piece_gives_way(whole, cut, tmp_path):
    """Its parts have other numbers: rows must not be doubled."""
    dataset(tmp_path / "out", "E", [made(number) for number in (5, 0, 1)], part_bytes=1)
    for path in (*(tmp_path / "out").glob("runs/*/*/*"), *(tmp_path / "out").glob("journal/*/*/SHA*")):
        path.unlink()
    merge(cut, tmp_path / "out")
    same(rows(tmp_path / "out"), whole)
    assert verify(tmp_path / "out", sample=0).ok


def test_a_full_disk_is_told_and_nothing_is_lost(whole, cut, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(18, "")))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(FailureError, match=r"could not merge into .*: File too large; .* the same command goes on"):
            merge(cut, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not manifest.finished(tmp_path / "out")
    merge(cut, tmp_path / "out")
    same(rows(tmp_path / "out"), whole)


def nothing_was_written(out: Path) -> bool:
    return not out.exists()


def test_a_shard_twice_with_other_files_is_refused(cut, tmp_path):
    dataset(tmp_path / "other", "E", [made(7), made(8)], shard=Shard(1, N))
    with pytest.raises(UsageError, match=r"shard 1 of 4 of run run-a of E is in .*node1.* and in .*other.*: leave one"):
        merge([*cut, tmp_path / "other"], tmp_path / "out")
    assert nothing_was_written(tmp_path / "out")
    shutil.copytree(cut[1], tmp_path / "copy")  # the same again is no harm
    assert len(merge([*cut, tmp_path / "copy"], tmp_path / "out").completed) == 1


def test_a_run_twice_with_other_rows_is_refused(tmp_path):
    dataset(tmp_path / "a", "E", [made(0)])
    dataset(tmp_path / "b", "E", [made(1)])
    with pytest.raises(UsageError, match=r"is in .*a and in .*b, .* leave .*b out, or `jacdb rm run-a .*a` or .*b`$"):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert nothing_was_written(tmp_path / "out")


@pytest.mark.parametrize("cut", [None, Shard(0, 2)])
def test_runs_of_one_environment_have_the_same_axes(tmp_path, cut):
    a, b, out = (tmp_path / name for name in ("a", "b", "out"))
    dataset(a, "E", [made(0)])
    dataset(b, "E", [made(1)], "run-b", names={"action": ["push", "pull"]}, shard=cut)
    for sources, into in ([[a, b], out], [[b], a], [[a], b]):
        there = rows(a)
        with pytest.raises(UsageError, match=r"E: action axis 0 is .*; an environment's runs have .* `jacdb rm run-"):
            merge(sources, into)
        assert nothing_was_written(out)
        same(rows(a), there)
    shutil.rmtree(b)
    dataset(b, "E", [made(1)], "run-b", shard=cut)
    merge([a, b], out)


def test_what_is_passed_over_and_what_stops_a_merge_is_told(tmp_path, monkeypatch):
    a, out = tmp_path / "a", tmp_path / "out"
    run = dataset(a, "E", [made(0)])
    (a / Run("E", "run-a").row).rename(tmp_path / "row")
    assert not run.is_finished()
    assert (
        merge([a], out)
        .describe("out")
        .endswith(f"passed over: run-a of E in {a} (repeat the command that began each, then merge again)")
    )
    (tmp_path / "row").rename(a / Run("E", "run-a").row)
    for code, said in ((errno.EMFILE, "`ulimit -n 4096`"), (errno.EACCES, f"{a}/steps")):

        def refuse(*_: object, code: int = code) -> None:
            raise OSError(code, os.strerror(code), f"{a}/steps")

        monkeypatch.setattr(file_copies, "check", refuse)
        with pytest.raises(FailureError, match=re.escape(said)):
            merge([a], out)


def test_shards_of_another_engine_are_another_runs_and_why_is_said(tmp_path):
    for index in range(N):
        name, engine = ("old", 1) if index == 2 else ("new", 2)
        shard(tmp_path / "nodes", index, run_id=f"noise-seed0-{name}", versions=f'{{"engine": {engine}}}')
    told = [one.words for one in merge([tmp_path / "nodes"], tmp_path / "out").missing]
    why = "; shards were made by different versions (engine 2 and 1): make all by the same"
    assert told == [
        f"run noise-seed0-new of E: shard 2 of 4 is missing{why}",
        f"run noise-seed0-old of E: shards 0, 1, 3 of 4 are missing{why}",
    ]


def test_shards_of_another_number_are_refused_in_one_folder_and_told_in_two(whole, cut, tmp_path):
    with pytest.raises(UsageError, match=r"--shard 0/3: .*node0 has shards of 4 of run run-a of E: give --shard I/4"):
        shard(cut[0], 0, 3)
    for index in range(2):
        shard(tmp_path / "three", index, 3)
    [told] = merge([*cut[:3], tmp_path / "three"], tmp_path / "out").missing
    assert told.words == (
        "run run-a of E was cut into 3 and into 4 shards, and none of these is whole: shard 2 of 3 is; shard 3 of 4 is"
        " missing"
    )
    merge([tmp_path / "out", cut[3]], tmp_path / "done")
    same(rows(tmp_path / "done"), whole)


def test_a_damaged_shard_is_named_and_not_merged(cut, tmp_path):
    [part, *_] = sorted(cut[2].glob("shards/*/steps/*/*/*.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"X")
    with pytest.raises(FailureError, match=r"node2/shards/2-of-4/steps/.*: its SHA-256 is .* nothing of its run was"):
        merge(cut, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_a_mark_may_name_files_of_its_shard_alone(cut, tmp_path):
    [mark] = cut[2].rglob(shards.MARK)
    mark.write_text(mark.read_text().replace("steps/environment=E/run=run-a", "steps/environment=E/run=run-b"))
    with pytest.raises(FailureError, match=r"shard.json is not shard 2 of 4 of run run-a, or names others'"):
        merge(cut, tmp_path / "out")
    mark.write_text("{}")
    with pytest.raises(FailureError, match=r"shard.json can't be read"):
        merge(cut, tmp_path / "out")


def test_one_dataset_has_one_type_of_matrices(cut, tmp_path):
    dataset(tmp_path / "short", "F", [made(0)], jacobian=pa.float32())
    with pytest.raises(UsageError, match=r"matrices are float32 in .*short, float64 in .*node0"):
        merge([*cut, tmp_path / "short"], tmp_path / "out")
    assert nothing_was_written(tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere has neither runs nor shards"),
        (["hf://datasets/a/b"], "`jacdb pull` it"),
        ([], "'DIR...'"),
    ],
)
def test_folders_without_anything_are_refused(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = call_jacdb("merge", *words, "--data", tmp_path / "out")
    assert told.returncode == 2 and said in told.stderr and told.stderr.count("\n") == 1
    assert nothing_was_written(tmp_path / "out")


def test_a_run_in_shards_is_removed_with_them(cut, tmp_path):
    merge(cut[:2], tmp_path / "out")
    assert call_jacdb("rm", "run-a", "--yes", "--data", tmp_path / "out").returncode == 0
    assert not list((tmp_path / "out").rglob("*.*"))


def test_a_former_version_is_upgraded_first(tmp_path):
    with pytest.raises(UsageError, match=r"is of schema version 2, a merge is of version 3: rewrite it"):
        merge([Path(__file__).parent / "frozen" / "v2"], tmp_path / "out")
    assert nothing_was_written(tmp_path / "out")
