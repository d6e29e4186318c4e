"""The command that shows a dataset in a browser."""

import importlib
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jacdb import interruption, out_path
from jacdb.cli.options import Data, Environments, Quiet
from jacdb.cli.printing import note
from jacdb.errors import UsageError

if TYPE_CHECKING:
    from jacdb.explorer.scenes import SceneMaker
    from jacdb.explorer.site import Site
    from jacdb.progress import Event

_SCENES = "jacdb.ingest.scene.run_scene"


def explore(
    env: Environments = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write a static site into this folder instead.", metavar="SITE")
    ] = None,
    parts_at: Annotated[
        str | None,
        typer.Option(
            help="Only for --out: where a page reads the dataset's folder; the site is without it.", metavar="URL"
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port of the server; default: a free one.", metavar="N", show_default=False)
    ] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    data: Data = "data",
    quiet: Quiet = False,
) -> None:
    """Show a dataset in a browser: the robot, its Jacobian and the timeline of an episode, and what depends on what.

    It serves a page on this machine alone, until Ctrl-C; docs/explorer.md says what is served.

    Example: jacdb explore --data datasets/sample

    Example: jacdb explore --env PandaPickCube --out site
    """
    from jacdb.explorer.page import check_parts_address

    if parts_at is not None:
        if out is None:
            raise UsageError("--parts-at is for a site: give --out too")
        parts_at = check_parts_address(parts_at)
    if not 0 <= port < 2**16:
        raise UsageError(f"--port {port}: give one from 1 to 65535, or leave it out for a free one")
    if out is None:
        _serve(data, env, port, browser)
    else:
        out_path.check_folder(out)
        from jacdb.progress import Reporter

        with Reporter(quiet=quiet).shown() as report:
            made = write_site(data, env, out, parts_at, quiet, report)
        typer.echo(made.describe())


def _serve(data: str, env: list[str] | None, port: int, browser: bool) -> None:
    from jacdb.dataset import location
    from jacdb.dataset.dataset import Dataset
    from jacdb.explorer import page
    from jacdb.explorer.server import serving
    from jacdb.explorer.subject import Subject

    interruption.advise("what was made for the page is removed")
    with Dataset(location.as_it_is(data)) as dataset:
        subject = Subject(dataset, env)
        maker = _installed_maker()
        with serving(subject, page.page_folder(), maker, port) as server:
            typer.echo(f"{data}: {server.address} (Ctrl-C ends it)")
            # Its seconds of imports pass while the browser starts. At times they silence stdout: not before it is told
            if maker:
                threading.Thread(target=importlib.import_module, args=(_SCENES,), daemon=True).start()
            if browser:
                webbrowser.open(server.address)
            server.serve_forever()


def write_site(
    data: str,
    env: list[str] | None,
    out: Path,
    parts_at: str | None,
    quiet: bool,
    report: Callable[["Event"], None],
) -> "Site":
    """Write a static site, say which robots it can't show, and return it."""
    from jacdb.dataset import location
    from jacdb.dataset.dataset import Dataset
    from jacdb.explorer import page, site
    from jacdb.explorer.subject import Subject

    with Dataset(location.as_it_is(data)) as dataset:
        subject = Subject(dataset, env)
        maker = _installed_maker()
        made = site.write(subject, page.page_folder(), out, maker, parts_at=parts_at, report=report)
    if maker is None:
        note("the site has no robots, which need a simulator: pip install 'jacdb[ingest]', then write it again", quiet)
    for why in made.missing.values():
        note(why, quiet)
    return made


def _installed_maker() -> "SceneMaker | None":
    """Return the function that makes scenes; None if the simulator is not installed."""
    from jacdb import simulator

    if simulator.missing():
        return None

    def make(*arguments: Any) -> tuple[dict[str, Any], bytes]:
        from jacdb.ingest.scene import run_scene  # seconds of imports: what is typed wrong is told before

        return run_scene.run_scene(*arguments)

    return make
