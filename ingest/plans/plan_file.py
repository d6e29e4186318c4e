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

    try:
        said = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--plan {path} can't be read: {getattr(error, 'strerror', None) or error}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"--plan {path} is no YAML: {' '.join(str(error).split())}") from error
    entries = said.get("runs") if isinstance(said, dict) and {*said} == {"runs"} else said
    if not isinstance(entries, list):
        raise UsageError(f"--plan {path}: give a list of entries, `- env: CheetahRun` say")
    return entries


def _tasks(where: str, entry: Any, commands: Commands) -> Iterator[Task]:
    """Yield the runs, or the calls of a command, that an entry stands for."""
    if not isinstance(entry, dict):
        raise UsageError(f"{where} is {entry!r}: give options with values, `env: CheetahRun` say")
    command = entry.get("command", "ingest")
    if command not in ("ingest", *commands):
        raise UsageError(f"{where}: no command {command!r} in plans: give {', '.join(('ingest', *commands))}")
    line = commands.get(command)
    known = {*OPTIONS, "shards"} if line is None else {*line.positional, *line.options} - {"data", "quiet", "shard"}
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
    """Return the values of each option of an entry, checked where they are a run's."""
    values: dict[str, list[Any]] = {}
    for option, given in entry.items():
        name = str(option).replace("-", "_")
        if name not in known:
            raise UsageError(f"{where}: no option {option!r}: {suggestion(name, known)}")
        several = _several(name, given)
        values[name] = [_checked(where, name, one) for one in several] if line is None or name == "shards" else several
        if not values[name]:
            raise UsageError(f"{where}: {option} has no value: leave it out")
    return values


def _calls(command: str, line: CommandLine, chosen: dict[str, Any], shards: int) -> Iterator[PlannedCommand]:
    """Yield the calls of a command with options, one for each shard.

    Raises:
        UsageError: the command does not take them.
    """
    typed = [str(chosen[name]) for name in line.positional if name in chosen]
    for name, value in chosen.items():
        if name in line.positional or value is False:
            continue
        typed += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    line.check(typed)
    for index in range(shards):
        shard = ("--shard", f"{index}/{shards}") if shards > 1 else ()
        yield PlannedCommand(command, (*typed, *shard), "data" in line.options)


def _several(name: str, given: Any) -> list[Any]:
    """Return the values that are given: a list's, a span's, or the one."""
    span = _SPAN.fullmatch(given) if name == "seed" and isinstance(given, str) else None
    if span and int(span[1]) <= int(span[2]) < int(span[1]) + MAX_RUNS:
        return [*range(int(span[1]), int(span[2]) + 1)]
    return given if isinstance(given, list) else [given]


def _checked(where: str, name: str, value: Any) -> Any:
    """Return a value, if it is of the option's type.

    Raises:
        UsageError: it is not.
    """
    wanted = OPTIONS.get(name, int)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise UsageError(f"{where}: {name} is {value!r}: give {WORDS[wanted]}")
    return value
