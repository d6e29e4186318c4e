"""The causal graph of an environment: as a networkx graph, and as a GraphML or JSON file for other programs."""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from jacdb import out_path
from jacdb.atomic_file import write_file
from jacdb.errors import UsageError
from jacdb.schemas.axis_names import unique_names

if TYPE_CHECKING:  # networkx is slow to import: what is typed wrong is told before
    import networkx as nx

    from jacdb.dataset.dataset import Dataset

FORMATS = (".graphml", ".json")


def causal_graph(dataset: "Dataset", env: str) -> "nx.DiGraph":
    """Return which axes of the next state depend on which axes of state and action, as a networkx graph.

    Nodes are axes, ``state:<name>`` or ``action:<name>``, with the attributes ``space``, ``name``, ``quantity`` and
    ``unit``; an axis without edges is a node, too. Where a dataset of before 1.0 has a name twice, the later axis is
    ``state:<name>#2``. An edge points from cause to effect. Its ``share`` is the share of steps in which the dependence
    exists; edges of one ``block`` exist in the same steps.

    Raises:
        UsageError: the environment has no finite step.
    """
    edges = dataset.fetch(dataset.view("causal_graph", env))
    if edges.is_empty():
        raise UsageError(f"causal_graph has no edge in {env}: no step of it counts")
    axes = dataset.fetch(dataset.view("axes", env)).unique(["space", "index"], keep="first", maintain_order=True)
    import networkx as nx

    graph = nx.DiGraph(env=env)
    nodes = {}  # (space, index) -> node: names may repeat, positions do not
    for space, label in (("tangent", "state"), ("action", "action")):
        of_space = axes.filter(space=space).sort("index")
        for axis, name in zip(of_space.iter_rows(named=True), unique_names(of_space["name"].to_list()), strict=True):
            node = nodes[space, axis["index"]] = f"{label}:{name}"
            graph.add_node(node, space=label, **{key: axis[key] for key in ("name", "quantity", "unit")})
    for edge in edges.iter_rows(named=True):
        source, target = nodes[edge["source_space"], edge["source"]], nodes["tangent", edge["target"]]
        graph.add_edge(source, target, share=edge["share"], block=edge["block"])
    return graph


def save(graph: "nx.DiGraph", path: Path) -> None:
    """Write GraphML, or JSON in networkx's node-link form; the suffix of the file decides.

    Raises:
        UsageError: the suffix is neither .graphml nor .json.
        FailureError: the file can't be written.
    """
    out_path.check_file(path, FORMATS)
    import networkx as nx

    if path.suffix.lower() == ".graphml":
        written = io.BytesIO()
        nx.write_graphml(graph, written)
        content = written.getvalue()
    else:
        content = (json.dumps(nx.node_link_data(graph, edges="edges"), indent=1) + "\n").encode()
    write_file(path, content)
