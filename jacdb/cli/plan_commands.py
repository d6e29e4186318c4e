"""The commands that a plan may name beside ingest, and what each takes."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from jacdb.cli import annotate, keep, learn, make
from jacdb.cli.printing import explain
from jacdb.errors import UsageError

if TYPE_CHECKING:
    from jacdb.ingest.plans.planned_command import Commands, Option

_FUNCTIONS: tuple[Callable[..., None], ...] = (annotate.annotate, learn.learn, make.train, keep.verify)


def known() -> "Commands":
    """Return what the commands take, by name."""
    from jacdb.ingest.plans.planned_command import CommandLine

    app = typer.Typer()
    for function in _FUNCTIONS:
        app.command()(function)
    group: Any = typer.main.get_command(app)
    return {
        name: CommandLine(dict(map(_option, command.params)), functools.partial(_parse, command))
        for name, command in group.commands.items()
    }


def _option(param: Any) -> "tuple[str, Option]":
    """Return an option, or an argument, by its name."""
    from jacdb.ingest.plans.planned_command import Option

    if param.param_type_name == "argument":
        return param.name, Option()
    typed: str = max(param.opts, key=len)
    name = typed.removeprefix("--").replace("-", "_")
    return name, Option(typed, bool(param.is_flag), "".join(param.secondary_opts[:1]), bool(param.multiple))


def _parse(command: Any, typed: Sequence[str]) -> None:
    """Refuse what the command line would.

    Raises:
        UsageError: it would.
    """
    try:
        command.make_context(command.name, list(typed))
    except typer.TyperException as error:
        raise UsageError(" ".join(explain(error).split())) from None
