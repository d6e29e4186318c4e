"""Small machines, for tests of the solver and of what differentiates it."""

import dataclasses

import jax
import mujoco
import numpy as np
from mujoco import mjx
from mujoco_playground import MjxEnv

from jacdb.ingest.differentiation.types import PhysicsInput
from jacdb.ingest.environments import registry
from jacdb.ingest.environments.loading import System

# Contacts, a joint limit, a joint equality, and dry friction that holds and slips.
EVERY_CONSTRAINT = """
<mujoco>
  <option iterations="{iterations}" ls_iterations="{searches}" integrator="{integrator}" cone="pyramidal">
    <flag eulerdamp="disable"/>
  </option>
  <worldbody>
    <geom type="plane" size="5 5 .1"/>
    <body pos="0 0 .1">
      <freejoint/> <geom type="capsule" size=".1 .2"/>
      <body pos=".3 0 0">
        <joint name="a" axis="0 1 0" range="-.3 .3" limited="true" frictionloss=".5"/> <geom type="sphere" size=".1"/>
        <body pos=".3 0 0"> <joint name="b" axis="0 1 0" frictionloss="50"/> <geom type="sphere" size=".1"/> </body>
      </body>
      <body pos="-.3 0 0"> <joint name="c" axis="0 1 0" damping=".3"/> <geom type="sphere" size=".1"/> </body>
    </body>
  </worldbody>
  <actuator> <motor joint="c"/> </actuator>
  <equality> <joint joint1="a" joint2="c"/> </equality>
</mujoco>
"""

# Two bodies that move and touch; no floor.
PAIR = """
<mujoco>
  <option iterations="30" ls_iterations="30"><flag eulerdamp="disable"/></option>
  <worldbody>
    <body> <freejoint/> <geom type="capsule" size=".1 .2" condim="{condim}"/> </body>
    <body pos=".05 .12 .1">
      <joint type="ball"/> <joint name="slide" type="slide" axis="1 .2 .3"/> <geom type="sphere" size=".1"/>
    </body>
  </worldbody>
  <actuator> <motor joint="slide"/> </actuator>
</mujoco>
"""

# Eight points of contact in three pairs of bodies, of which MJX picks six as it runs.
PICKED = """
<mujoco>
  <option iterations="30" ls_iterations="30"><flag eulerdamp="disable"/></option>
  <custom><numeric name="max_contact_points" data="6"/></custom>
  <worldbody>
    <geom type="plane" size="1 1 .1"/>
    <body pos="0 0 .095"> <freejoint/> <geom type="box" size=".1 .1 .1"/> </body>
    <body pos=".05 .02 .29">
      <joint name="lift" type="slide" axis="0 0 1"/> <joint type="ball"/> <geom type="sphere" size=".1"/>
    </body>
  </worldbody>
  <actuator> <motor joint="lift"/> </actuator>
</mujoco>
"""

# A pendulum whose end hangs in the floor, and no constraint to push it out.
SUNK = """
<mujoco>
  <option><flag constraint="disable" eulerdamp="disable"/></option>
  <worldbody>
    <geom type="plane" size="5 5 .1"/>
    <body pos="0 0 .2"> <joint name="hinge" axis="0 1 0"/> <geom type="sphere" size=".05" pos="0 0 -.2"/> </body>
  </worldbody>
  <actuator> <motor joint="hinge"/> </actuator>
</mujoco>
"""

# One body at each kind of kink when its joint is at 0 and its actuator at 1.
KINKS = """
<mujoco>
  <option timestep="0.01" gravity="0 0 0" iterations="50" tolerance="0"><flag eulerdamp="disable"/></option>
  <default> <geom size=".1" mass="1"/> <joint type="slide" axis="0 0 1"/> </default>
  <worldbody>
    <geom type="plane" size="9 9 .1"/>
    <body pos="0 0 .1"> <joint name="contact"/> <geom/> </body>
    <body pos="1 0 9"> <joint name="limit" range="0 1" limited="true"/> <geom/> </body>
    <body pos="2 0 9"> <joint name="ctrl"/> <geom/> </body>
    <body pos="3 0 9"> <joint name="force"/> <geom/> </body>
    <body pos="4 0 9"> <joint name="joint_force" actuatorfrcrange="-1 1" actuatorfrclimited="true"/> <geom/> </body>
  </worldbody>
  <actuator>
    <motor joint="ctrl" ctrlrange="-1 1" ctrllimited="true"/>
    <motor joint="force" forcerange="-1 1" forcelimited="true"/>
    <motor joint="joint_force"/>
  </actuator>
</mujoco>
"""


class Machine(MjxEnv):
    """A model with nothing of an environment but the length of its control step."""

    n_substeps = 2

    def __init__(self, mj_model: mujoco.MjModel) -> None:
        self._mj_model, self._mjx_model = mj_model, mjx.put_model(mj_model, impl="jax")

    mj_model = property(lambda self: self._mj_model)
    mjx_model = property(lambda self: self._mjx_model)
    xml_path = action_size = reset = step = None


def machine(xml: str) -> System:
    mj = mujoco.MjModel.from_xml_string(xml)
    spec = dataclasses.replace(registry.find("CartpoleBalance"), nq=mj.nq, nv=mj.nv, nu=mj.nu)
    return System(spec, Machine(mj))


def states(system: System, count: int, spread: np.ndarray | float) -> PhysicsInput:
    """States about the initial one, samples first."""
    mj, rng = system.mj_model, np.random.default_rng(1)
    data = mujoco.MjData(mj)

    def state() -> PhysicsInput:
        qpos = mj.qpos0 + spread * rng.normal(size=mj.nq)
        mujoco.mj_normalizeQuat(mj, qpos)
        rest = jax.tree.map(np.copy, PhysicsInput.read(data))
        return rest._replace(qpos=qpos, qvel=rng.normal(size=mj.nv), qacc_warmstart=10 * rng.normal(size=mj.nv))

    return jax.tree.map(lambda *parts: np.stack(parts), *(state() for _ in range(count)))
