"""The commands that a plan may name beside ingest, and what each takes."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from jacdb.cli import annotate, keep, learn, make
from jacdb.cli.printing import explain
from jacdb.errors import UsageError

if TYPE_CHECKING:
    from jacdb.ingest.plans.planned_command import Commands

_FUNCTIONS: tuple[Callable[..., None], ...] = (annotate.annotate, learn.learn, make.train, keep.verify)


def known() -> "Commands":
    """Return what the commands take, by name."""
    from jacdb.ingest.plans.planned_command import CommandLine

    app = typer.Typer()
    for function in _FUNCTIONS:
        app.command()(function)
    group: Any = typer.main.get_command(app)
    return {
        name: CommandLine(
            tuple(param.name for param in command.params if param.param_type_name == "argument"),
            frozenset(_name(param) for param in command.params if param.param_type_name == "option"),
            functools.partial(_check, command),
        )
        for name, command in group.commands.items()
    }


def _name(param: Any) -> str:
    longest: str = max(param.opts, key=len)
    return longest.removeprefix("--").replace("-", "_")


def _check(command: Any, typed: Sequence[str]) -> None:
    """Refuse what the command line would.

    Raises:
        UsageError: it would.
    """
    try:
        command.make_context(command.name, list(typed))
    except typer.TyperException as error:
        raise UsageError(" ".join(explain(error).split())) from None
