"""The causal graph as files that other programs read."""

import json

import networkx as nx
import numpy as np
import pytest
from synthetic import dataset, episode

import jacdb
from jacdb import UsageError, graph


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    root = tmp_path_factory.mktemp("graph")
    j = np.zeros((4, 3, 4))
    j[:, 0, 0] = j[:2, 1, 0] = j[:, 1, 3] = 1.0  # 0 on itself; 1 on 0 half of the time, and on the action
    dataset(root, "E", [episode(0, j[..., :3], j[..., 3:])])
    dataset(root, "Broken", [episode(0, np.full((3, 2, 2), np.nan), np.ones((3, 2, 1)))])
    with jacdb.open(root) as opened:
        yield opened


@pytest.mark.slow
def test_edges_point_from_cause_to_effect(opened):
    found = graph.causal_graph(opened, "E")
    assert {(source, target): share for source, target, share in found.edges.data("share")} == {
        ("state:tangent0", "state:tangent0"): 1.0,
        ("state:tangent0", "state:tangent1"): 0.5,
        ("action:action0", "state:tangent1"): 1.0,
    }
    assert found.degree["state:tangent2"] == 0  # an axis alone is a node all the same
    assert found.nodes["action:action0"] == {"space": "action", "name": "action0", "quantity": "q", "unit": "1"}


@pytest.mark.slow
def test_axes_of_one_name_stay_apart(tmp_path):
    """As datasets of before 1.0 have them: the position of joint j.vel, and the velocity of joint j."""
    j_state = np.array([[[1.0, 0, 0], [0, 1, 0], [0, 1, 1]]])
    names = {"tangent": ["j.vel", "j", "j.vel"], "action": ["x", "x"]}
    dataset(tmp_path, "Old", [episode(0, j_state, np.array([[[0.0, 0], [0, 0], [0, 1]]]))], names=names)
    with jacdb.open(tmp_path) as opened:
        found = graph.causal_graph(opened, "Old")
    assert {*found.nodes} == {"state:j.vel", "state:j", "state:j.vel#2", "action:x", "action:x#2"}
    assert found.nodes["state:j.vel#2"]["name"] == "j.vel"
    assert {*found.in_edges("state:j.vel#2")} == {
        ("state:j", "state:j.vel#2"), ("state:j.vel#2", "state:j.vel#2"), ("action:x#2", "state:j.vel#2"),
    }  # fmt: skip
    assert [*found.in_edges("state:j.vel")] == [("state:j.vel", "state:j.vel")]


def test_files_are_the_graph(opened, tmp_path):
    found = graph.causal_graph(opened, "E")
    for name in ("it.graphml", "it.json"):
        graph.save(found, tmp_path / name)
    again = [nx.read_graphml(tmp_path / "it.graphml"),
             nx.node_link_graph(json.loads((tmp_path / "it.json").read_text()), edges="edges")]  # fmt: skip
    for read in again:
        assert dict(read.nodes.data()) == dict(found.nodes.data())
        assert sorted(read.edges.data("share")) == sorted(found.edges.data("share"))


def test_what_is_no_graph_is_refused(opened, tmp_path):
    with pytest.raises(UsageError, match="no step of it counts"):
        graph.causal_graph(opened, "Broken")
    with pytest.raises(UsageError, match=r"\.graphml, \.json"):
        graph.save(graph.causal_graph(opened, "E"), tmp_path / "it.gml")
