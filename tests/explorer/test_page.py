"""The page in a browser: headless Chromium, driven by playwright-core, over the real server.

What it must show is worked out here, by jacdb's SQL and by MuJoCo; jacdb/explorer/web/tests compares.
"""

import functools
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import synthetic
from conftest import ROOT
from driven_page import NEEDS, built, node
from explored import SAMPLE, no_robot, served
from polars.testing import assert_frame_equal

import jacdb
from jacdb import queries
from jacdb.cli.explore import _installed_maker
from jacdb.explorer.index import NOT_IN_A_BROWSER

GRASP = Path(__file__).parent / "grasp"  # two episodes of PandaPickCube by the expert, which touches the cube
ENVS = ("CartpoleBalance", "CheetahRun")  # of the sample
LONGEST_INTEGER = 2**53  # that JSON's readers take

pytestmark = NEEDS


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for source, envs in ((SAMPLE, ENVS), (GRASP, ("PandaPickCube",))):
        for env in envs:
            for folder in source.glob(f"*/environment={env}"):
                shutil.copytree(folder, root / folder.relative_to(source))
    return root


def run_of(dataset: jacdb.Dataset, env: str) -> str:
    return dataset.sql(f"select run_id from runs where env = '{env}'").fetchall()[0][0]


def entries(dataset: jacdb.Dataset, env: str, steps: list[tuple[int, int]]) -> list[dict]:
    """Values at some entries, among them the largest; zeros by pattern are left out, which hold what rounding left."""
    found, run = [], run_of(dataset, env)
    for episode, step in steps:
        row = dataset.sql(
            f"select j_state, j_action from steps where env = '{env}' and episode = {episode} and step = {step}"
        ).fetchall()[0]
        for jacobian, matrix in zip(("state", "action"), row, strict=True):
            cells = [(abs(value), i, j, value) for i, line in enumerate(matrix) for j, value in enumerate(line)]
            cells = sorted(cell for cell in cells if cell[0] > 1e-9)
            for _, i, j, value in (cells[0], cells[len(cells) // 2], cells[-1]):
                found.append(
                    {"env": env, "run": run, "episode": episode, "step": step, "jacobian": jacobian}
                    | {"row": i, "col": j, "value": value}
                )
    return found


def touch(dataset: jacdb.Dataset) -> dict:
    """The first step in which the hand touches the box, and the last before it, and the block of box by arm."""
    [(episode, step, name)] = dataset.sql(
        "with each as (select episode, step, unnest(contacts) as c from steps where env = 'PandaPickCube')"
        " select episode, step, c.geom1 || ' touches ' || c.geom2 from each where c.geom1 <> 'floor' and"
        " (c.geom1 = 'box' or c.geom2 = 'box') order by episode, step limit 1"
    ).fetchall()
    axes = dataset.sql(
        "select \"index\", body from axes where env = 'PandaPickCube' and space = 'tangent' order by \"index\""
    ).fetchall()
    rows = [index for index, body in axes if body == "box"]
    cols = [index for index, body in axes if body in ("link1", "link2", "link4")]
    run = run_of(dataset, "PandaPickCube")
    return {
        "env": "PandaPickCube", "run": run, "episode": episode, "before": step - 2, "touch": step, "name": name,
        "rows": rows, "cols": cols,
    }  # fmt: skip


def chosen(dataset: jacdb.Dataset, touched: dict, row: str, col: str) -> dict:
    """An entry by its names, and the first step of the touched episode in which it is not zero."""
    places = dict(
        dataset.sql("select name, \"index\" + 1 from axes where env = 'PandaPickCube' and space = 'tangent'").fetchall()
    )
    [(first,)] = dataset.sql(
        f"select min(step) from steps where env = 'PandaPickCube' and episode = {touched['episode']}"
        f" and abs(j_state[{places[row]}][{places[col]}]) > 1e-12"
    ).fetchall()
    return {name: touched[name] for name in ("env", "run", "episode")} | {"row": row, "col": col, "touch": first}


def pose(dataset: jacdb.Dataset, env: str, episode: int, step: int) -> dict:
    import mujoco

    from jacdb.ingest.environments.loading import System

    model = System.load(env).mj_model
    state = mujoco.MjData(model)
    where = f"env = '{env}' and episode = {episode} and step = {step}"
    state.qpos = dataset.sql(f"select state from steps where {where}").fetchall()[0][0][: model.nq]
    mujoco.mj_kinematics(model, state)
    drawn = [i for i in range(model.ngeom) if model.geom_group[i] < 3]
    return {
        "env": env, "run": run_of(dataset, env), "episode": episode, "step": step,
        "positions": state.geom_xpos[drawn].tolist(),
    }  # fmt: skip


def graph(dataset: jacdb.Dataset, env: str, episode: int, threshold: float) -> dict:
    """Pairs of a body or an action and a body between which an entry reaches a threshold in some step of an episode."""
    axes = dataset.sql(f"select space, name, body from axes where env = '{env}' order by space, \"index\"").fetchall()
    nodes = {space: [] for space in ("tangent", "action", "state")}
    for space, name, body in axes:
        nodes[space].append(name if space == "action" else body)
    edges = set()
    for matrices in dataset.sql(
        f"select j_state, j_action from steps where env = '{env}' and episode = {episode}"
    ).fetchall():
        for space, matrix in zip(("tangent", "action"), matrices, strict=True):
            for i, j in zip(*np.nonzero(np.abs(np.array(matrix)) >= threshold), strict=True):
                edges.add((nodes[space][j], nodes["tangent"][i]))
    return {
        "env": env, "run": run_of(dataset, env), "episode": episode, "threshold": threshold,
        "edges": sorted(edge for edge in edges if edge[0] != edge[1]),
    }  # fmt: skip


def shares(dataset: jacdb.Dataset, env: str) -> dict:
    """An entry that is zero in another share of a run's steps than of its first episode's."""
    run = run_of(dataset, env)
    rows = dataset.sql(
        "select episode, s.steps, p.zero_state from (select episode, pattern_id, count(*) as steps from steps"
        f" where env = '{env}' and finite group by all) as s join stored_patterns as p using (pattern_id)"
    ).fetchall()
    bits = np.array([np.unpackbits(np.frombuffer(zeros, np.uint8)) for *_, zeros in rows], float)
    episode, steps = np.array([row[:2] for row in rows]).T
    of_run, of_episode = (np.average(bits, axis=0, weights=steps * held) for held in (1, episode == 0))
    entry = int(np.argmax(np.abs(of_run - of_episode)))
    [(d_state,)] = dataset.sql(f"select count(*) from axes where env = '{env}' and space = 'tangent'").fetchall()
    return {
        "env": env, "run": run, "row": entry // d_state, "col": entry % d_state,
        "share": of_run[entry], "here": of_episode[entry],
    }  # fmt: skip


def compared(dataset: jacdb.Dataset, env: str, step: int) -> list[dict]:
    """One entry in two episodes."""
    return [
        {
            "env": env, "run": run_of(dataset, env), "episode": episode, "step": step, "jacobian": "state",
            "row": 3, "col": 4, "value": dataset.sql(
                f"select j_state[4][5] from steps where env = '{env}' and episode = {episode} and step = {step}"
            ).fetchall()[0][0],
        }
        for episode in (0, 1)
    ]  # fmt: skip


def plain(value: object) -> object:
    """A cell as the page has it in JSON: a number that JavaScript can't hold is text."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LONGEST_INTEGER:
        return str(value)
    return value


def answer(root: Path, view: str, env: str, where: str) -> dict:
    """A view of an environment as DuckDB answers it over the dataset, each column as the page takes it."""
    with jacdb.Dataset(root, where=where or None) as dataset:
        described = dataset.sql(f"describe from {view}").fetchall()
        left_out = ("j_state", "j_action", "state", "action", "next_state")  # the page's own files have no such columns
        columns = []
        for name, kind, *_ in described:
            if kind.startswith(("DECIMAL", "HUGEINT")) and not kind.endswith("[]"):
                columns.append(f'"{name}"::double as "{name}"')
            elif any(word in kind for word in ("STRUCT", "BLOB", "BIT", "TIMESTAMP")):
                columns.append(f'"{name}"::varchar as "{name}"')
            elif name not in left_out:
                columns.append(f'"{name}"')
        rows = dataset.sql(f"select {', '.join(columns)} from {view} where env = '{env}'")
        names, values = rows.columns, rows.fetchall()
    return {
        "view": view, "env": env, "where": where, "columns": names,
        "rows": [[plain(list(cell) if isinstance(cell, tuple) else cell) for cell in row] for row in values],
    }  # fmt: skip


VIEWS = [name for name in queries.STATISTICS if name not in NOT_IN_A_BROWSER and "question" in queries.header(name)]


def test_users_32_the_page_shows_what_sql_and_mujoco_say(data, tmp_path, menagerie):
    with jacdb.Dataset(data) as dataset:
        touched = touch(dataset)
        steps = [(touched["episode"], touched["touch"]), (1, 3)]
        expected = {
            "values": entries(dataset, "CheetahRun", [(0, 20), (2, 77)]) + entries(dataset, "PandaPickCube", steps),
            "touch": touched,
            "chosen": chosen(dataset, touched, "box.vel_z", "joint4"),
            "poses": [pose(dataset, "CheetahRun", 1, 50), pose(dataset, "PandaPickCube", *steps[0])],
            "graph": graph(dataset, "CheetahRun", 1, 0.01),
            "compare": compared(dataset, "CheetahRun", 30),
            "filter": {"env": "CheetahRun", "where": "not in_contact"},
        }
        [(here,)] = dataset.sql(
            "select count(*) from steps where env = 'CheetahRun' and episode = 0 and not in_contact"
        ).fetchall()
        expected["filter"]["here"] = here
        expected["shares"] = shares(dataset, "CheetahRun")
        runs = {env: run_of(dataset, env) for env in ("CheetahRun", "PandaPickCube")}
    asked = [(view, "CheetahRun", "") for view in VIEWS]
    asked += [(view, "PandaPickCube", "") for view in ("global_sparsity", "causal_graph", "switch_explanations")]
    asked += [(view, "CheetahRun", "not in_contact") for view in ("global_sparsity", "zero_durations", "causal_graph")]
    expected["views"] = [answer(data, *one) | {"run": runs[one[1]]} for one in asked]
    with served(data, built(), _installed_maker()) as server:
        node("page.test.mjs", server.address, expected, tmp_path)


def test_the_code_that_a_pane_gives_answers_as_the_pane_does(tmp_path):
    """Of the shown run, where an environment has several, and of the steps that meet the condition."""
    root = tmp_path / "it's data"
    for source in (SAMPLE, GRASP):
        for folder in source.glob("*/environment=PandaPickCube"):
            shutil.copytree(folder, root / folder.relative_to(source), dirs_exist_ok=True)
    with jacdb.Dataset(root) as dataset:
        runs = dataset.sql("select run_id from runs order by run_id").pl()["run_id"].to_list()
    assert len(runs) == 2
    asked = [
        {"env": "PandaPickCube", "view": view, "run": runs[0], "where": where, "pane": pane}
        for view, where, pane in (
            ("samples", "", "views"), ("sparsity_by_constraint", "policy <> 'it''s' and step > 3", "views"),
            ("causal_graph", "step > 3", "graph"),
        )
    ]  # fmt: skip
    expected = {"asked": asked, "given": str(tmp_path / "given.json")}
    with served(root, built(), no_robot) as server:
        node("code.test.mjs", server.address, expected, tmp_path)
    for one in json.loads((tmp_path / "given.json").read_text()):
        wanted = pl.DataFrame(one["rows"], schema=one["columns"], orient="row")
        opening, _, asking = one["python"].replace("DATA", str(root)).rpartition("\n")
        names: dict[str, jacdb.Dataset] = {}
        exec(opening, names)
        with names["dataset"]:
            found = [eval(asking, names)]
        line = one["shell"].replace("DATA", shlex.quote(str(root)), 1).replace("sql", "sql --format json", 1)
        jacdb_command = f"{shlex.quote(sys.executable)} -m {line}"
        ran = subprocess.run(["sh", "-c", jacdb_command], capture_output=True, text=True, check=True, cwd=ROOT)
        found.append(pl.DataFrame(json.loads(ran.stdout)))
        for frame in found:
            assert_frame_equal(frame, wanted, check_row_order=False, check_dtypes=False, rel_tol=1e-12)


@pytest.mark.thorough
def test_users_32_the_address_and_what_is_loaded(data, tmp_path):
    with jacdb.Dataset(data) as dataset:
        expected = {"runs": [{"env": env, "run": run_of(dataset, env)} for env in ENVS]}
    with served(data, built(), no_robot) as server:
        node("address.test.mjs", server.address, expected, tmp_path)


NAMES = (
    '<img src=x onerror="window.hacked=1">',
    "\"'><script>window.hacked=2</script>",
    "'); drop table steps; --",
    "n" * 300 + ".vel",
)
ACTIVE = "ctrl_clip:<b onmouseover='window.hacked=3'>"


def renamed(column: pa.ChunkedArray, names: tuple[str, ...]) -> pa.Array:
    return pa.array([names[i % len(names)] + str(i // len(names) or "") for i in range(len(column))])


@pytest.fixture
def hostile(tmp_path) -> Path:
    """The sample's CartpoleBalance, whose axes, bodies, policy and constraints have other names."""
    root = tmp_path / "hostile"
    for folder in SAMPLE.glob("*/environment=CartpoleBalance"):
        if folder.parent.name != "partials":
            shutil.copytree(folder, root / folder.relative_to(SAMPLE))
    for path in root.rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        for place, field in enumerate(table.schema):
            column = table[field.name]
            if path.is_relative_to(root / "axes") and field.name in ("name", "joint", "body"):
                column = renamed(column, NAMES)
            elif field.name == "policy":
                column = pa.array([NAMES[0]] * len(table))
            elif field.name == "active":
                column = pa.array(
                    [[ACTIVE] if held else [] for held in pc.greater(pc.list_value_length(column), 0).to_pylist()]
                )
            table = table.set_column(place, field, column.cast(field.type))
        pq.write_table(table, path)
    return root


def test_users_32_hostile_names_stay_text(hostile, tmp_path):
    with jacdb.Dataset(hostile) as dataset:
        [(held,)] = dataset.sql("select count(*) from steps where episode = 0 and len(active) > 0").fetchall()
    expected = {"names": NAMES, "active": ACTIVE, "held": held, "shown": [*NAMES, "onmouseover"]}
    with served(hostile, built(), no_robot) as server:
        node("hostile.test.mjs", server.address, expected, tmp_path)


@pytest.mark.thorough
def test_users_32_bodies_without_a_name_are_not_one_body(tmp_path):
    joints = ["x", "pole"]  # of a cart whose bodies have no names, kept by a version that had '' for each
    edges = [["pole", "x"], ["x", "pole"], *(["push.action", joint] for joint in joints)]
    expected = {"env": "cart3", "bodies": joints, "edges": edges}
    with served(ROOT / "tests" / "frozen" / "v3", built(), no_robot) as server:
        node("nameless.test.mjs", server.address, expected, tmp_path)


@pytest.mark.thorough
def test_users_32_steps_by_finite_differences_tell_no_zeros(tmp_path):
    j_state = np.ones((4, 2, 2))
    j_state[0, 0, 1] = j_state[2, 0, 1] = 0.0  # by an exact method, and by finite differences
    j_state[2, 1, 0] = 0.0
    methods = np.array(["implicit", "implicit", "fd", "implicit"])
    j_action = np.ones((4, 2, 1))
    synthetic.dataset(tmp_path, "E", [synthetic.episode(0, j_state, j_action, method=methods)])
    synthetic.dataset(tmp_path, "E", [synthetic.episode(0, j_state, j_action, method="fd")], "run-b", method="fd")
    names = {"env": "E", "run": "run-a", "whole": "run-b", "step": 2}
    with served(tmp_path, built(), no_robot) as server:
        node("inexact.test.mjs", server.address, names | {"count": 3, "share": 1 / 3}, tmp_path)


class RangedFiles(SimpleHTTPRequestHandler):
    """A plain server of files that answers requests for ranges, as hosts of static pages do."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        first, last = int(asked[1]), int(asked[2] or len(content) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(content[first : last + 1])

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.thorough
def test_users_32_a_static_site_is_the_same_page(data, tmp_path):
    from jacdb.dataset.dataset import Dataset
    from jacdb.explorer import site
    from jacdb.explorer.subject import Subject

    out = tmp_path / "site"
    with Dataset(data) as dataset:
        site.write(Subject(dataset, ["CartpoleBalance"]), built(), out, _installed_maker())
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(RangedFiles, directory=str(out))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        node("site.test.mjs", f"http://127.0.0.1:{server.server_port}/", {"env": "CartpoleBalance"}, tmp_path)
        server.shutdown()
