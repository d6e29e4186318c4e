"""Runs that come into one folder at the same time: at most one of two that can't be in one dataset stays."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import call_jacdb
from loopback import HUB
from synthetic import dataset, episode

from jacdb import FailureError, UsageError
from jacdb.dataset.layout import Run
from jacdb.dataset.shard import Shard
from jacdb.ingest import request_checks
from jacdb.merging import merge
from jacdb.publishing.fetch import Fetch
from jacdb.publishing.pull import pull
from jacdb.verification import verify

pytestmark = pytest.mark.slow
OTHERS = [
    ({"names": {"action": ["push"]}}, "E: action axis 0 is "),
    ({"dtype": np.float32, "env": "F"}, "the matrices of run "),
]  # what can't be in one dataset with `small`, and why


def small(root: Path, run_id="run-a", env="E", dtype=np.float64, n=2, **options) -> Path:
    made = [episode(number, np.ones((3, 2, 2)), np.ones((3, 2, 1)), dtype=dtype) for number in range(n)]
    dataset(root, env, made, run_id, pa.from_numpy_dtype(dtype), **options)
    return root


def files(root: Path) -> dict[str, bytes]:
    """A dataset's files, by path; locks left out."""
    found = (path for path in root.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def published(name: str, root: Path) -> str:
    assert call_jacdb("publish", name, "--data", root, token="hf_alice").returncode == 0
    return name


@pytest.fixture
def once_fetched(monkeypatch):
    """Call a function once a pull has fetched a run's steps, before it puts them."""

    real = Fetch.parts

    def then(act) -> None:
        def parts(self, sums):
            real(self, sums)
            if any(path.startswith("steps/") for path in sums):
                act()

        monkeypatch.setattr(Fetch, "parts", parts)

    return then


def meanwhile(act):
    """A report of a merge that calls a function once, while checksums are compared."""
    waiting = [act]

    def report(event) -> None:
        if event.doing == "checking" and waiting:
            waiting.pop()()

    return report


def test_a_run_that_comes_while_a_pull_fetches_it_is_looked_at_again(tmp_path, once_fetched):
    name, out = published("alice/meanwhile", small(tmp_path / "one")), tmp_path / "out"
    parts = small(tmp_path / "parts", part_bytes=50)
    once_fetched(lambda: merge([parts], out))
    with pytest.raises(UsageError, match="a run run-a of E that is another than the one on the Hub"):
        pull(name, out)
    assert files(out) == files(parts) and verify(out, sample=0).ok
    shutil.rmtree(out)
    once_fetched(lambda: merge([tmp_path / "one"], out))
    pulled = pull(name, out)
    assert (pulled.n_runs, pulled.n_there) == (0, 1)
    assert files(out) == files(tmp_path / "one")


def test_what_a_pull_found_in_the_folder_and_is_removed_meanwhile_is_fetched_by_the_next(tmp_path, once_fetched):
    name, out = published("alice/removed", small(tmp_path / "one")), tmp_path / "out"
    shutil.copytree(tmp_path / "one", out)
    shutil.rmtree(out / Run("E", "run-a").folder("steps"))
    once_fetched(lambda: (out / Run("E", "run-a").folder("axes") / "part-00000.parquet").unlink(missing_ok=True))
    with pytest.raises(FailureError, match=r"axes/.* was removed meanwhile: the same command goes on"):
        pull(name, out)
    pull(name, out)
    assert files(out) == files(tmp_path / "one")


@pytest.mark.parametrize(("options", "said"), OTHERS)
def test_of_a_pull_and_a_merge_at_once_one_is_refused(tmp_path, once_fetched, options, said):
    name, out = published("alice/beside-" + "-".join(options), small(tmp_path / "one")), tmp_path / "out"
    other = small(tmp_path / "other", "run-b", **options)
    once_fetched(lambda: merge([other], out))
    with pytest.raises(UsageError, match=said):
        pull(name, out)
    assert files(out) == files(other)


@pytest.mark.parametrize("cut", [None, Shard(0, 1), Shard(0, 2)])
@pytest.mark.parametrize(("options", "said"), OTHERS)
def test_of_two_merges_at_once_one_is_refused(tmp_path, options, said, cut):
    one, other, out = (
        small(tmp_path / "one", shard=cut),
        small(tmp_path / "other", "run-b", **options),
        tmp_path / "out",
    )
    with pytest.raises(UsageError, match=said):
        merge([one], out, report=meanwhile(lambda: merge([other], out)))
    assert files(out) == files(other)


def test_of_two_merges_of_one_run_the_second_finds_it_there_or_is_refused(tmp_path):
    one, parts, out = small(tmp_path / "one"), small(tmp_path / "parts", part_bytes=50), tmp_path / "out"
    first = small(tmp_path / "first", "run-0")
    merged = merge([first, one], out, report=meanwhile(lambda: merge([one], out)))
    assert merged.describe("out") == "1 run added to out, 0 runs completed from shards, 1 run there already"
    shutil.rmtree(out)
    with pytest.raises(UsageError, match=r"run-a of E is in --data .*, with different files"):
        merge([first, one], out, report=meanwhile(lambda: merge([parts], out)))
    assert files(out) == files(first) | files(parts)


def test_a_run_that_had_begun_stays_as_it_was_where_a_merge_of_it_is_refused(tmp_path):
    one, out = small(tmp_path / "one"), tmp_path / "out"
    other = small(tmp_path / "other", "run-b", env="F", dtype=np.float32)
    shutil.copytree(one, out)
    (out / Run("E", "run-a").row).unlink()
    before = files(out)
    with pytest.raises(UsageError, match="the matrices of run run-a of E are float64, those of run run-b in"):
        merge([one], out, report=meanwhile(lambda: shutil.copytree(other, out, dirs_exist_ok=True)))
    assert before.items() <= files(out).items() and not (out / Run("E", "run-a").row).exists()


def test_a_folder_of_two_types_is_told_which_run_to_remove(tmp_path):
    for run_id, dtype in (("run-a", np.float64), ("run-b", np.float64), ("run-c", np.float32)):
        small(tmp_path / run_id, run_id, dtype=dtype)
        shutil.copytree(tmp_path / run_id, tmp_path / "mix", dirs_exist_ok=True)
    mix = tmp_path / "mix"
    said = f"matrices in {mix} are float32 and float64, .* or `jacdb rm run-a --data {mix}` and 1 other$"
    with pytest.raises(UsageError, match=said):
        request_checks.usable_root(mix, "float32")
    with pytest.raises(UsageError, match=f"has one type: `jacdb rm run-c --data {mix}`$"):
        merge([tmp_path / "run-a"], mix)
    published("alice/of-one-type", tmp_path / "run-a")
    with pytest.raises(UsageError, match=f"into another --data, or `jacdb rm run-c --data {mix}`"):
        (mix / Run("E", "run-a").row).unlink()
        pull("alice/of-one-type", mix)


@pytest.mark.parametrize("name", ["mkdir", "replace"])
def test_a_pull_tells_a_full_disk_in_one_line_and_goes_on(tmp_path, monkeypatch, name):
    one, out = small(tmp_path / "one"), tmp_path / "out"
    published(f"alice/full-{name}", one)
    real = getattr(Path, name)

    def full(self, *words, **options):
        if "steps" in self.parts and (".pull" in self.parts) == (name == "replace"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return real(self, *words, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, name, full)
        with pytest.raises(FailureError, match=r"could not pull into .*: make room; .* the same command goes on"):
            pull(f"alice/full-{name}", out)
    pull(f"alice/full-{name}", out)
    assert files(out) == files(one)


@pytest.mark.parametrize("status", [404, 409, 412, 503])
def test_what_the_hub_says_when_it_is_asked_where_a_file_is_is_told(tmp_path, monkeypatch, status):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # before it asks again
    name, out = published(f"alice/head-{status}", small(tmp_path / "one")), tmp_path / "none" / "out"
    monkeypatch.setattr(HUB, "status_of_files", status)
    with pytest.raises(FailureError, match=rf"the Hub said no \({status}\): .*; the same command goes on"):
        pull(name, out)
    assert not out.parent.exists()
