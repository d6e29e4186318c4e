"""Shared by all tests. JAX compilations dominate: what compiles is a session fixture, the cache persistent."""

import contextlib
import gc
import importlib
import io
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import loopback  # noqa: F401 (before anything imports huggingface_hub: no call of a test leaves the machine)
import pytest

import jacdb
from jacdb.errors import UsageError

if TYPE_CHECKING:
    from jacdb.ingest.environments.loading import System
    from jacdb.learning.problem import LearningProblem

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "make the synthetic datasets of the views' tests so many times as long: 11000 for a million rows"
    parser.addoption("--scale", type=int, default=1, help=text)
    parser.addoption("--fuzz", type=int, default=400, help="how many broken inputs to try")
    parser.addoption("--reference", action="store_true", help="make the engine's reference rows anew")
    parser.addoption("--kills", type=int, default=2, help="how often to kill an ingest in the test of faults")


# Fixtures that ingest, and so compile for more than seconds; files whose subject is compiled code mark themselves.
COMPILING = {"cartpole", "newcomer"}
# What Python's cycle collector waits for. A trace is millions of objects that stay, and by Python's own numbers the
# collector walked through them again and again: a fifth of the time of tests/ingest/differentiation/test_jacobians.py.
COLLECT_AFTER = (50_000, 10, 10)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test-fast` leaves out, and have the files that hold it come first.

    xdist deals out file by file. The last ones are then of moments, and no process waits for another's long one.
    """
    for item in items:
        if item.get_closest_marker("thorough"):
            item.add_marker(pytest.mark.slow)
        if COMPILING & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.slow)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])  # and stays in order else


def pytest_collection() -> None:
    """Set JAX up where tests are run: xdist's first process, which hands them out, imports none of this.

    Other packages are imported before the rooms whose shapes are checked: jaxtyping's hook has whatever these import
    compiled anew, past Python's own files of compiled code.
    """
    importlib.import_module("jacdb.ingest")  # leaves Warp out of MJX
    for name in ("brax.training.agents.ppo", "mujoco_playground", "networkx", "polars", "pyarrow.dataset"):
        importlib.import_module(name)
    from jacdb.ingest import runtime

    runtime.configure()
    gc.set_threshold(*COLLECT_AFTER)


@pytest.fixture(scope="session")
def scale(pytestconfig: pytest.Config) -> int:
    return pytestconfig.getoption("scale")


@pytest.fixture(scope="session")
def system() -> "Callable[[str], System]":
    """Environments, loaded once."""
    from jacdb.ingest.environments.loading import System

    loaded: dict[str, System] = {}

    def load(name: str) -> System:
        if name not in loaded:
            loaded[name] = System.load(name)
        return loaded[name]

    return load


@pytest.fixture(scope="session")
def menagerie() -> None:
    """For tests that need the Panda's model: from MENAGERIE_ROOT, the user's cache, or the network."""
    from jacdb.ingest.environments.menagerie import provide

    try:
        provide(["franka_emika_panda"])
    except UsageError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that nobody changes: 3 episodes of CartpoleBalance, 40 steps each."""
    from jacdb.ingest.pipeline import ingest
    from jacdb.ingest.run_plan import Request

    root = tmp_path_factory.mktemp("cartpole")
    ingest(Request("CartpoleBalance", episodes=3, steps=40), root)
    return root


@pytest.fixture(scope="session")
def linear_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that nobody changes: a linear system's 8 episodes, the first five in another run too, as twins."""
    from learning_rows import linear_episode
    from synthetic import dataset

    root = tmp_path_factory.mktemp("linear")
    dataset(root, "Linear", [linear_episode(number) for number in range(8)], "run-a")
    dataset(root, "Linear", [linear_episode(number) for number in range(5)], "run-b")
    return root


@pytest.fixture(scope="session")
def linear(linear_root: Path) -> "LearningProblem":
    """The learning problem of its rows."""
    from jacdb.learning.problem import LearningProblem

    with jacdb.open(linear_root) as opened:
        return LearningProblem.of(opened, "Linear")


def call_jacdb(*words: object, token: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in this process, which saves seconds of imports; as the Hub's user who has the token."""
    from jacdb import cli

    environment |= {"HF_TOKEN": token} if token else {}
    out, err, argv = _Stream(), _Stream(), [str(word) for word in ("jacdb", *words)]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", argv)
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return subprocess.CompletedProcess(argv, ended.value.code or 0, out.text(), err.text())


class _Stream(io.TextIOWrapper):
    """What a process writes to, kept."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8")

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


def run_jacdb(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "jacdb", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )


def leave_a_draft(path: Path) -> None:
    """Leave the draft of a folder, as a writer does that is killed."""
    drafting = "with draft_of(Path(sys.argv[1])) as draft: draft.mkdir(); os._exit(9)"
    killed = f"import os, sys; from pathlib import Path; from jacdb.atomic_file import draft_of\n{drafting}"
    assert subprocess.run([sys.executable, "-c", killed, str(path)], check=False, cwd=ROOT).returncode == 9
