"""A graph network: bodies are nodes, joints between them are edges, and contacts are edges that come and go.

Source: Sanchez-Gonzalez, Heess, Springenberg, Merel, Riedmiller, Hadsell and Battaglia, "Graph Networks as Learnable
Physics Engines for Inference and Control", ICML 2018, arXiv 1806.01242.

Every round, edges send messages to nodes, and nodes move:

    m_ij = edge(h_i, h_j, t_ij),  h_i <- h_i + node(h_i, sum_j g_ij m_ij)

t_ij is 1 between a body and its parent in the kinematic tree, and there g_ij is 1. Contacts are no input of a model. So
any other two bodies have an edge that opens by their states: g_ij = sigmoid(gate(h_i, h_j)). A body's state and action
are embedded together with what is its own (a mass, say), which is learned.

Left out: global attributes, recurrent networks, the encoding of a joint's attributes on its edge.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jacdb.learning.models import layers
from jacdb.learning.models.layers import Layers
from jacdb.learning.models.model import Parameters, Sizes, WorldModel


@dataclass(frozen=True)
class GraphNetwork(WorldModel):
    """A graph network on bodies; its graph is its absolute Jacobian.

    Attributes:
        rounds: of messages.
        width: numbers of a node and a message, units of the hidden layers.
        parents: the parent of each body of the kinematic tree; None for gated edges alone. The command line takes
            it from the model of the rows' robot.
    """

    rounds: int = 3
    width: int = 32
    parents: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        """Refuse a tree that is none.

        Raises:
            ValueError: the parents are no mapping of names.
        """
        tree = {} if self.parents is None else self.parents
        if not isinstance(tree, Mapping) or not all(isinstance(name, str) for pair in tree.items() for name in pair):
            raise ValueError(f'parents={tree}: give {{"hand": "arm"}}, the parent of each body, or null')

    def init(self, key: jax.Array, sizes: Sizes) -> Parameters:
        """Return the parameters before training; what says where things are is among them, and stays as it is."""
        w = self.width
        places, names = _nodes(sizes.bodies)
        n, target = len(names), places[list(sizes.state_of_target)]
        scale, own, readout, edge, node, gate = jax.random.split(key, 6)
        return {
            "node_of_input": jax.nn.one_hot(places, n, dtype=jnp.float32).T,
            "node_of_target": jax.nn.one_hot(target, n, dtype=jnp.float32),
            "tree": jnp.asarray(_tree(names, self.parents or {})),
            "scale": jax.random.normal(scale, (len(places), w), jnp.float32),
            "own": jax.random.normal(own, (n, w), jnp.float32),
            "readout": jax.random.normal(readout, (sizes.n_target, w), jnp.float32) / w**0.5,
            "bias": jnp.zeros(sizes.n_target, jnp.float32),
            "edge": layers.init_each(edge, self.rounds, [2 * w + 1, w, w]),
            "node": layers.init_each(node, self.rounds, [2 * w, w, w]),
            "gate": layers.init(gate, [2 * w + 1, w, 1]),
        }

    def predict(self, params: Parameters, state: jax.Array, action: jax.Array) -> jax.Array:
        """Return what is read of each target's node after all rounds."""
        inputs, targets, tree = (
            jax.lax.stop_gradient(params[name]) for name in ("node_of_input", "node_of_target", "tree")
        )
        x = jnp.concatenate([state, action])
        h = inputs @ (x[:, None] * params["scale"]) + params["own"]
        n = len(h)
        apart = 1 - jnp.eye(n, dtype=h.dtype)
        opened = jax.nn.sigmoid(_of_pairs(params["gate"], h, tree)[..., 0])
        gate = (tree + (1 - tree) * opened) * apart
        for number in range(self.rounds):
            of_round = {name: jax.tree.map(operator.itemgetter(number), params[name]) for name in ("edge", "node")}
            got = jnp.sum(gate[..., None] * _of_pairs(of_round["edge"], h, tree), axis=1)
            h = h + layers.apply(of_round["node"], jnp.concatenate([h, got], axis=1))
        return jnp.sum((targets @ h) * params["readout"], axis=1) + params["bias"]


def _of_pairs(network: Layers, h: jax.Array, tree: jax.Array) -> jax.Array:
    """Return what a network says of each pair, (nodes, nodes, outputs): the node that gets, and the one that sends."""
    first, *rest = network
    of_getter, of_sender, of_tree = jnp.split(first["weight"], (h.shape[1], 2 * h.shape[1]))
    # the first layer of a pair is a sum of what it is of its nodes: so it is computed for each node once
    pairs = (h @ of_getter)[:, None] + (h @ of_sender)[None] + tree[..., None] @ of_tree + first["bias"]
    return layers.apply(rest, layers.elu(pairs))


def _nodes(bodies: tuple[str | None, ...]) -> tuple[np.ndarray, list[str | None]]:
    """Return the node of each input, and the body of each node; an input without body is a node by itself."""
    labels = [body if body is not None else number for number, body in enumerate(bodies)]
    number = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    return np.array([number[label] for label in labels]), [x if isinstance(x, str) else None for x in number]


def _tree(names: list[str | None], parents: Mapping[str, str]) -> np.ndarray:
    """Return 1 between each body and its nearest ancestor that is a node, else 0, (nodes, nodes)."""
    tree = np.zeros((len(names), len(names)), np.float32)
    place = {name: number for number, name in enumerate(names) if name is not None}
    for name, number in place.items():
        above = parents.get(name)
        while above is not None and above not in place:
            above = parents.get(above)
        if above is not None:
            tree[number, place[above]] = tree[place[above], number] = 1
    return tree
