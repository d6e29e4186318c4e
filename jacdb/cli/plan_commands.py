"""The commands that a plan may name beside ingest, and what each takes."""

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from jacdb.cli import annotate, keep, learn, make
from jacdb.cli.printing import check_form, explain
from jacdb.errors import UsageError

if TYPE_CHECKING:
    from jacdb.ingest.plans.planned_command import Commands, Option, Uses


def known() -> "Commands":
    """Return what the commands take, by name."""
    from jacdb.ingest.plans.planned_command import CommandLine

    app = typer.Typer()
    for function, check in _CHECKS.items():
        app.command()(_only_checked(function, check))
    group: Any = typer.main.get_command(app)
    return {
        name: CommandLine(
            dict(map(_option, command.params)), functools.partial(_parse, command), functools.partial(_check, command)
        )
        for name, command in group.commands.items()
    }


def _only_checked(function: Callable[..., None], check: "Callable[..., Uses]") -> "Callable[..., Uses]":
    """Return a command that takes the same, calls its check with those of its options that this wants, and ends."""
    wanted = inspect.signature(check).parameters

    @functools.wraps(function)
    def checked(**given: Any) -> "Uses":
        return check(**{name: given[name] for name in wanted})

    return checked


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


def _check(command: Any, typed: Sequence[str], data: Path) -> "Uses":
    """Refuse what the command would before it reads any rows; return what it needs and makes.

    Raises:
        UsageError: it would.
    """
    on_data = any(param.name == "data" for param in command.params)
    context = command.make_context(command.name, [*typed, *(("--data", str(data)) if on_data else ())])
    with context:
        uses: Uses = command.invoke(context)
    return uses


def _of_annotate(
    source: str,
    env: str | None,
    model: str | None,
    substeps: int | None,
    mapping: Path | None,
    tolerance: float | None,
    dtype: str,
    data: Path,
) -> "Uses":
    from jacdb.ingest.plans.planned_command import ANY, Uses

    annotate.check(source, env, model, substeps, mapping, tolerance, dtype, None, data)
    return Uses(makes=env.removeprefix("gymnasium:") if env else ANY, dtype=dtype)


def _of_learn(
    env: str,
    model: str,
    loss: list[str] | None,
    weight: float | None,
    seeds: str,
    setting: list[str] | None,
    target: str,
    steps: int,
    batch_size: int,
    learning_rate: float,
    validate_every: int,
    patience: int,
    jacobian_rows: int | None,
) -> "Uses":
    from jacdb.ingest.plans.planned_command import Uses
    from jacdb.learning.training_settings import TrainingSettings

    settings = TrainingSettings(steps, batch_size, learning_rate, validate_every, patience, jacobian_rows)
    learn.Trainings.of(model, loss, weight, seeds, setting, target, settings)
    return Uses(reads=(env,))


def _of_train(env: str, num_timesteps: int | None, start: str | None, seed: int, legs: int, out: Path | None) -> "Uses":
    from jacdb.ingest.plans.planned_command import Uses

    return Uses(out=make.check_training(env, num_timesteps, start, seed, legs, out))


def _of_verify(env: list[str] | None, sample: int, form: str | None, out: Path | None) -> "Uses":
    from jacdb import verification
    from jacdb.ingest.plans.planned_command import Uses

    check_form(form, out)
    verification.check_sample(sample)
    return Uses(reads=tuple(env or ()), out=out)


_CHECKS: "dict[Callable[..., None], Callable[..., Uses]]" = {
    annotate.annotate: _of_annotate,
    learn.learn: _of_learn,
    make.train: _of_train,
    keep.verify: _of_verify,
}
