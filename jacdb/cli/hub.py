"""The commands that send a dataset to the Hugging Face Hub, and fetch one."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jacdb import interruption
from jacdb.cli.explore import write_site
from jacdb.cli.options import Environments, LocalData, Quiet
from jacdb.cli.printing import note
from jacdb.errors import UsageError

if TYPE_CHECKING:
    from jacdb.explorer.site import Site
    from jacdb.progress import Event


def publish(
    name: Annotated[str, typer.Argument(help="The repository on the Hub.", metavar="OWNER/NAME")],
    data: LocalData = Path("data"),
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    tag: Annotated[str | None, typer.Option(help="Tag the commit, as a release.", metavar="vX.Y.Z")] = None,
    explorer: Annotated[
        str | None,
        typer.Option(help="Publish the page of `jacdb explore`, too, as this static Space.", metavar="OWNER/SPACE"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print files, sizes and card, and send nothing.")] = False,
    quiet: Quiet = False,
) -> None:
    """Publish a dataset on the Hugging Face Hub, with a dataset card.

    It sends what has changed, and resumes where an earlier call stopped. Log in with `hf auth login`, or set HF_TOKEN.

    Example: jacdb publish alice/dynamics --tag v1.0.0

    Example: jacdb publish alice/dynamics --explorer alice/dynamics-explorer
    """
    if tag is not None and not re.fullmatch(r"v\d+\.\d+\.\d+", tag):
        raise UsageError(f"--tag {tag}: give a version, such as v1.0.0")
    from jacdb import hub_names

    hub_names.check_name(name)  # before the slow imports
    if explorer is not None:
        _check_explorer(explorer, private)
    interruption.advise("what was sent is kept; repeat the command to send the rest")
    from jacdb.progress import Reporter
    from jacdb.publishing import publish as publishing
    from jacdb.publishing import space

    with Reporter(quiet=quiet).shown() as report:
        publication = publishing.prepare(data, name, report)
        for run in publication.left_out:
            note(f"run {run.run_id} of {run.env} is not finished and was left out", quiet)
        if dry_run:
            _list(publication.sizes())
            typer.echo(f"\n{publication.card}")
            if explorer:
                typer.echo(f"Space {explorer}:")
                with _site(data, name, "main", quiet, report) as site:
                    _list({address: file.stat().st_size for address, file in site.files().items()})
            return
        former = space.former(explorer, name) if explorer else None
        published = publishing.publish(publication, private=private, tag=tag)
        typer.echo(published.describe(tag))
        if explorer:
            with _site(data, name, published.commit, quiet, report) as site:
                typer.echo(space.publish(site, explorer, former).describe(None))


def _check_explorer(explorer: str, private: bool) -> None:
    """Refuse what can be refused before anything is sent.

    Raises:
        UsageError: the name is none, the dataset would be private, or there is no page.
    """
    from jacdb import hub_names
    from jacdb.explorer import page

    hub_names.check_name(explorer)
    if private:
        raise UsageError("--explorer: the page reads the dataset without a token, so it can't be --private")
    page.page_folder()


@contextmanager
def _site(data: Path, name: str, revision: str, quiet: bool, report: Callable[["Event"], None]) -> Iterator["Site"]:
    """Write the explorer's site, whose page reads a repository, in a folder for temporary files."""
    from jacdb.publishing import space

    with tempfile.TemporaryDirectory(prefix="jacdb-") as folder:
        site = write_site(str(data), None, Path(folder) / "site", space.parts_address(name, revision), quiet, report)
        space.write_card(site, name)
        yield site


def _list(sizes: dict[str, int]) -> None:
    for path, size in sorted(sizes.items()):
        typer.echo(f"{size:>14,}  {path}")
    typer.echo(f"{sum(sizes.values()):>14,}  bytes in all")


def pull(
    name: Annotated[str, typer.Argument(help="The repository on the Hub.", metavar="OWNER/NAME")],
    env: Environments = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; default: main.")] = None,
    data: LocalData = Path("data"),
    quiet: Quiet = False,
) -> None:
    """Fetch a dataset from the Hugging Face Hub and check it against its checksums.

    Repeat the command to resume. Runs that the folder already has are not fetched again, but for learning runs that
    have more scores on the Hub.

    Example: jacdb pull alice/dynamics --env CheetahRun --revision v1.0.0
    """
    from jacdb import hub_names

    hub_names.check_name(name)
    interruption.advise("fetched files are kept; repeat the command to resume")
    from jacdb.progress import Reporter
    from jacdb.publishing import pull as pulling

    with Reporter(quiet=quiet).shown() as report:
        pulled = pulling.pull(name, data, envs=env, revision=revision, report=report)
    typer.echo(pulled.describe(data))
