"""Steps of a model of one's own, taken again by MuJoCo's C engine."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from jacdb.dataset.layout import Run
from jacdb.ingest.linearization.c_engine import CEngine
from jacdb.ingest.linearization.engine_differences import centred_differences
from jacdb.ingest.linearization.evaluations import Start
from jacdb.ingest.replay import source_replay
from jacdb.ingest.replay.checks import SAME_JACOBIAN
from jacdb.ingest.replay.replay import JacobianCheck, StepReplay
from jacdb.ingest.replay.source_replay import SourceReplayer
from jacdb.verification.samples import EpisodePrefix

XML = """<mujoco><option timestep=".01" cone="elliptic" iterations="{}" tolerance="0"/><worldbody>
<geom type="plane" size="1 1 1"/><body pos="0 0 .04"><freejoint/>
<geom type="capsule" fromto="-.1 0 0 .1 0 0" size=".05"/></body></worldbody></mujoco>"""
FEW, MANY = 5, 100  # iterations: their Jacobians differ by 1.6e-5, and their velocities by 1e-7


def differences(iterations: int) -> tuple[mujoco.MjModel, np.ndarray, np.ndarray, np.ndarray]:
    """A model of a capsule that slides, its state before and after a step, and the step's difference quotients."""
    model = mujoco.MjModel.from_xml_string(XML.format(iterations))
    qpos, qvel = np.array([[0, 0, 0.047, 1, 0, 0, 0]]), np.array([[0.3, 0.2, -0.1, 0.5, 0.3, 0.2]])
    empty, none = np.zeros((1, 0)), (np.zeros((1, 0, 3)), np.zeros((1, 0, 4)))
    start, engine = Start(qpos, qvel, empty, empty, np.zeros((1, model.nv)), *none), CEngine(model, 1)
    end = engine.ends(start)
    matrices = np.concatenate(centred_differences(model, engine.ends, start), axis=2)
    return model, np.concatenate([qpos, qvel], axis=1), np.concatenate([end.qpos, end.qvel], axis=1), matrices


@pytest.mark.parametrize(
    ("method", "iterations", "right"), [("implicit", MANY, True), ("fd", FEW, True), ("fd", MANY, False)]
)
def test_an_exact_jacobian_is_the_solutions_and_differences_are_the_engines_own(monkeypatch, method, iterations, right):
    model, state, next_state, _ = differences(FEW)
    jacobians = [*differences(iterations)[3]]
    prefix = EpisodePrefix(
        "", 0, 0, state, np.zeros((1, 0)), next_state, np.ones(1, bool), [0], jacobians, methods=[method]
    )
    monkeypatch.setattr(source_replay, "kept_model", lambda *_: model)
    facts = {"ctrl_dt": 0.01, "sim_dt": 0.01, "replay_tolerance": 1e-6, "suite": "file", "policy_config": "{}"}
    step, jacobian = SourceReplayer(Path(), Run("capsule", "run"), facts).replay([prefix])
    assert isinstance(step, StepReplay) and isinstance(jacobian, JacobianCheck) and jacobian.error is not None
    assert step.deviation == jacobian.c_deviation == 0
    assert (jacobian.error <= SAME_JACOBIAN) == right
