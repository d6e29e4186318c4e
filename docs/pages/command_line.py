"""The reference of the command line: docs/cli.md."""

import os
from typing import Any

import typer

from pages.markdown import NOTE


def cli() -> str:
    """The reference of the command line, from its own --help."""
    os.environ["TERMINAL_WIDTH"] = "100"
    from jacdb.cli import app

    command = typer.main.get_command(app)
    parts = ["# Command line\n", NOTE, _help(command, "jacdb")]
    for name, sub in command.commands.items():  # type: ignore[attr-defined]
        parts.append(f"## jacdb {name}\n\n{_help(sub, f'jacdb {name}')}")
    return "\n".join(parts)


def _help(command: Any, name: str) -> str:
    context = typer.Context(command, info_name=name, terminal_width=100, max_content_width=100)
    lines = [line.rstrip() for line in command.get_help(context).splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```\n"
