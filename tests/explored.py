"""The explorer over the sample, for its tests; a small folder stands in for the page, which is built apart."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from conftest import ROOT

from jacdb.dataset.dataset import Dataset
from jacdb.dataset.location import as_it_is
from jacdb.explorer.server import Server, serving
from jacdb.explorer.subject import Subject

SAMPLE = ROOT / "datasets" / "sample"
HTML = """<!doctype html><html><head><meta http-equiv="Content-Security-Policy"
content="default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'"><title>page</title></head>
</html>"""


def page_in(folder: Path) -> Path:
    """A page: a file of HTML, and two that it loads."""
    for name, text in {"index.html": HTML, "assets/app.js": "export {}", "assets/engine.wasm": "\0asm"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def no_robot(env: str, *_: object) -> tuple[dict, bytes]:
    """A maker of scenes that needs no simulator."""
    return {"nq": 1, "robot": env}, b"mesh"


@contextmanager
def served(data: Path | str, page: Path, maker=no_robot, envs=None) -> Iterator[Server]:
    with Dataset(as_it_is(data)) as dataset, serving(Subject(dataset, envs), page, maker) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def load(path: Path) -> dict:
    """JSON as a browser takes it: NaN is none."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(path.read_text(), parse_constant=refuse)
