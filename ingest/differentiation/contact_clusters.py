"""Groups contacts that the same joints move, so that what each does is summed before joints come in."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jacdb.ingest.differentiation.rnea_derivatives import Tree
from jacdb.ingest.linalg.batched import materialize, sum_terms


@dataclass(frozen=True)
class Clusters:
    """Contacts that the same joints move: those of one pair of bodies, or else each by itself.

    Where contacts keep their bodies, and where there are no fewer pairs than contacts, each is by itself.
    """

    body1: Array | np.ndarray  # (clusters,) or, where MJX picks pairs as it runs, (clusters, n)
    body2: Array | np.ndarray
    supports1: Array | np.ndarray  # (clusters, nv, n or 1): 1 where the dof moves body 1
    supports2: Array | np.ndarray
    # 1 where a cluster holds a contact, (clusters, contacts, n or 1); None: one contact each
    members: Array | np.ndarray | None

    @classmethod
    def of(
        cls,
        tree: Tree,
        body1: Array | np.ndarray,
        body2: Array | np.ndarray,
        pairs: Int[np.ndarray, "pairs 2"] | None = None,
    ) -> "Clusters":
        """Group contacts by their bodies, each (contacts,) or (contacts, n).

        Args:
            pairs: all pairs of bodies that may touch; None: each contact is by itself.
        """
        members = None
        if pairs is not None and not isinstance(body2, np.ndarray) and len(pairs) < len(body2):
            in_pair = (body1[None] == pairs[:, 0, None, None]) & (body2[None] == pairs[:, 1, None, None])
            members = in_pair.astype(float)
            body1, body2 = pairs.T
        return cls(body1, body2, _supports(tree, body1), _supports(tree, body2), members)

    def total[T](self, values: T) -> T:
        """Sum arrays (…, contacts, n) over the contacts of each cluster. All are summed as one array."""
        members = self.members
        if members is None:
            return values
        leaves, structure = jax.tree.flatten(values)
        rows = [leaf.reshape(-1, *leaf.shape[-2:]) for leaf in leaves]
        stacked = materialize(jnp.concatenate(rows))
        if isinstance(members, np.ndarray):
            total = jnp.einsum("pc,rcn->rpn", members[..., 0], stacked)
        else:
            total = sum_terms(stacked[:, None, c] * members[:, c] for c in range(members.shape[1]))
        ends = np.cumsum([len(row) for row in rows])[:-1]
        parts = jnp.split(materialize(total), ends)
        return jax.tree.unflatten(
            structure,
            [part.reshape(*leaf.shape[:-2], *part.shape[-2:]) for part, leaf in zip(parts, leaves, strict=True)],
        )


def _supports(tree: Tree, body: Array | np.ndarray) -> Array | np.ndarray:
    """Return 1 where the dof moves the contact's body: (contacts, nv, n or 1)."""
    if isinstance(body, np.ndarray):
        return tree.supports[body][..., None]
    return jnp.moveaxis(jnp.asarray(tree.supports)[body], -1, 1)
