"""The explorer's server: it gives what is listed, whole or by ranges, to this machine's browser, and nothing else."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, call_jacdb
from explored import SAMPLE, no_robot, page_in, served
from loopback import HUB

from jacdb.dataset.dataset import Dataset
from jacdb.errors import UsageError
from jacdb.explorer import byte_range
from jacdb.explorer.data_files import INDEX, TABLES
from jacdb.explorer.server import Server, serving
from jacdb.explorer.subject import Subject

PART = next((SAMPLE / "steps" / "environment=CheetahRun").rglob("*.parquet"))
PART_ADDRESS = f"/data/{PART.relative_to(SAMPLE).as_posix()}"


class Browser:
    """Requests as they are written: nothing tidies their paths."""

    def __init__(self, server: Server) -> None:
        self.port = server.server_port

    def __call__(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            if value:
                connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        response.body = response.read()
        connection.close()
        return response


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return page_in(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def get(page):
    with served(SAMPLE, page) as server:
        yield Browser(server)


def test_users_32_the_page_and_its_data_are_served(get, page):
    for path, name, kind in [
        ("/", "index.html", "text/html; charset=utf-8"),
        ("/index.html?env=CheetahRun", "index.html", "text/html; charset=utf-8"),
        ("/assets/app.js", "assets/app.js", "text/javascript; charset=utf-8"),
        ("/assets/engine.wasm", "assets/engine.wasm", "application/wasm"),
    ]:
        answer = get(path)
        assert (answer.status, answer.body) == (200, (page / name).read_bytes())
        assert answer.headers["Content-Type"] == kind
    assert get(f"/{INDEX}").headers["Content-Type"] == "application/json"
    assert get(PART_ADDRESS).body == PART.read_bytes()
    assert get(PART_ADDRESS.replace("=", "%3D").replace("Cheetah", "%43heetah")).body == PART.read_bytes()


def test_users_32_ranges_of_bytes(get):
    whole = PART.read_bytes()
    size = len(whole)
    for asked, first, last in [
        ("bytes=0-0", 0, 0), ("bytes=5-9", 5, 9), ("bytes=-8", size - 8, size - 1), (f"bytes=-{size + 5}", 0, size - 1),
        (f"bytes={size - 3}-", size - 3, size - 1), (f"bytes=10-{size + 99}", 10, size - 1),
    ]:  # fmt: skip
        answer = get(PART_ADDRESS, Range=asked)
        assert (answer.status, answer.body) == (206, whole[first : last + 1]), asked
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
    for asked in (f"bytes={size}-", "bytes=-0"):
        answer = get(PART_ADDRESS, Range=asked)
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
    for ignored in ("bytes=9-5", "bytes=0-1,4-5", "bytes=x-", "lines=0-3", "bytes=-", f"bytes={'9' * 30}-"):
        answer = get(PART_ADDRESS, Range=ignored)
        assert (answer.status, answer.body) == (200, whole), ignored
    assert byte_range.wanted("bytes=0-", 0) == range(0, 0)


def test_users_32_head_tells_the_size_and_sends_nothing(get):
    for path, size in [(PART_ADDRESS, PART.stat().st_size), (f"/{TABLES}", len(get(f"/{TABLES}").body))]:
        answer = get(path, "HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["Content-Length"] == str(size) and answer.headers["Accept-Ranges"] == "bytes"
    assert get(PART_ADDRESS, "HEAD", Range="bytes=0-").status == 206
    assert get("/nothing", "HEAD").status == 404


def test_users_32_every_answer_has_a_policy(get):
    for path, status in [("/", 200), (PART_ADDRESS, 200), (f"/{INDEX}", 200), ("/nothing", 404)]:
        answer = get(path)
        assert answer.status == status
        policy = dict(rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'"
        assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
        assert policy["frame-ancestors"] == "'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Cache-Control"] == ("no-cache" if path == "/" else "no-store")


UP = ["..", "%2e%2e", "%2E.", ".%2e", "..%2f..", "..%5c..", "%252e%252e", "....//", "..;", "%c0%ae%c0%ae", "..%00"]


@pytest.mark.parametrize("up", UP)
def test_users_32_no_spelling_leads_out_of_the_folders(up, get, page):
    (page.parent / "secret.txt").write_text("secret")
    for start in ("", "assets/", "data/", "data/steps/", "data/scenes/", "/", "//", "./"):
        for path in (
            f"/{start}{up}/secret.txt",
            f"/{start}{up}/{up}/{up}/{up}/etc/hosts",
            f"/{start}{up}/CHANGELOG.md",
        ):
            answer = get(path)
            assert answer.status == 404 and b"secret" not in answer.body


@pytest.mark.parametrize(
    "path",
    ["/etc/hosts", "//etc/hosts", "/%2fetc/hosts", f"/{SAMPLE}/README.md", "/data", "/data/", "/data/steps/", "/assets",
     "/data/patterns/", "/data/journal/", "/data/data/index.json", "/data/index.json/", "/data/scenes/0.json",
     "/index.html/", "/\\index.html", "/data/index.json%00", "/%ff%fe", "/C:/", "/data/./index.json"],
)  # fmt: skip
def test_users_32_what_is_not_listed_is_not_there(path, get):
    assert get(path).status == 404


def test_users_32_other_methods_are_refused(get):
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        answer = get(f"/{INDEX}", method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert get("/", "PROPFIND").status == 501


def test_users_32_a_name_of_another_host_is_refused(get):
    port = get.port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        assert get("/", Host=host).status == 200
    for host in (
        "evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}",
        f"localhost.:{port}", f"[::1]:{port}", "",
    ):  # fmt: skip
        answer = get(f"/{INDEX}", Host=host)
        assert answer.status == 403 and b"format" not in answer.body, host
    assert get(f"http://127.0.0.1:{port}/").status == 400


def test_users_32_a_port_in_use_is_told_in_one_line(get, page):
    with (
        pytest.raises(UsageError, match=f"--port {get.port} is in use: give another"),
        Dataset(SAMPLE) as data,
        serving(Subject(data), page, None, get.port),
    ):
        pass


def linked(folder: Path, to: Path) -> str:
    """A copy of an environment's tables, of which a part is a link; its address."""
    for table in ("steps", "axes", "episodes", "patterns", "runs"):
        for part in (SAMPLE / table / "environment=CheetahRun").rglob("*.parquet"):
            copy = folder / part.relative_to(SAMPLE)
            copy.parent.mkdir(parents=True)
            if table == "steps":
                copy.symlink_to(to)
                address = f"/data/{part.relative_to(SAMPLE).as_posix()}"
            else:
                copy.write_bytes(part.read_bytes())
    return address


def test_users_32_a_link_out_of_the_dataset_is_not_followed(tmp_path, page):
    outside = tmp_path / "outside.parquet"
    outside.write_bytes(PART.read_bytes())
    address = linked(tmp_path / "data", outside)
    with served(tmp_path / "data", page) as server:
        answer = Browser(server)(address)
        assert answer.status == 404 and b"link out of the dataset's folder" in answer.body
    (tmp_path / "inside").mkdir()
    within = tmp_path / "inside" / "kept.parquet"
    within.write_bytes(PART.read_bytes())
    address = linked(tmp_path / "inside" / "data", within)
    with served(tmp_path / "inside" / "data", page) as server:
        assert Browser(server)(address).status == 404


@pytest.mark.slow
def test_users_32_what_is_gone_since_the_start_is_told_with_the_remedy(tmp_path, page):
    for table in ("steps", "axes", "episodes", "patterns", "runs", "partials"):
        for env in ("CartpoleBalance", "CheetahRun"):
            shutil.copytree(SAMPLE / table / f"environment={env}", tmp_path / "data" / table / f"environment={env}")
    with served(tmp_path / "data", page) as server:
        browser = Browser(server)
        made, kept = [run["file"] for run in json.loads(browser(f"/{INDEX}").body)["runs"]][::-1]
        assert browser(f"/{made}").status == 200
        for folder in (tmp_path / "data").glob("*/environment=CheetahRun"):
            shutil.rmtree(folder)
        gone = f"{PART_ADDRESS.removeprefix('/data/')} is gone since `jacdb explore` was started: start it again\n"
        for address in (PART_ADDRESS, f"/{made.replace('.json', '.duckdb')}"):
            answer = browser(address)
            assert (answer.status, answer.body[:999]) == (410, gone.encode()), address
        assert browser(f"/{kept}").status == browser(f"/{TABLES}").status == 200


def test_users_32_links_in_the_page_are_left_out(tmp_path):
    page = page_in(tmp_path / "page")
    (page / "hosts.txt").symlink_to("/etc/hosts")
    with served(SAMPLE, page) as server:
        assert Browser(server)("/hosts.txt").status == 404


def test_users_32_a_robot_that_cant_be_shown_is_a_sentence(page):
    def fails(env, *_):
        if env == "CheetahRun":
            raise UsageError("no\nnetwork")
        return no_robot(env)

    with served(SAMPLE, page, fails) as server:
        browser = Browser(server)
        runs = {run["env"]: run for run in json.loads(browser(f"/{INDEX}").body)["runs"]}
        answer = browser(f"/{runs['CheetahRun']['scene']}")
        assert answer.status == 404 and answer.body == b"the robot of CheetahRun can't be shown: no\n"
        answer = browser(f"/{runs['WalkerRun']['scene']}")
        assert answer.status == 200 and b'"meshes_bytes":4' in answer.body
        assert browser(f"/{runs['WalkerRun']['scene'].replace('.json', '.bin')}").body == b"mesh"


@pytest.mark.slow
def test_users_32_what_was_made_is_removed_at_the_end(page, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with served(SAMPLE, page, envs=["CartpoleBalance"]) as server:
        assert Browser(server)(f"/{TABLES}").status == 200
        assert len([*tmp_path.iterdir()]) == 1
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_users_32_a_dataset_on_the_hub_is_read_by_ranges(page):
    ran = call_jacdb("publish", "alice/explored", "--data", SAMPLE, token="hf_alice")
    assert ran.returncode == 0, ran.stderr
    with served("hf://datasets/alice/explored", page, envs=["CheetahRun"]) as server:
        browser, before = Browser(server), HUB.sent
        answer = browser(PART_ADDRESS, Range="bytes=-1000")
        assert (answer.status, answer.body) == (206, PART.read_bytes()[-1000:])
        assert HUB.sent - before < 20_000 < PART.stat().st_size
        assert browser(PART_ADDRESS, Range="bytes=70000-399999").body == PART.read_bytes()[70000:400000]
        assert browser(f"/{INDEX}").status == browser(f"/{TABLES}").status == 200
        assert browser(PART_ADDRESS.replace("CheetahRun", "WalkerRun")).status == 404


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_users_32_the_command_serves_until_it_is_stopped(number, tmp_path):
    page = page_in(tmp_path / "page")
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # one in the background ignores it,
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # and one under nohup this
        f"from pathlib import Path; from jacdb import cli; from jacdb.explorer import page\n"
        f"page.page_folder = lambda: Path({str(page)!r})\ncli.main()"
    )
    words = ["explore", "--data", SAMPLE, "--no-browser"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, cwd=ROOT,
    ) as command:  # fmt: skip
        said = command.stdout.readline()
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends it\)$", said)[1])
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            connection.request("GET", f"/{INDEX}")
            assert connection.getresponse().status == 200
            command.send_signal(number)
            out, err = command.communicate(timeout=120)
        finally:
            command.kill()  # whatever has failed, nothing waits for it
    assert (command.returncode, out) == (128 + number, "")
    assert err == "jacdb: stopped; what was made for the page is removed\n"
    for _ in range(100):
        if not [*tmp_path.glob("jacdb-explore-*")]:
            break
        time.sleep(0.05)
    assert not [*tmp_path.glob("jacdb-explore-*")]
