"""The reference of tables and views: docs/tables.md."""

from jacdb import queries, schemas
from jacdb.dataset.layout import CURRENT, MANIFEST
from pages.markdown import NOTE, markdown_table


def tables() -> str:
    """The reference of tables and views, from schemas and SQL."""
    parts = [
        "# Tables and views\n",
        NOTE,
        f"Schema version {schemas.SCHEMA_VERSION}. Every table is a folder of hive partitions,"
        f" `<table>/{CURRENT.key}=<Env>/run=<run_id>/part-00000.parquet`; every view is one file in `queries/`.\n",
        f"The key `{CURRENT.key}` is no column of the files, which have `env` and `run_id` themselves: a reader may add"
        " it from the folder's name, or not. `run`, the other key, is no column either. A table's folder holds"
        f" parts and nothing else. Beside the tables, `{CURRENT.journal}/{CURRENT.key}=<Env>/run=<run_id>` has what"
        f" else there is of a run: its checksums, `{MANIFEST}` (for `sha256sum -c`), its log and, while it is at work,"
        " its progress, its lock and drafts.\n",
        "Version 1 had the key `env`, which is a column too, and kept checksums and logs in `runs`; `patterns` had"
        " no words, and `episodes` no `trajectory_id`, which the view works out. `jacdb upgrade OLD --out NEW`"
        " rewrites it.\n",
        "A dataset stays readable by every later jacdb. Within a version nothing is added, taken away, renamed or given"
        " another meaning; a new version only adds columns and tables, null or empty where an older file has none, or"
        " brings along what reads the older. A dataset that is newer than jacdb is refused. `tests/frozen` has one of"
        " every version, and what its views say.\n",
    ]
    for table in schemas.ALL_TABLES:
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
    parts.append("# Views of windows\n")
    windowed = [[f"`from {signature}`", f"`{name}`"] for name, signature in queries.WINDOWED.items()]
    parts.append(markdown_table(("in SQL", f"is, with windows of so many steps instead of {queries.WINDOW}"), windowed))
    parts.append("# Conditions with a name\n")
    parts.append(
        markdown_table(("in SQL", "means"), [[f"`{name}`", f"`{text}`"] for name, text in queries.MACROS.items()])
    )
    return "\n".join(parts)
