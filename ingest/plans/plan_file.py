"""A plan of many runs: a YAML file, each entry of which names options of ``jacdb ingest``, some with several values.

An entry may name another command instead: annotate, learn, train or verify.
"""

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from jacdb.dataset.shard import MAX_SHARDS
from jacdb.errors import UsageError, suggestion
from jacdb.ingest.plans.planned_command import CommandLine, Commands, PlannedCommand, Task
from jacdb.ingest.requested_run import RequestedRun

MAX_RUNS = 1_000_000
# The options, with the first of the types that their values may have: int | None is int
OPTIONS = {one.name: (get_args(one.type) or (one.type,))[0] for one in fields(RequestedRun) if one.name != "shard"}
NUMBERED = {"keyframe"}  # texts that may be a number
WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
_SPAN = re.compile(r"([0-9]+)-([0-9]+)")


def read(path: Path, commands: Commands | None = None) -> list[Task]:
    """Return the runs and commands of a plan, each cut into its shards, in order.

    The file is a list of entries, or a mapping whose ``runs`` is one. An entry maps options, without their dashes, to a
    value or a list of values: it stands for all combinations. ``seed`` may be a span, ``0-9``; ``shards`` says into how
    many shards each run is cut. An entry with ``command`` has that command's options, and arguments by their names.

    Args:
        commands: what other commands take, by name.

    Raises:
        UsageError: there is no such file, it is no YAML, or an entry names no option or a value of another type.
    """
    runs: list[Task] = []
    for place, entry in enumerate(_entries(path), 1):
        runs += _tasks(f"{path}, entry {place}", entry, commands or {})
    if not runs:
        raise UsageError(f"{path} names no run: give a list of entries, `- env: CheetahRun` say")
    return runs


def _entries(path: Path) -> list[Any]:
    import yaml  # few plan

    from jacdb.ingest.plans.plan_yaml import PlanLoader

    try:
        said = yaml.load(path.read_text("utf-8"), Loader=PlanLoader)  # which makes no objects
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--plan {path} can't be read: {getattr(error, 'strerror', None) or error}") from error
    except UsageError as error:
        raise UsageError(f"--plan {path}, {error}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"--plan {path} is no YAML: {' '.join(str(error).split())}") from error
    except RecursionError:  # whose traceback would be as deep
        raise UsageError(f"--plan {path} is nested too deeply: give a list of entries") from None
    entries = said.get("runs") if isinstance(said, dict) and {*said} == {"runs"} else said
    if not isinstance(entries, list):
        raise UsageError(f"--plan {path}: give a list of entries, `- env: CheetahRun` say")
    return entries


def _tasks(where: str, entry: Any, commands: Commands) -> Iterator[Task]:
    """Yield the runs, or the calls of a command, that an entry stands for."""
    if not isinstance(entry, dict):
        raise UsageError(f"{where} is {_said(entry)}: give options with values, `env: CheetahRun` say")
    command = entry.get("command", "ingest")
    if command not in ("ingest", *commands):
        raise UsageError(f"{where}: no command {_said(command)} in plans: give {', '.join(('ingest', *commands))}")
    line = commands.get(command)
    known = {*OPTIONS, "shards"} if line is None else {*line.options} - {"data", "quiet", "shard"}
    if line is not None and "shard" in line.options:
        known.add("shards")
    values = _values(where, {option: given for option, given in entry.items() if option != "command"}, known, line)
    counts = values.pop("shards", [1])
    if len(counts) > 1 or not 1 <= counts[0] <= MAX_SHARDS:
        raise UsageError(f"{where}: shards is {', '.join(map(str, counts))}: give one number, 1 to {MAX_SHARDS:,}")
    if (total := counts[0] * math.prod(map(len, values.values()))) > MAX_RUNS:
        raise UsageError(f"{where} stands for {total:,} shards: give {MAX_RUNS:,} at most")
    for combination in itertools.product(*values.values()):
        chosen = dict(zip(values, combination, strict=True))
        try:
            yield from (
                RequestedRun(**chosen).shards(counts[0]) if line is None else _calls(command, line, chosen, counts[0])
            )
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None


def _values(where: str, entry: dict[Any, Any], known: set[str], line: CommandLine | None) -> dict[str, list[Any]]:
    """Return the values of each option of an entry, of a run as they are, of a command as they are typed."""
    negatives = {one.negative: name for name, one in line.options.items() if one.negative} if line else {}
    values: dict[str, list[Any]] = {}
    for option, given in entry.items():
        name = (option if isinstance(option, str) else _said(option)).replace("-", "_")
        if positive := negatives.get(f"--{name.replace('_', '-')}"):
            raise UsageError(f"{where}: no option {_said(option)}: give {positive}: false")
        if name not in known:
            raise UsageError(f"{where}: no option {_said(option)}: {suggestion(name, known)}")
        values[name] = []
        for one in _several(name, given):
            try:
                values[name].append(_checked(name, one) if line is None else _typed(line, name, one))
            except UsageError as error:
                raise UsageError(f"{where}: {name} is {_said(one)}: {error}") from None
        if not values[name] or [] in _several(name, given):
            raise UsageError(f"{where}: {name} has no value: leave it out")
    return values


def _calls(
    command: str, line: CommandLine, chosen: dict[str, tuple[str, ...]], shards: int
) -> Iterator[PlannedCommand]:
    """Yield the calls of a command with options, one for each shard.

    Raises:
        UsageError: the command does not take them.
    """
    arguments = [name for name, one in line.options.items() if name in chosen and not one.typed]
    typed = [word for name in dict.fromkeys((*arguments, *chosen)) for word in chosen[name]]
    line.parse(typed)
    for index in range(shards):
        shard = ("--shard", f"{index}/{shards}") if shards > 1 else ()
        yield PlannedCommand(command, (*typed, *shard), "data" in line.options)


def _several(name: str, given: Any) -> list[Any]:
    """Return the values that are given: a list's, a span's, or the one."""
    span = _SPAN.fullmatch(given) if name == "seed" and isinstance(given, str) else None
    if span and int(span[1]) <= int(span[2]) < int(span[1]) + MAX_RUNS:
        return [*range(int(span[1]), int(span[2]) + 1)]
    return given if isinstance(given, list) else [given]


def _typed(line: CommandLine, name: str, value: Any) -> Any:
    """Return what is typed for a value of a command's option; of shards, which is a plan's own, the number."""
    return _checked(name, value) if name == "shards" else line.options[name].words(value)


def _checked(name: str, value: Any) -> Any:
    """Return a value, if it is of the type of a run's option.

    Raises:
        UsageError: it is not.
    """
    wanted = OPTIONS.get(name, int)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if wanted is float and is_whole:
        return float(str(value))  # infinite, and so refused, where it is beyond all floats
    if name in NUMBERED and is_whole:
        return str(value)
    if not isinstance(value, wanted) or (wanted is int and not is_whole):
        raise UsageError(f"give {WORDS[wanted]}{', or leave it out' if value is None else ''}")
    return value


def _said(value: Any) -> str:
    """Return a value as it stands in YAML, where Python would write it otherwise."""
    if isinstance(value, list | dict):
        import yaml  # few plans are wrong

        said: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
        return said.strip()
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
