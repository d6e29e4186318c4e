"""Options that several commands have in common."""

from pathlib import Path
from typing import Annotated

import typer

from jacdb.cli import completion

Data = Annotated[  # read in place: local or on the Hub
    str,
    typer.Option(
        "--data", envvar="JACDB_DATA", help="Folder of the dataset, or hf://datasets/OWNER/NAME[@REV].", metavar="DIR"
    ),
]
LocalData = Annotated[Path, typer.Option("--data", envvar="JACDB_DATA", help="Folder of the dataset.", metavar="DIR")]
Form = Annotated[
    str | None,
    typer.Option("--format", help="table, csv, json, markdown or parquet; default: what --out ends in, else a table."),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="File to write instead of stdout: .txt, .csv, .json, .md or .parquet.", metavar="FILE"),
]
Memory = Annotated[
    float | None, typer.Option("--memory", help="GiB of memory for query and answer; default: 80 % of what is left.")
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", help="Seconds after which query and answer are stopped; default: never.")
]
Where = Annotated[str | None, typer.Option("--where", help="Only steps that meet this SQL condition.", metavar="SQL")]
Explain = Annotated[
    bool,
    typer.Option("--explain", help="Say instead from what it is answered: partials of so many runs, steps of others."),
]
Window = Annotated[
    int | None, typer.Option("--window", help="Only for lyapunov: steps in a window; default: 50.", metavar="N")
]
Environment = Annotated[
    str,
    typer.Option(
        "--env", help="Environment, by Playground's name (see `jacdb envs`).", autocompletion=completion.environments
    ),
]
OwnEnvironment = Annotated[
    str,
    typer.Option(
        "--env", help="Environment of the dataset, as `jacdb runs` names it.", autocompletion=completion.environments
    ),
]
Environments = Annotated[
    list[str] | None,
    typer.Option("--env", help="Only this environment; can be repeated.", autocompletion=completion.environments),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="Rows to give; default: all, or 100 in a table on the screen."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no notes and no progress, only answers and errors.")]
