"""Contacts of capsules as the C engine has them: distance, point and the whole frame, in any pose."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mujoco import mjx

from jacdb.ingest import runtime
from jacdb.ingest.compat.mjx import collision, impl, kinematics
from jacdb.ingest.dynamics import c_contacts

MODEL = """<mujoco><worldbody><geom type="plane" size="1 1 .1" margin="2"/>
<body><freejoint/><geom type="capsule" size=".1 .3" margin="2"/></body>
<body><freejoint/><geom type="capsule" size=".05 .5" margin="2"/></body>
<body><freejoint/><geom type="sphere" size=".2" margin="2"/></body></worldbody></mujoco>"""


@pytest.fixture(scope="module")
def contacts():
    """C's contacts and ours of 200 random poses, by pair of geoms: (distance, point, frame) in order of distance."""
    runtime.configure()
    model = mujoco.MjModel.from_xml_string(MODEL)
    on_mjx, template, data = mjx.put_model(model, impl="jax"), mjx.make_data(model, impl="jax"), mujoco.MjData(model)

    @jax.jit
    def found(qpos):
        with c_contacts.as_in_c():
            contact = impl(collision(on_mjx, kinematics(on_mjx, template.replace(qpos=qpos)))).contact
        return contact.geom, contact.dist, contact.pos, contact.frame

    rng, poses = np.random.default_rng(0), []
    for _ in range(200):
        data.qpos[:] = rng.normal(size=model.nq) * 0.3
        mujoco.mj_normalizeQuat(model, data.qpos)
        mujoco.mj_forward(model, data)
        c = [(tuple(x.geom), x.dist, np.concatenate([[x.dist], x.pos, x.frame])) for x in data.contact]
        geoms, *ours = (np.asarray(leaf) for leaf in found(jnp.array(data.qpos)))
        own = [
            (tuple(pair), dist, np.concatenate([[dist], pos, frame.ravel()]))
            for pair, dist, pos, frame in zip(geoms, *ours, strict=True)
        ]
        poses.append([_by_pair(entries) for entries in (c, own)])
    return poses


def _by_pair(entries):
    pairs = {}
    for pair, _, values in sorted(entries, key=lambda entry: entry[:2]):
        pairs.setdefault(pair, []).append(values)
    return pairs


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)])
def test_contacts_of_capsules_are_cs(contacts, pair):
    compared = 0
    for c, ours in contacts:
        # geoms may be in either order: C has the lower type first
        theirs, own = (of.get(pair, of.get(pair[::-1], [])) for of in (c, ours))
        for values in theirs:
            nearest = min(own, key=lambda other, values=values: np.abs(other[:4] - values[:4]).max())
            np.testing.assert_allclose(nearest, values, atol=1e-12)
            compared += 1
    assert compared >= 200
