"""Add to the site what does not stand in docs/: README, CONTRIBUTING, CHANGELOG, and a page of reference a room.

A hook of mkdocs. Links out of docs/ are right on a repository's page; on the site they lead to the page that was
added, or else become the path as text.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ADDED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")
# Title of a page of reference -> the modules on it
REFERENCE: dict[str, tuple[str, ...]] = {
    "jacdb": ("jacdb.dataset.dataset", "jacdb.dataset.views", "jacdb.dataset.loader",
              "jacdb.dataset.interleaved_batches", "jacdb.dataset.batch_sequence", "jacdb.errors"),
    "normalization": ("jacdb.dataset.normalization",),
    "figures": ("jacdb.figures",),
    "graph": ("jacdb.graph",),
    "report": ("jacdb.report",),
    "exports": ("jacdb.exports", "jacdb.exports.trajectories"),
    "verification": ("jacdb.verification", "jacdb.verification.findings"),
    "publishing": ("jacdb.publishing.publish", "jacdb.publishing.space", "jacdb.publishing.pull",
                   "jacdb.publishing.card"),
    "dataset": ("jacdb.dataset.folder", "jacdb.dataset.remote_folder", "jacdb.dataset.manifest",
                "jacdb.dataset.integrity", "jacdb.dataset.run_status", "jacdb.dataset.step_rows",
                "jacdb.dataset.lyapunov"),
    "schemas": ("jacdb.schemas",),
    "queries": ("jacdb.queries",),
    "ingest": ("jacdb.ingest.pipeline", "jacdb.ingest.run_plan", "jacdb.ingest.provenance", "jacdb.ingest.runtime"),
    "environments": ("jacdb.ingest.environments",),
    "policies": ("jacdb.ingest.policies",),
    "dynamics": ("jacdb.ingest.dynamics",),
    "differentiation": ("jacdb.ingest.differentiation",),
    "recording": ("jacdb.ingest.recording",),
    "storage": ("jacdb.ingest.storage",),
    "replay": ("jacdb.ingest.replay",),
    "recordings": ("jacdb.ingest.sources.trajectory", "jacdb.ingest.sources.recordings"),
    "linalg": ("jacdb.ingest.linalg", "jacdb.ingest.compat"),
}  # fmt: skip
FOLDERS = {"jacdb.ingest": "ingest", "jacdb.queries": "queries", "jacdb.schemas": "schemas", "jacdb": "jacdb"}


def folder_of(module: str) -> Path:
    """Return the folder, or the path without ``.py``, that a module's source has in the repository."""
    package = next(name for name in FOLDERS if module == name or module.startswith(name + "."))
    return ROOT / FOLDERS[package] / module.removeprefix(package).removeprefix(".").replace(".", "/")


def reference_page(title: str) -> str:
    """Return the Markdown of a page of reference: its modules, one after the other, folders opened."""
    named: list[str] = []
    for module in REFERENCE[title]:
        named.append(module)
        if module.startswith("jacdb.ingest.") and folder_of(module).is_dir():
            inside = sorted(path.stem for path in folder_of(module).glob("*.py") if path.stem != "__init__")
            named += [f"{module}.{name}" for name in inside]
    return "\n".join([f"# {title}", "", *(f"::: {module}\n" for module in named)])


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that do not stand in docs/."""
    from mkdocs.structure.files import File

    for source, page in ADDED.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    for title in REFERENCE:
        files.append(File.generated(config, f"api/{title}.md", content=reference_page(title)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Make links lead where they lead on a repository's page, as far as the site goes.

    Raises:
        ValueError: a link leads nowhere, on the site and in the repository.
    """
    name: str = page.file.src_uri
    back = {added: source for source, added in ADDED.items()}
    here = ROOT / back[name] if name in back else ROOT / "docs" / name

    def lead(match: re.Match[str]) -> str:
        mark, text, target, anchor = match.groups(default="")
        there = (here.parent / target).resolve()
        if not there.exists():
            raise ValueError(f"{here.relative_to(ROOT)}: {target} leads nowhere")
        path = there.relative_to(ROOT.resolve()).as_posix()
        if path in ADDED:
            path = ADDED[path]
        elif path.startswith("docs/") and files.get_file_from_path(path.removeprefix("docs/")):
            path = path.removeprefix("docs/")
        else:
            return f"{text} (`{path}`)" if text != path else f"`{path}`"
        ups = "../" * name.count("/")
        return f"{mark}[{text}]({ups}{path}{anchor})"

    parts = re.split(r"(^```.*?^```)", markdown, flags=re.MULTILINE | re.DOTALL)  # code is left as it is
    return "".join(part if part.startswith("```") else LINK.sub(lead, part) for part in parts)
