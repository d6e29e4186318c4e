"""Options that several commands have in common."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[  # read in place: local or on the Hub
    str,
    typer.Option(
        "--data", envvar="JACDB_DATA", help="Folder of the dataset, or hf://datasets/OWNER/NAME[@REV].", metavar="DIR"
    ),
]
LocalData = Annotated[Path, typer.Option("--data", envvar="JACDB_DATA", help="Folder of the dataset.", metavar="DIR")]
Form = Annotated[str, typer.Option("--format", help="table, csv, json, markdown or parquet.")]
Out = Annotated[Path | None, typer.Option("--out", help="File to write instead of stdout.", metavar="FILE")]
Memory = Annotated[
    float | None, typer.Option("--memory", help="GiB of memory for query and answer; default: 80 % of what is left.")
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", help="Seconds after which query and answer are stopped; default: never.")
]
Where = Annotated[str | None, typer.Option("--where", help="Only steps that meet this SQL condition.", metavar="SQL")]
Environments = Annotated[list[str] | None, typer.Option("--env", help="Only this environment; can be repeated.")]
