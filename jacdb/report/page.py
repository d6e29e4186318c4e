"""The page of a report, made from facts: as Markdown and as HTML."""

import itertools
import re
from importlib.resources import files
from typing import Any, NamedTuple

import jinja2
from markdown_it import MarkdownIt

from jacdb import figures
from jacdb.report import leaderboard
from jacdb.report.paper import summary
from jacdb.report.tables import TABLES, sweep


class Picture(NamedTuple):
    """A figure of the page: its link, or why there is none."""

    link: str | None
    missing: str = ""


Pictures = dict[str, dict[str, Picture]]  # by environment and figure
_TEXTS = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)


def _template(name: str) -> jinja2.Template:
    return _TEXTS.from_string(files("jacdb.report").joinpath(name).read_text("utf-8"))


def markdown(facts: dict[str, Any], pictures: Pictures | None = None) -> str:
    """Return the page as Markdown; with pictures, it opens with its contents."""
    about = {
        "tables": {name: table.markdown(facts) for name, table in TABLES.items()} | {"sweep": sweep(facts)},
        "captions": {name: figure.caption for name, figure in figures.FIGURES.items()},
        "pictures": pictures,
        # facts that an earlier jacdb kept have none
        "leaderboard": leaderboard.markdown(
            [row for of in facts["environments"].values() for row in of.get("leaderboard", ())]
        ),
        "leaderboard_note": leaderboard.NOTE,
    }
    body = _template("page.md.j2").render(**facts, **about) + "\n"
    headings = re.findall(r"^## (.+)$", body, re.MULTILINE)
    contents = "\n".join(f"- [{heading}](#{anchor(heading)})" for heading in headings)
    opening = f"Dataset `{facts['dataset']}`, read by jacdb {facts['jacdb']} on {facts['date']}."
    return "\n\n".join([opening, f"{summary(facts)}.", *([contents] if pictures else []), body])


def html(facts: dict[str, Any], pictures: Pictures) -> str:
    """Return the same page as HTML. Text from the dataset is escaped: none of its tags gets through."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown(facts, pictures))
    for heading, words in itertools.pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", anchor(words.content))
    return _template("page.html.j2").render(body=parser.renderer.render(tokens, parser.options, {}))


def anchor(heading: str) -> str:
    """Return the name by which a link finds a heading, as GitHub gives it to the page as Markdown."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
