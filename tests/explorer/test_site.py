"""The explorer as a static site: the same files in a folder, in the place of a site of before and of nothing else."""

import functools
import http.server
import json
import threading
import urllib.request

import pytest
from conftest import leave_a_draft
from explored import SAMPLE, load, no_robot, page_in, served

from jacdb.cli.explore import explore
from jacdb.dataset.dataset import Dataset
from jacdb.errors import FailureError, UsageError
from jacdb.explorer import page as pages
from jacdb.explorer import site as sites
from jacdb.explorer.data_files import INDEX, TABLES
from jacdb.explorer.subject import Subject


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return page_in(tmp_path_factory.mktemp("page"))


def write(out, page, data=SAMPLE, envs=("CheetahRun",), maker=no_robot, **of):
    with Dataset(data) as dataset:
        return sites.write(Subject(dataset, envs), page, out, maker, **of)


def files(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def site(page, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "site"
    made = write(out, page, envs=None)
    assert (made.folder, made.missing) == (out, {})
    assert made.n_files == len(files(out)) and f"{made.n_files:,} files" in made.describe()
    return out


@pytest.mark.slow
def test_users_32_a_site_has_what_the_server_gives(site, page):
    with served(SAMPLE, page) as server:
        for address, path in files(site).items():
            with urllib.request.urlopen(server.address + address) as answer:
                content = answer.read()
            # pages of a database file are written in no fixed order
            assert address.endswith(".duckdb") or content == path.read_bytes(), address


@pytest.mark.slow
def test_users_32_any_server_of_files_shows_a_site(site):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=site)
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def get(address):
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/{address}") as answer:
            return answer.read()

    index = json.loads(get(INDEX))
    assert len(index["runs"]) == 9 and b"<title>page</title>" in get("")
    for run in index["runs"]:
        assert json.loads(get(run["scene"]))["robot"] == run["env"]
        for part in json.loads(get(run["file"]))["parts"]:
            assert len(get(index["parts"] + part["path"])) == part["bytes"]
    server.shutdown()


def test_users_32_parts_are_the_datasets_own_files(site):
    for part in SAMPLE.glob("steps/*/*/*.parquet"):
        assert (site / "data" / part.relative_to(SAMPLE)).samefile(part)


@pytest.mark.slow
def test_users_32_parts_are_copied_where_a_file_cant_have_two_names(page, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("other device")

    monkeypatch.setattr("os.link", refuse)
    write(tmp_path / "site", page)
    [part] = SAMPLE.glob("steps/environment=CheetahRun/*/*.parquet")
    copy = tmp_path / "site" / "data" / part.relative_to(SAMPLE)
    assert copy.read_bytes() == part.read_bytes() and not copy.samefile(part)


def test_a_site_of_before_that_a_killed_command_left_half_removed_goes_with_the_next(tmp_path):
    out, draft = tmp_path / "site", tmp_path / "draft"
    out.mkdir()
    leave_a_draft(tmp_path / "site.former")
    draft.mkdir()
    sites._replace(draft, out)
    assert [*tmp_path.iterdir()] == [out]


@pytest.mark.slow
def test_users_32_a_site_of_before_is_replaced(page, tmp_path):
    out = tmp_path / "site"
    write(out, page, envs=None)
    write(out, page, envs=["WalkerRun"])
    assert [run["env"] for run in load(out / INDEX)["runs"]] == ["WalkerRun"]
    assert not [*out.rglob("*CheetahRun*")] and [path.name for path in tmp_path.iterdir()] == ["site"]
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", page)


@pytest.mark.slow
@pytest.mark.parametrize("own", [".git/config", "notes.txt", "data/mine.csv", "assets"])
def test_users_32_a_folder_with_anything_else_is_refused(own, page, tmp_path):
    out = tmp_path / "site"
    if own == "assets":  # looks like a page, and was never a site
        (out / own).mkdir(parents=True)
    else:
        write(out, page)
        (out / own).parent.mkdir(exist_ok=True)
        (out / own).write_text("mine")
    before = files(tmp_path)
    with pytest.raises(UsageError, match="no site of the explorer's: give a new folder"):
        write(out, page)
    assert files(tmp_path) == before


@pytest.mark.slow
def test_users_32_parts_may_lie_elsewhere(page, tmp_path):
    address = pages.check_parts_address("https://huggingface.co/datasets/alice/d/resolve/main")
    write(tmp_path / "site", page, parts_at=address)
    assert load(tmp_path / "site" / INDEX)["parts"] == "https://huggingface.co/datasets/alice/d/resolve/main/"
    assert not (tmp_path / "site" / "data" / "steps").exists() and (tmp_path / "site" / TABLES).is_file()
    html = (tmp_path / "site" / "index.html").read_text()
    assert "connect-src 'self' https://huggingface.co https://*.hf.co;" in html


@pytest.mark.parametrize(
    "address", ["data", "ftp://h/x", "https://h/x?y=1", "https://h/ *", "https://h;x/", "https://h"]
)
def test_users_32_an_address_of_parts_is_plain(address):
    if address == "https://h":
        assert pages.check_parts_address(address) == "https://h/"
        return
    with pytest.raises(UsageError, match="--parts-at"):
        pages.check_parts_address(address)


@pytest.mark.slow
def test_users_32_a_robot_that_cant_be_shown_stops_nothing(page, tmp_path):
    def fails(env, *_):
        if env == "CheetahRun":
            raise UsageError("no network")
        return no_robot(env)

    made = write(tmp_path / "site", page, envs=["CheetahRun", "WalkerRun"], maker=fails)
    assert [*made.missing.values()] == ["the robot of CheetahRun can't be shown: no network"]
    runs = {run["env"]: run for run in load(tmp_path / "site" / INDEX)["runs"]}
    assert runs["CheetahRun"]["scene"] is None and "no network" in runs["CheetahRun"]["scene_missing"]
    assert (tmp_path / "site" / runs["WalkerRun"]["scene"]).is_file()


@pytest.mark.slow
def test_users_32_a_site_without_a_simulator_says_so(page, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jacdb.simulator.missing", lambda: "mujoco")
    monkeypatch.setattr("jacdb.explorer.page.page_folder", lambda: page)
    explore(env=["CheetahRun"], out=tmp_path / "site", parts_at=None, port=0, data=str(SAMPLE))
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if "robots" in line] == [
        "the site has no robots, which need a simulator: pip install 'jacdb[ingest]', then write it again"
    ]


@pytest.mark.slow
def test_users_32_a_link_out_of_the_dataset_is_not_published(page, tmp_path):
    data = tmp_path / "data"
    for table in ("axes", "episodes", "patterns", "runs", "steps"):
        for part in (SAMPLE / table / "environment=CheetahRun").rglob("*.parquet"):
            copy = data / part.relative_to(SAMPLE)
            copy.parent.mkdir(parents=True)
            copy.symlink_to(part) if table == "steps" else copy.write_bytes(part.read_bytes())
    with pytest.raises(FailureError, match="a link out of the dataset's folder"):
        write(tmp_path / "site", page, data)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
