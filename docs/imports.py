"""Read what imports what from the code itself, and draw it: the picture in docs/architecture.md.

A room is a folder of modules, or a module that stands alone. An arrow means "imports". An arrow that others imply is
left out: where A imports B and B imports C, an arrow from A to C says nothing new.
"""

import ast
import functools
import html
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
# The folders at the top, by the name under which Python imports them
PACKAGES = {"jacdb": "jacdb", "jacdb.ingest": "ingest", "jacdb.queries": "queries", "jacdb.schemas": "schemas"}
# Where a room stands: (row from the top, column from the left), and what it is, in two or three words
ROOMS = {
    "jacdb.cli": (0, 2.5, "the command line"),
    "jacdb.ingest.plans": (1, 1, "many runs, also on Ray"),
    "jacdb.ingest.requested_run": (2, 1, "what people ask for"),
    "jacdb.ingest.replay": (3, 1.5, "steps taken again"),
    "jacdb.ingest.pipeline": (3, 0.5, "a request, carried out"),
    "jacdb.ingest.source_pipeline": (3, 2.5, "trajectories, annotated"),
    "jacdb.ingest.run_failures": (4, 1.5, "what is kept, told"),
    "jacdb.ingest.run_plan": (4, 0.5, "all of it decided"),
    "jacdb.ingest.linearization": (4, 2.5, "any model's steps"),
    "jacdb.ingest.scene": (4, 3.5, "what a robot looks like"),
    "jacdb.ingest.recording": (5, 0, "episodes into rows"),
    "jacdb.ingest.request_checks": (5, 1.25, "refused before JAX"),
    "jacdb.ingest.provenance": (6, 1.25, "model and versions"),
    "jacdb.ingest.differentiation": (6, 0.25, "exact Jacobians"),
    "jacdb.ingest.policies": (7, 2, "what chooses actions"),
    "jacdb.ingest.dynamics": (7, 0, "MuJoCo's forward dynamics"),
    "jacdb.ingest.storage": (6, 2.25, "Parquet, whole or not"),
    "jacdb.ingest.environments": (8, 1.5, "load, step: x' = F(x, u)"),
    "jacdb.ingest.sources": (6, 3.25, "trajectories, any model"),
    "jacdb.ingest.models": (10, 2.25, "any model, what is covered"),
    "jacdb.ingest.linalg": (9, 0, "batched algebra"),
    "jacdb.ingest.compat": (10, 1, "MJX's private names"),
    "jacdb.ingest.runtime": (9, 2, "JAX, set up"),
    "jacdb.ingest.program_store": (8, 0.45, "compiled code, kept"),
    "jacdb.publishing": (3, 5.5, "to the Hub and back"),
    "jacdb.report": (4, 5.5, "Table 1 and a page"),
    "jacdb.explorer": (4, 4.5, "a page to look at it"),
    "jacdb.verification": (5, 2.5, "is it what it says?"),
    "jacdb.figures": (5, 5.5, "matplotlib figures"),
    "jacdb.graph": (5, 3.5, "the causal graph"),
    "jacdb.exports": (5, 4.5, "other formats"),
    "jacdb.learning": (5, 6.5, "models of the dynamics"),
    "jacdb.merging": (6, 4.4, "datasets joined"),
    "jacdb.spark": (6, 5.5, "Spark SQL"),
    "jacdb.dataset": (7, 4, "open, SQL, batches"),
    "jacdb.hub": (9, 3, "Hugging Face Hub"),
    "jacdb.queries": (8, 4.5, "one view a file"),
    "jacdb.schemas": (9, 4.5, "the tables"),
}
WIDTH, HEIGHT, ACROSS, DOWN, MARGIN = 168, 44, 186, 86, 20  # pixels
NEEDS_JAX = "jacdb.ingest."
STYLE = (
    "text{font-family:Helvetica,Arial,sans-serif;text-anchor:middle;fill:#222}"
    ".name{font-size:13px;font-weight:bold}.said{font-size:11px}"
    "rect{stroke:#333;stroke-width:1;rx:5}path{fill:none;stroke:#777;stroke-width:1.2;marker-end:url(#head)}"
)


def modules() -> dict[str, Path]:
    """Return every module by the name under which Python imports it."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            relative = path.relative_to(ROOT / folder)
            if not any((ROOT / folder / parent).is_symlink() for parent in relative.parents):
                parts = [package, *relative.with_suffix("").parts]
                found[".".join(part for part in parts if part != "__init__")] = path
    return found


def room(module: str) -> str | None:
    """Return the room that a module or a name in it belongs to; None for what everything imports."""
    for name in sorted(ROOMS, key=len, reverse=True):
        if module == name or module.startswith(name + "."):
            return name
    return None


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of jacdb that a file imports at run time, at its top or inside a function."""
    tree = ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "jacdb")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jacdb":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else node.module or ""


@functools.cache
def room_imports() -> dict[str, frozenset[str]]:
    """Return the rooms that each room imports.

    Raises:
        ValueError: a module stands in no room: give it a place in ROOMS.
    """
    known = modules()
    arrows: dict[str, set[str]] = {name: set() for name in ROOMS}
    for module, path in known.items():
        here = room(module)
        if here is None:
            # A small module on its own, such as jacdb.errors: arrows to them would hide the others
            if module.count(".") > 1:
                raise ValueError(f"{module} stands in no room: give it a place in docs/imports.py, ROOMS")
            continue
        arrows[here] |= {there for imported in imports(path, known) if (there := room(imported)) not in (None, here)}
    return {name: frozenset(others) for name, others in arrows.items()}


def reach(arrows: dict[str, frozenset[str]], start: str) -> set[str]:
    """Return all rooms that ``start`` imports, directly or through others."""
    seen: set[str] = set()
    waiting = list(arrows[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += arrows[name]
    return seen


def drawn_arrows() -> list[tuple[str, str]]:
    """Return the arrows that no others imply.

    Raises:
        ValueError: rooms import each other in a circle, or an arrow would point up.
    """
    arrows = room_imports()
    drawn = []
    for name, others in arrows.items():
        if name in reach(arrows, name):
            raise ValueError(f"{name} imports itself through other rooms: imports go one way")
        for other in sorted(others):
            if not any(other in reach(arrows, between) for between in others):
                if ROOMS[name][0] >= ROOMS[other][0]:
                    raise ValueError(f"{name} imports {other}, which stands no lower: move one of them in ROOMS")
                drawn.append((name, other))
    return drawn


def picture() -> str:
    """Return the picture as SVG."""

    def corner(name: str) -> tuple[float, float]:
        row, column, _ = ROOMS[name]
        return MARGIN + column * ACROSS, MARGIN + row * DOWN

    parts = []
    for name, other in drawn_arrows():
        (x, y), (to_x, to_y) = corner(name), corner(other)
        x, to_x, y = x + WIDTH / 2, to_x + WIDTH / 2, y + HEIGHT
        bend = (to_y - y) / 2
        parts.append(f'<path d="M{x:g} {y:g} C{x:g} {y + bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y - 3:g}"/>')
    for name, (_, _, said) in ROOMS.items():
        x, y = corner(name)
        short = name.removeprefix("jacdb.").replace(".", "/")
        fill = "#fff2df" if name.startswith(NEEDS_JAX) else "#e3eefa"
        parts.append(f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" fill="{fill}"/>')
        parts.append(f'<text class="name" x="{x + WIDTH / 2:g}" y="{y + 18:g}">{short}</text>')
        parts.append(f'<text class="said" x="{x + WIDTH / 2:g}" y="{y + 35:g}">{html.escape(said)}</text>')
    width = 2 * MARGIN + max(column for _, column, _ in ROOMS.values()) * ACROSS + WIDTH
    height = 2 * MARGIN + max(row for row, _, _ in ROOMS.values()) * DOWN + HEIGHT
    head = (
        '<marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" style="fill:#777;stroke:none;marker-end:none"/></marker>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}"'
        f' height="{height:g}" role="img" aria-label="Rooms of jacdb, and what each imports">'
        f'<style>{STYLE}</style><defs>{head}</defs><rect width="100%" height="100%" fill="#fff" style="stroke:none"/>'
        + "\n".join(["", *parts, "</svg>", ""])
    )
