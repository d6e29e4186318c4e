"""Against a Hub on loopback, by the real huggingface_hub client: what is published is what is pulled, and read."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import call_jacdb, run_jacdb
from hub_datasets import ALICE, SAMPLE, as_alice, contents, refused, small
from loopback import HUB, is_large

import jacdb
from jacdb import hub
from jacdb.dataset.layout import PartPath, Run
from jacdb.errors import FailureError
from jacdb.publishing.pull import pull

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def published():
    """The sample, published."""
    ran = as_alice("publish", "alice/sample", "--data", SAMPLE, "--tag", "v1.0.0")
    assert ran.returncode == 0, ran.stderr
    return "alice/sample"


def test_what_is_published_is_what_is_pulled(published, tmp_path):
    sample = contents(SAMPLE)
    on_hub = HUB.files(published)
    assert {path: on_hub[path] for path in sample} == sample
    beside = {path.split("/")[0] for path in set(on_hub) - set(sample)}
    assert beside == {".gitattributes", "README.md", "figures", "policies"}
    assert call_jacdb("pull", published, "--data", tmp_path, token=None).returncode == 0
    assert contents(tmp_path) == sample
    again = as_alice("pull", published, "--data", tmp_path)
    assert "0 runs, 0 bytes" in again.stdout and "9 were there" in again.stdout


def test_an_unchanged_publication_makes_no_commit(published):
    head = HUB.repositories[published].head
    ran = as_alice("publish", published, "--data", SAMPLE, "--tag", "v1.0.0")
    assert "nothing had changed" in ran.stdout and HUB.repositories[published].head == head


def test_a_pinned_revision_stays_what_it_was(tmp_path):
    root = small(tmp_path / "data")
    first = contents(root)
    assert as_alice("publish", "alice/grows", "--data", root, "--tag", "v1.0.0").returncode == 0
    commit = HUB.repositories["alice/grows"].head
    small(root, "run-b")
    refused(as_alice("publish", "alice/grows", "--data", root, "--tag", "v1.0.0"), "v1.0.0", "next version")
    assert as_alice("publish", "alice/grows", "--data", root, "--tag", "v1.1.0").returncode == 0
    for revision in ("v1.0.0", commit):
        assert as_alice("pull", "alice/grows", "--revision", revision, "--data", tmp_path / revision).returncode == 0
        assert contents(tmp_path / revision) == first
        counted = as_alice("sql", "select count(*) from steps", "--format", "csv",
                          "--data", f"hf://datasets/alice/grows@{revision}")  # fmt: skip
        assert counted.stdout.split() == ["count_star()", "3"]
    assert as_alice("pull", "alice/grows", "--data", tmp_path / "v1.0.0").returncode == 0
    assert contents(tmp_path / "v1.0.0") == contents(root)
    refused(as_alice("pull", "alice/grows", "--revision", "v9.9.9", "--data", tmp_path / "x"), "'v9.9.9'")
    small(tmp_path / "other", "run-c")
    refused(as_alice("publish", "alice/grows", "--data", tmp_path / "other"), "2 runs that this folder lacks", "pull")


def test_an_upload_that_was_killed_sends_only_the_rest(tmp_path):
    for number in range(6):
        small(tmp_path, f"killed-{number}", value=7.0 + number)
    before = set(HUB.objects)  # other tests' pictures
    HUB.cut_after, HUB.taken = 11, []
    words = [sys.executable, "-m", "jacdb", "publish", "alice/killed", "--data", str(tmp_path)]
    killed = subprocess.Popen(words, env={**os.environ, "HF_TOKEN": ALICE}, stderr=subprocess.DEVNULL)
    while len(HUB.taken) < 11 and killed.poll() is None:
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    sent = set(HUB.taken)
    assert len(sent) == 11 and "README.md" not in HUB.files("alice/killed")
    HUB.cut_after, HUB.taken = None, []
    assert as_alice(*words[3:]).returncode == 0
    _, tree = HUB.repositories["alice/killed"].resolve("main")
    large = {digest for path, digest in tree.items() if is_large(path, HUB.objects[digest])}
    assert sent.isdisjoint(HUB.taken) and sent | set(HUB.taken) == large - before
    assert HUB.files("alice/killed").items() >= contents(tmp_path).items()


def test_an_upload_that_is_cut_gets_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # before it tries again
    monkeypatch.setattr(HUB, "cut_after", 2)
    monkeypatch.setattr(HUB, "taken", [])
    words = ("publish", "alice/cut", "--data", small(tmp_path, "run-cut", value=5.0))
    refused(as_alice(*words), "alice/cut: ", "was not uploaded", "the same command goes on", code=1)
    monkeypatch.setattr(HUB, "cut_after", None)
    assert as_alice(*words).returncode == 0


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (OSError(errno.ENOSPC, "No space"), ": No space left on device: make room; the same command goes on"),
        (PermissionError(errno.EACCES, "No", "/no/x"), ": Permission denied: /no/x; the same command goes on"),
        (TimeoutError("timed out"), r" \(timed out\): check the network; the same command goes on"),
        (ValueError("malformed"), r" \(malformed\); the same command goes on"),
    ],
)
def test_an_upload_that_fails_is_told_by_its_cause(cause, said):
    error = RuntimeError("Error while uploading 'steps/x' to the Hub.")
    with pytest.raises(FailureError, match=f"^a/b: steps/x was not uploaded{said}"), hub.explained("a/b"):
        raise error from cause


def test_an_error_that_is_not_the_hubs_stays_what_it_is():
    for error in (
        RuntimeError("can't start new thread"), OSError("x"), RecursionError("deep"), BrokenPipeError()
    ):  # fmt: skip
        with pytest.raises(type(error)) as raised, hub.explained("a/b"):
            raise error
        assert raised.value is error
    short = OSError("Consistency check failed: file should be of size 9 but has size 4 (x).")
    with pytest.raises(FailureError, match=r"^a/b: Consistency .* check the network; the same"), hub.explained("a/b"):
        raise short
    compiled = {"__name__": "huggingface_hub._commit_api", "error": RuntimeError("Internal error: cut")}
    said = r"a/b: a transfer failed \(Internal error: cut\): check the network;"
    with pytest.raises(FailureError, match=said), hub.explained("a/b"):
        exec("raise error", compiled)


def test_of_two_who_publish_at_once_one_is_told(tmp_path):
    repository = "alice/both"
    assert as_alice("publish", repository, "--data", small(tmp_path / "a")).returncode == 0
    words = ("publish", repository, "--data", small(tmp_path / "a", "run-b"))
    theirs = HUB.repositories[repository]
    HUB.before_commit.append(lambda: theirs.commit({**theirs.trees[theirs.head], "runs/x": HUB.keep(b"theirs")}))
    refused(as_alice(*words), "someone else published to alice/both meanwhile", "again", code=1)
    assert "run-b" not in HUB.files(repository)["README.md"].decode() and "runs/x" in HUB.files(repository)
    assert as_alice(*words).returncode == 0
    assert "run-b" in HUB.files(repository)["README.md"].decode()


def test_who_may_do_what(published, tmp_path):
    root = small(tmp_path / "data")
    assert as_alice("publish", "alice/secret", "--data", root, "--private").returncode == 0
    secret = ("alice/secret", "--data", tmp_path / "x")
    refused(call_jacdb("pull", *secret, token=None), "alice/secret", "if it is private, log in")
    refused(call_jacdb("pull", *secret, token="hf_bob"), "alice/secret", "check the name")
    refused(call_jacdb("pull", *secret, token="hf_nobodys"), "does not know this token")
    refused(call_jacdb("publish", "alice/secret", "--data", root, token=None), "log in")
    refused(call_jacdb("publish", "alice/new", "--data", root, token="hf_alice_reads"), "may not", "write")
    refused(call_jacdb("publish", "alice/new", "--data", root, token="hf_bob"), "may not", "write")
    refused(as_alice("publish", published, "--data", SAMPLE, "--private"), "public")
    assert call_jacdb("pull", *secret, token="hf_alice_reads").returncode == 0
    assert not list(tmp_path.rglob("*hf_alice*"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("publish", "alice"), "'alice'"),
        (("publish", "alice/x/y"), "'alice/x/y'"),
        (("publish", "alice/x", "--tag", "1.0"), "v1.0.0"),
        (("publish", "alice/x", "--data", "nowhere"), "nowhere"),
        (("pull", "alice/absent"), "alice/absent"),
        (("pull", "alice/sample", "--env", "Cartpole"), "CartpoleBalance"),
        (("pull", "alice/sample", "--data", __file__), "is a file"),
        (("query", "runs", "--data", "hf://alice/sample"), "hf://datasets/OWNER/NAME"),
        (("query", "runs", "--data", "hf://datasets/alice/sample@v7"), "'v7'"),
        (("query", "runs", "--data", "hf://datasets/alice/absent"), "alice/absent"),
        (("ingest", "--env", "CheetahRun", "--data", "hf://datasets/alice/sample"), "jacdb publish"),
    ],
)
def test_wrong_words_get_one_line(published, words, told):
    refused(as_alice(*words), told)


def test_a_lost_network_gets_one_line(tmp_path):
    words = ("pull", "alice/sample", "--data", str(tmp_path / "x"))
    refused(run_jacdb(*words, HF_ENDPOINT="http://127.0.0.1:9"), "127.0.0.1:9", code=1)


def test_a_broken_dataset_is_not_published(tmp_path):
    root = small(tmp_path / "data")
    [steps] = root.glob("steps/*/*/*.parquet")
    content = bytearray(steps.read_bytes())
    content[len(content) // 2] ^= 1
    steps.write_bytes(content)
    refused(as_alice("publish", "alice/broken", "--data", root), "SHA-256", "nothing was published", code=1)
    dry = call_jacdb("publish", "alice/dry", "--data", SAMPLE, "--dry-run", token=None)
    assert dry.returncode == 0 and "license:" in dry.stdout and "steps/environment=CheetahRun/" in dry.stdout


def test_unfinished_runs_are_left_out(tmp_path):
    root = small(small(tmp_path / "data"), "run-b")
    (root / "runs/environment=E/run=run-b/part-00000.parquet").unlink()
    ran = as_alice("publish", "alice/half", "--data", root)
    assert ran.returncode == 0 and "run-b" in ran.stderr
    assert not any("run-b" in path for path in HUB.files("alice/half"))
    assert "run-b" not in HUB.files("alice/half")["README.md"].decode()


def test_a_run_without_its_checksums_is_completed(tmp_path):
    whole = contents(small(tmp_path / "data"))
    assert as_alice("publish", "alice/sums", "--data", tmp_path / "data").returncode == 0
    assert as_alice("pull", "alice/sums", "--data", tmp_path / "here").returncode == 0
    (tmp_path / "here" / Run("E", "run-a").manifest).unlink()
    ran = as_alice("pull", "alice/sums", "--data", tmp_path / "here")
    assert "1 run, " in ran.stdout and "were there" not in ran.stdout
    assert contents(tmp_path / "here") == whole


def test_one_environment_costs_no_more_than_itself(published, tmp_path):
    before = HUB.sent
    assert as_alice("pull", published, "--env", "ReacherHard", "--data", tmp_path).returncode == 0
    got = contents(tmp_path)
    assert HUB.sent - before == sum(map(len, got.values()))
    assert {PartPath.parse(path).run.env for path in got if PartPath.parse(path)} == {"ReacherHard"}


def stopped_pull(name, root):
    """Pull until a third of the bytes is there, by a Ctrl-C that the report raises."""

    def report(event):
        if event.total and event.done > event.total / 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(name, root, report=report)


def test_a_pull_that_was_stopped_goes_on(published, tmp_path):
    stopped_pull(published, tmp_path)
    before = HUB.sent
    assert call_jacdb("pull", published, "--data", tmp_path).returncode == 0
    assert contents(tmp_path) == contents(SAMPLE)
    assert HUB.sent - before < 0.9 * sum(map(len, contents(SAMPLE).values()))


def test_a_pull_onto_a_disk_without_locks_is_told(published, tmp_path, monkeypatch):
    def no_locks(descriptor, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(FailureError, match=r"could not pull into .*: keep the dataset on a disk that has locks"):
        pull(published, tmp_path / "copy")


def test_a_run_that_is_another_is_not_overwritten(tmp_path):
    assert as_alice("publish", "alice/mine", "--data", small(tmp_path / "mine")).returncode == 0
    other = small(tmp_path / "other", value=2.0)
    before = contents(other)
    refused(as_alice("pull", "alice/mine", "--data", other), "run-a", "another --data")
    assert {path: content for path, content in contents(other).items() if not path.startswith(".pull/")} == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"names": {"action": ["other"]}}, "E: action axis 0 is other (1) in run run-b in alice/"),
        ({"dtype": np.float32}, "are float64, those in alice/"),
    ],
)
def test_what_cannot_be_one_dataset_is_not_pulled_into_one(tmp_path, monkeypatch, options, told):
    """An environment's runs have the same axes, and a dataset has matrices of one type, as for a merge."""
    name = f"alice/other-{'-'.join(options)}"
    monkeypatch.chdir(tmp_path)
    other, mine = (
        small(tmp_path / "other", "run-b", **options),
        small(Path(name)),
    )  # a folder called as the repository is
    assert as_alice("publish", name, "--data", other).returncode == 0
    before = contents(mine)
    refused(as_alice("pull", name, "--data", mine), told, "another --data")
    assert contents(mine) == before and not (mine / ".pull").exists()
    assert as_alice("pull", name, "--data", tmp_path / "fresh").returncode == 0
    files = contents(small(tmp_path / "third")) | contents(other)  # a repository that mixes them already
    HUB.repositories[name].commit({path: HUB.keep(content) for path, content in files.items()})
    refused(as_alice("pull", name, "--data", tmp_path / "none" / "below"), "ask its owner to publish each")
    assert not (tmp_path / "none").exists()
    files |= contents(small(tmp_path / "fourth", env="F"))
    HUB.repositories[name].commit({path: HUB.keep(content) for path, content in files.items()})
    refused(as_alice("pull", name, "--data", tmp_path / "none"), "--env")
    assert as_alice("pull", name, "--env", "F", "--data", tmp_path / "none").returncode == 0


def test_a_refused_pull_keeps_what_an_interrupted_one_had_fetched(published, tmp_path):
    root = tmp_path / "data"
    stopped_pull(published, root)
    fetched = [*(root / ".pull").rglob("*.parquet")]
    shutil.copytree(small(tmp_path / "other"), root, dirs_exist_ok=True)
    refused(as_alice("pull", published, "--data", root), "one type", "another --data")
    assert fetched and all(path.is_file() for path in fetched)


# --- without jacdb -------------------------------------------------------------------------------------------


def test_the_cards_own_code_reads_what_was_published(published, tmp_path):
    card = HUB.files(published)["README.md"].decode()
    snippets = re.findall(r"^```python\n(.*?)^```", card, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 5
    for snippet in snippets:
        said = _python(snippet, tmp_path)
        assert said.strip(), snippet


def test_every_config_loads_by_its_name(published, tmp_path):
    """With Hugging Face's own `datasets`: as many rows as the files have, and the matrices' numbers."""
    card = yaml.safe_load(HUB.files(published)["README.md"].decode().split("---")[1])
    names = [config["config_name"] for config in card["configs"]]
    code = f"""
import json
from datasets import load_dataset
rows = {{}}
for name in {names}:
    found = load_dataset({published!r}, name, split="train")
    rows[name] = len(found)
    if name == "PandaPickCube":
        first = found[0]["j_state"]
print(json.dumps([rows, first]))"""
    rows, first = json.loads(_python(code, tmp_path))
    with jacdb.open(SAMPLE) as local:
        expected = dict(local.sql("select env, count(*) from steps group by env").fetchall())
        for table in ("patterns", "episodes", "axes", "runs"):
            expected[table] = local.sql(f"select count(*) from {table}").fetchall()[0][0]
        [panda] = local.sql("select j_state from steps where env = 'PandaPickCube' limit 1").fetchall()
    assert rows == expected and np.array_equal(first, panda[0])


def _python(code: str, folder) -> str:
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, timeout=300,
                         capture_output=True, text=True)  # fmt: skip
    assert ran.returncode == 0, f"{code}: {ran.stderr}"
    return ran.stdout


def test_a_policy_from_the_hub(published, tmp_path):
    code = f"""
import os
from jacdb.errors import UsageError
from jacdb.ingest.environments import registry
from jacdb.ingest.policies import resolve
from_hub = resolve.find("hf://datasets/{published}", registry.find("CartpoleBalance"))
assert from_hub.settings() == resolve.find("expert", registry.find("CartpoleBalance")).settings()
for repository in ("", {published!r}):
    os.environ["JACDB_HUB"] = repository
    try:
        resolve.find("expert", registry.find("PandaOpenCabinet"))
    except UsageError as error:
        print(error)"""
    without, without_either = _python(code, tmp_path).splitlines()
    assert "JACDB_HUB=OWNER/NAME" in without and "jacdb train" in without
    assert f"{published} has no policies/PandaOpenCabinet.safetensors" in without_either
