"""What was public in 1.0 is public: tables, views, commands, Python's names (docs/stability.md)."""

import json

import pytest
import typer
import yaml
from conftest import ROOT

import jacdb
from jacdb import cli, queries, schemas

SURFACE = json.loads((ROOT / "tests" / "frozen" / "surface.json").read_text())


def surface() -> dict:
    """What is public now."""
    with jacdb.open(ROOT / "datasets" / "sample") as sample:
        views = {name: {c: str(t) for c, t in _columns(sample, name)} for name in queries.VIEWS}
    commands = {
        name: sorted(option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts))
        for name, command in typer.main.get_command(cli.app).commands.items()
    }
    tables = {table.name: {field.name: str(field.type) for field in table.schema} for table in schemas.ALL_TABLES}
    public = sorted(name for name in dir(jacdb.Dataset) if not name.startswith("_"))
    return {
        "tables": tables,
        "views": views,
        "commands": commands,
        "names": {"jacdb": sorted(jacdb.__all__), "jacdb.Dataset": public},
    }


def _columns(sample: jacdb.Dataset, view: str) -> list[tuple[str, str]]:
    relation = sample.view(view)
    return list(zip(relation.columns, relation.types, strict=True))


@pytest.fixture(scope="module")
def now() -> dict:
    return surface()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tables", "views"])
def test_no_table_or_view_has_lost_or_changed_a_column(now, kind):
    for name, columns in SURFACE[kind].items():
        found = now[kind].get(name, {})
        assert {column: found.get(column) for column in columns} == columns, f"{kind}: {name}"


@pytest.mark.parametrize("kind", ["commands", "names"])
def test_no_command_option_or_name_is_gone(now, kind):
    for name, words in SURFACE[kind].items():
        assert not {*words} - {*now[kind].get(name, ())}, f"{kind}: {name}"


def test_a_column_that_is_gone_would_be_found(now):
    lost = {name: dict(columns) for name, columns in now["tables"].items()}
    del lost["steps"]["n_zero_state"]
    with pytest.raises(AssertionError, match="tables: steps"):
        test_no_table_or_view_has_lost_or_changed_a_column({"tables": lost}, "tables")


def test_what_is_cited_is_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == jacdb.__version__ and cited["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= {*cited}
