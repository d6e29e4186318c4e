"""The command line: it reads arguments, calls functions that a notebook can call too, and prints what they return.

Commands import what they need when they run, so that `jacdb --help` is quick.
"""

import os
import sys
from typing import Annotated, NoReturn

import typer

from jacdb import interruption
from jacdb.cli import annotate, ask, explore, hub, keep, learn, make, score, standard_streams
from jacdb.cli.command import Command
from jacdb.cli.printing import explain, fail
from jacdb.errors import JacdbError, told_with_remedy

app = typer.Typer(
    name="jacdb",
    help="""The database of how robots' worlds really depend on themselves.

    Exit codes: 0, it did what was asked; 1, it could not; 2, it was asked wrongly; 130, stopped by Ctrl-C; 143, stopped
    by SIGTERM; 129, its terminal was closed (SIGHUP), unless it was begun under nohup. An error is one line on stderr.
    Stopped, a command ends at once, and says how to go on.

    Example: jacdb query global_sparsity --data data
    """,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from jacdb import __version__

        typer.echo(f"jacdb {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Version.")] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _command in (
    make.envs, make.ingest, annotate.annotate, make.train, keep.runs, keep.merge, keep.rm, ask.query, ask.sql,
    ask.spark_views, ask.plot, ask.graph, ask.report, explore.explore,
    learn.learn, score.score, keep.verify, keep.partials, keep.upgrade, hub.publish, hub.pull, ask.export,
    keep.info,
):  # fmt: skip
    app.command(cls=Command)(_command)


def main() -> None:
    """Run the command line. An error prints one line on stderr; the exit code is 2 for wrong use, 1 for a failure.

    On Ctrl-C (exit code 130), SIGTERM (143) and SIGHUP (129) it ends at once, and says how to go on.
    """
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # it reports every retry
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA raises alarms about compilations that are merely slow
    with interruption.handled(), standard_streams.told():
        _run()


def _run() -> NoReturn:
    try:
        code = app(prog_name=app.info.name, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # what other libraries have printed
        sys.exit(code)
    except JacdbError as error:
        fail(str(error), error.exit_code)
    except typer.TyperException as error:
        at = getattr(getattr(error, "ctx", None), "command_path", app.info.name)  # jacdb query, say
        fail(f"{explain(error)}; see {at} --help", 2)
    except (typer.Abort, KeyboardInterrupt):
        fail(interruption.line(), 130)
    except OSError as error:
        # an error of a write names no file
        fail(f"{error.filename or 'a file could not be read or written'}: {told_with_remedy(error)}", 1)
