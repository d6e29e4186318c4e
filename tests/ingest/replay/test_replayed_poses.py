"""Poses of a source's run, taken again: either quaternion of a rotation, and mocap bodies that rest or move."""

from pathlib import Path

import mujoco
import numpy as np

from jacdb.dataset.layout import Run
from jacdb.ingest.replay import source_replay
from jacdb.ingest.replay.source_replay import SourceReplayer
from jacdb.verification.samples import EpisodePrefix

TOP = """<mujoco><option gravity="0 0 0"/><worldbody>
<body name="guide" mocap="true" pos="0 0 1"><geom size=".05" contype="0" conaffinity="0"/></body>
<body name="top" pos="0 0 1"><freejoint/><geom type="box" size=".1 .2 .3"/><site name="axis"/></body>
</worldbody><equality><weld body1="guide" body2="top" active="{welded}"/></equality>
<actuator><motor site="axis" gear="0 0 0 1 0 0"/></actuator>
<keyframe><key name="aside" mpos="1 0 1"/></keyframe></mujoco>"""


def recorded_top(welded: bool) -> tuple[mujoco.MjModel, EpisodePrefix]:
    """A top that turns by itself, or is drawn by a mocap body that moves from step 2 on; w of its quaternion >= 0."""
    model = mujoco.MjModel.from_xml_string(TOP.format(welded=str(welded).lower()))
    data, states = mujoco.MjData(model), []
    data.qvel[3] = 0 if welded else 400
    for step in range(5):
        states.append(np.concatenate([data.qpos * np.where(np.arange(7) < 3, 1, np.sign(data.qpos[3])), data.qvel]))
        data.mocap_pos[0, 0] = max(0, step - 1)
        mujoco.mj_step(model, data)
    state = np.array(states)
    return model, EpisodePrefix(
        "", 0, 0, state[:-1], np.zeros((4, 1)), state[1:], np.ones(4, bool), drawn=[3], jacobians=[], methods=[]
    )


def replayed(monkeypatch, model: mujoco.MjModel, prefix: EpisodePrefix, suite: str, settings="{}") -> list[str | None]:
    monkeypatch.setattr(source_replay, "kept_model", lambda *_: model)
    monkeypatch.setattr(SourceReplayer, "_check_jacobian", lambda *_: "jacobian")
    facts = {"ctrl_dt": 0.002, "sim_dt": 0.002, "replay_tolerance": 1e-6, "suite": suite, "policy_config": settings}
    taken = SourceReplayer(Path(), Run("top", "run"), facts).replay([prefix])
    return [one if one == "jacobian" else one.explanation for one in taken]


def test_a_rotation_is_replayed_whichever_of_its_two_quaternions_is_stored(monkeypatch):
    model, prefix = recorded_top(welded=False)
    assert prefix.state[3, 3:7] @ prefix.next_state[3, 3:7] < 0, "the sign changes"
    assert replayed(monkeypatch, model, prefix, "file") == ["", "", "", "", "jacobian"]


def test_steps_that_a_moved_mocap_body_decides_are_no_findings(monkeypatch):
    """No row says where it was. In a rollout of a model it rests at the keyframe: a deviation is a finding there."""
    model, prefix = recorded_top(welded=True)
    unknown = "poses of mocap bodies are not stored"
    assert replayed(monkeypatch, model, prefix, "file") == ["", "", unknown, unknown]
    assert replayed(monkeypatch, model, prefix, "model") == ["", "", None, None, "jacobian"]
    aside = replayed(monkeypatch, model, prefix, "model", '{"keyframe": "aside"}')
    assert aside == [None, None, "", None, "jacobian"], "it is there in step 2 alone"
