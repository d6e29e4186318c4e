"""Stiffness of springs between two sites where they meet: a spatial tendon of rest length 0, at length 0.

Such a spring pulls a hand to its target. Along the gap g between its sites it pulls with -k g, which is smooth where
they meet. Its length |g| and its direction g/|g| are not, and MJX differentiates both as 0 there. So the stiffness
-k J'J is added, in which J is the derivative of g. What else such a tendon may do there has no derivative
(:mod:`jacdb.ingest.linearization.vanishing_segments`).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float, Int
from mujoco import mjx

from jacdb.ingest.compat import mjx as mjx_private
from jacdb.ingest.models.recognition import without_passive_forces

MEET = 1e-8  # m, by coordinate: MJX takes a shorter gap for none


@dataclass(frozen=True)
class PointSprings:
    """The springs of one model that are at rest where their two sites meet.

    Attributes:
        tendons: their numbers.
        sites: both of each.
        stiffness: N/m.
    """

    tendons: Int[np.ndarray, " springs"]
    sites: Int[np.ndarray, "springs 2"]
    stiffness: Float[np.ndarray, " springs"]

    @classmethod
    def of(cls, model: mujoco.MjModel) -> "PointSprings | None":
        """Return those of a model; None: it has none."""
        if without_passive_forces(model.opt.disableflags):
            return None
        taut = (model.tendon_num == 2) & (model.tendon_stiffness > 0) & (model.tendon_lengthspring[:, 1] < MEET)
        path = np.asarray(model.tendon_adr)[:, None] + np.arange(2)
        taut[taut] = (model.wrap_type[path[taut]] == int(mujoco.mjtWrap.mjWRAP_SITE)).all(axis=1)
        tendons = np.flatnonzero(taut)
        if not len(tendons):
            return None
        return cls(tendons, model.wrap_objid[path[tendons]], model.tendon_stiffness[tendons])

    def hold_lengths(self, d: mjx.Data, forwarded: mjx.Data) -> mjx.Data:
        """Return ``d`` with lengths that do not change where the sites meet."""
        held, moved = forwarded.ten_length[self.tendons], d.ten_length[self.tendons]
        lengths = jnp.where(self._meet(forwarded), held, moved)
        return d.replace(ten_length=d.ten_length.at[self.tendons].set(lengths))

    def forces(self, model: mjx.Model, d: mjx.Data, forwarded: mjx.Data) -> Float[Array, " nv"]:
        """Return -k J'g of the springs whose sites meet, in which J is held.

        Args:
            d: where g is read.
            forwarded: forward dynamics' results, where they meet and J is.
        """

        def jacobian(site: Array) -> Float[Array, "nv 3"]:
            body = jnp.asarray(model.site_bodyid)[site]
            by_translation, _ = mjx_private.jac(model, forwarded, forwarded.site_xpos[site], body)
            return by_translation

        first, second = jnp.asarray(self.sites).T
        along = jax.vmap(jacobian)(second) - jax.vmap(jacobian)(first)
        stiffness = jnp.where(self._meet(forwarded), self.stiffness, 0.0)
        gap = d.site_xpos[second] - d.site_xpos[first]
        return -jnp.einsum("s,sva,sa->v", stiffness, along, gap)

    def _meet(self, d: mjx.Data) -> Array:
        first, second = self.sites.T
        return (jnp.abs(d.site_xpos[second] - d.site_xpos[first]) <= MEET).all(axis=1)
