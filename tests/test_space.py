"""The explorer as a Space on the Hub: a static site, whose page reads the dataset's repository at one commit."""

import json
import re
import urllib.request

import numpy as np
import pytest
import yaml
from conftest import call_jacdb
from explored import SAMPLE, no_robot, page_in
from loopback import HUB, SPACE
from synthetic import dataset, episode

from jacdb.cli import explore
from jacdb.explorer import page

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def built(tmp_path_factory, monkeypatch):
    folder = page_in(tmp_path_factory.mktemp("page"))
    monkeypatch.setattr(page, "page_folder", lambda: folder)
    monkeypatch.setattr(explore, "_installed_maker", lambda: no_robot)


def publish(name, *words, data=SAMPLE):
    return call_jacdb("publish", name, "--data", data, *words, token="hf_alice")


def small(root, value=1.0):
    j = np.full((3, 2, 3), value)
    dataset(root, "E", [episode(0, j[..., :2], j[..., 2:])])
    return root


def test_users_32_a_space_shows_the_commit_that_was_published():
    ran = publish("alice/shown", "--explorer", "alice/shown")
    assert ran.returncode == 0, ran.stderr
    assert f"{HUB.url}/spaces/alice/shown at" in ran.stdout
    assert HUB.repositories[f"alice/shown{SPACE}"].sdk == "static"
    files = HUB.files(f"alice/shown{SPACE}")
    card = yaml.safe_load(files["README.md"].decode().split("---")[1])
    assert card["sdk"] == "static" and card["app_file"] in files and card["datasets"] == ["alice/shown"]
    assert f"connect-src 'self' {HUB.url};" in files["index.html"].decode()
    assert not any(path.startswith("data/steps") for path in files)
    index = json.loads(files["data/index.json"])
    commit = HUB.repositories["alice/shown"].head
    assert index["parts"] == f"{HUB.url}/datasets/alice/shown/resolve/{commit}/"
    [run] = (one for one in index["runs"] if one["env"] == "CheetahRun")
    [part] = json.loads(files[run["file"]])["parts"]
    with urllib.request.urlopen(index["parts"] + part["path"]) as answer:
        assert answer.read() == (SAMPLE / part["path"]).read_bytes()


def test_users_32_a_space_is_sent_anew_only_if_it_has_changed(tmp_path):
    words = ("alice/again", "--explorer", "alice/again-page")
    assert publish(*words, data=small(tmp_path / "a")).returncode == 0
    head = HUB.repositories[f"alice/again-page{SPACE}"].head
    ran = publish(*words, data=tmp_path / "a")
    assert ran.stdout.count("nothing had changed") == 2
    assert HUB.repositories[f"alice/again-page{SPACE}"].head == head
    assert publish("alice/other", "--explorer", "alice/again-page", data=small(tmp_path / "b", 2.0)).returncode == 0
    files = HUB.files(f"alice/again-page{SPACE}")
    assert "datasets/alice/other/resolve" in json.loads(files["data/index.json"])["parts"]


def test_a_site_is_not_mixed_with_one_that_was_published_meanwhile(tmp_path):
    words = ("alice/mixed", "--explorer", "alice/mixed-page")
    assert publish(*words, data=small(tmp_path / "a")).returncode == 0
    theirs = HUB.repositories[f"alice/mixed-page{SPACE}"]
    again = small(tmp_path / "a", 2.0)
    meanwhile = {**theirs.trees[theirs.head], "data/other.json": HUB.keep(b"theirs")}
    HUB.before_commit += [lambda: theirs.commit(meanwhile), lambda: None]  # the dataset's commit comes first
    ran = publish(*words, data=again)
    assert ran.returncode == 1 and "someone else published to alice/mixed-page meanwhile" in ran.stderr
    assert "data/other.json" in HUB.files(f"alice/mixed-page{SPACE}")


def test_users_32_a_strangers_space_and_a_private_dataset_are_refused(tmp_path):
    data = small(tmp_path)
    assert publish("alice/own", "--explorer", "alice/own", data=data).returncode == 0
    space = HUB.repositories[f"alice/own{SPACE}"]
    space.commit({"app.py": HUB.keep(b"print()")})
    ran = publish("alice/fresh", "--explorer", "alice/own", data=data)
    assert ran.returncode == 2 and "holds app.py, and is no page of the explorer's" in ran.stderr
    assert "alice/fresh" not in HUB.repositories and [*HUB.files(f"alice/own{SPACE}")] == ["app.py"]
    ran = publish("alice/fresh", "--private", "--explorer", "alice/fresh", data=data)
    assert ran.returncode == 2 and "can't be --private" in ran.stderr
    assert publish("alice/hidden", "--private", data=data).returncode == 0
    ran = publish("alice/hidden", "--explorer", "alice/hidden", data=data)
    assert ran.returncode == 2 and "alice/hidden is private" in ran.stderr
    ran = publish("alice/fresh", "--explorer", "bob/page", data=data)
    assert ran.returncode == 2 and "may not do that to bob/page" in ran.stderr
    ran = publish("alice/fresh", "--explorer", "page", data=data)
    assert ran.returncode == 2 and "no repository is called 'page'" in ran.stderr


def test_users_32_a_dry_run_lists_the_spaces_files(tmp_path):
    ran = publish("alice/dry", "--explorer", "alice/dry", "--dry-run", data=small(tmp_path))
    assert ran.returncode == 0 and "Space alice/dry:" in ran.stdout
    assert re.search(r"\d  data/tables.duckdb\n", ran.stdout) and not any("dry" in name for name in HUB.repositories)
