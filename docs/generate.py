"""Write the reference pages that are made from the code: docs/cli.md and docs/tables.md.

Run it after a change to the command line, the tables or the views; a test fails while a page is stale.
"""

import os
from pathlib import Path

import typer

from jacdb import queries, schemas

HERE = Path(__file__).parent
NOTE = "<!-- written by docs/generate.py; change the code, not this page -->\n"


def cli() -> str:
    """The reference of the command line, from its own --help."""
    os.environ["TERMINAL_WIDTH"] = "100"
    from jacdb.cli import app

    command = typer.main.get_command(app)
    parts = ["# Command line\n", NOTE, _help(command, "jacdb")]
    for name, sub in command.commands.items():  # type: ignore[attr-defined]
        parts.append(f"## jacdb {name}\n\n{_help(sub, f'jacdb {name}')}")
    return "\n".join(parts)


def _help(command: typer.core.TyperCommand, name: str) -> str:
    context = typer.Context(command, info_name=name, terminal_width=100, max_content_width=100)
    lines = [line.rstrip() for line in command.get_help(context).splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def tables() -> str:
    """The reference of tables and views, from schemas and SQL."""
    parts = [
        "# Tables and views\n",
        NOTE,
        f"Schema version {schemas.SCHEMA_VERSION}. Every table is a folder of hive partitions,"
        " `<table>/env=<Env>/run=<run_id>/part-00000.parquet`; every view is one file in `queries/`.\n",
    ]
    for table in schemas.TABLES:
        rows = "\n".join(f"| `{name}` | {kind} | {text} |" for name, kind, text in table.describe())
        parts.append(
            f"## {table.name}\n\nOne row is {table.grain}.\n\n| column | type | meaning |\n|---|---|---|\n{rows}\n"
        )
    parts.append("# Views\n")
    for name in queries.VIEWS:
        header = queries.header(name)
        parts.append(
            f"## {name} (view)\n\n- question: {header['question']}\n- one row is {header['grain']}\n"
            f"- columns: {header['columns']}\n"
        )
    return "\n".join(parts)


PAGES = {"cli.md": cli, "tables.md": tables}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
