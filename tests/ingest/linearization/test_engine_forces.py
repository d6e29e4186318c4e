"""What the engine itself computed, in rows whose step the differentiated equations do not explain."""

import mujoco
import numpy as np
import pytest

import jacdb
from jacdb.ingest.dynamics.observations import Observation
from jacdb.ingest.linearization import engine_forces
from jacdb.ingest.linearization.c_engine import CEngine
from jacdb.ingest.linearization.evaluations import RK4_WEIGHTS, Start
from jacdb.ingest.models import loading
from jacdb.ingest.source_pipeline import Annotation, annotate
from jacdb.ingest.sources.host_policies import HostNoise
from jacdb.ingest.sources.model import ModelSource
from jacdb.ingest.sources.rollouts import Rollouts

# two iterations are too few; the marker of a mocap body lies in the floor, and pushes nothing
XML = """<mujoco model="sled"><option solver="PGS" iterations="2"/>
<worldbody><geom name="floor" type="plane" size="1 1 1"/>
<body pos="0 0 .0995"><joint name="z" type="slide" axis="0 0 1" frictionloss=".2"/>
<joint name="x" type="slide" axis="1 0 0" frictionloss="3"/>
<geom name="a" size=".1"/><geom name="b" size=".1" pos=".3 0 0"/></body>
<body mocap="true" pos="1 0 .04"><geom name="marker" size=".1"/></body></worldbody>
<contact><pair geom1="marker" geom2="floor"/></contact>
<actuator><motor joint="x" gear="60" ctrlrange="-1 1"/></actuator></mujoco>"""


def stepped(model: mujoco.MjModel, data: mujoco.MjData, n_substeps: int) -> tuple[dict[str, float], set[str]]:
    """Step a model; return normal forces by geom, averaged over substeps, and the joints in which friction held."""
    pushed: dict[str, float] = {}
    held: set[str] = set()
    force = np.zeros(6)
    for _ in range(n_substeps):
        mujoco.mj_step(model, data)
        for i in range(data.ncon):
            if data.contact.efc_address[i] >= 0:
                mujoco.mj_contactForce(model, data, i, force)
                name = model.geom(data.contact.geom[i].max()).name
                pushed[name] = pushed.get(name, 0.0) + force[0] / n_substeps
        friction = slice(data.ne, data.ne + data.nf)
        inside = np.abs(data.efc_force[friction]) < data.efc_frictionloss[friction]
        held |= {model.joint(model.dof_jntid[dof]).name for dof in data.efc_id[friction][inside]}
    return pushed, held


@pytest.mark.parametrize("integrator", ["Euler", "implicitfast"])
def test_an_evaluations_contacts_and_friction_are_those_of_the_engines_step(integrator):
    model = mujoco.MjModel.from_xml_string(XML)
    model.opt.integrator = getattr(mujoco.mjtIntegrator, f"mjINT_{integrator.upper()}")
    rng = np.random.default_rng(0)
    n, substeps = 20, 3
    data = mujoco.MjData(model)
    qvel, warmstart = rng.normal(scale=0.05, size=(n, 2)), rng.normal(size=(n, 2))
    mocap = np.repeat(data.mocap_pos[None], n, 0), np.repeat(data.mocap_quat[None], n, 0)
    start = Start(np.zeros((n, 2)), qvel, np.zeros((n, 0)), rng.uniform(-1, 1, (n, 1)), warmstart, *mocap)
    slots = (n, substeps, 4)
    observed = Observation(
        np.zeros((*slots, 2), int),
        np.ones(slots),
        np.ones(slots, bool),
        np.ones(slots),
        np.ones((n, substeps, 2), bool),
    )
    rows = np.arange(1, n)
    engine_forces.put(model, start, CEngine(model, substeps).solve(start), rows, observed)
    assert observed.normal_force[0].min() == 1 and observed.touching[0].all(), "a row that was not asked for"
    for row in rows:
        mujoco.mj_resetData(model, data)
        data.qvel[:], data.ctrl[:], data.qacc_warmstart[:] = qvel[row], start.ctrl[row], warmstart[row]
        pushed, held = stepped(model, data, substeps)
        touching = observed.touching[row]
        geoms = observed.geoms[row][touching].max(axis=1)
        names = [model.geom(geom).name for geom in geoms]
        assert set(names) == set(pushed)
        for name, force in pushed.items():
            own = observed.normal_force[row][touching][[other == name for other in names]]
            np.testing.assert_allclose(own.sum() / substeps, force, rtol=1e-9)
        assert {name for name, holds in zip("zx", observed.switches[row].any(axis=0), strict=True) if holds} == held


@pytest.mark.parametrize("substeps", [1, 2])
@pytest.mark.parametrize("integrator", ["EULER", "IMPLICITFAST", "RK4"])
def test_accelerations_of_evaluations_are_those_of_the_engines_steps(integrator, substeps):
    """Where the solver stops early, for then they follow from what it started each evaluation from."""
    model = mujoco.MjModel.from_xml_string(XML)
    model.opt.integrator = getattr(mujoco.mjtIntegrator, f"mjINT_{integrator}")
    weights = RK4_WEIGHTS if integrator == "RK4" else (1.0,)
    rng = np.random.default_rng(0)
    n = 10
    data = mujoco.MjData(model)
    qvel, warmstart = rng.normal(scale=0.05, size=(n, 2)), rng.normal(size=(n, 2))
    mocap = np.repeat(data.mocap_pos[None], n, 0), np.repeat(data.mocap_quat[None], n, 0)
    start = Start(np.zeros((n, 2)), qvel, np.zeros((n, 0)), rng.uniform(-1, 1, (n, 1)), warmstart, *mocap)
    solved = CEngine(model, substeps).solve(start)
    for row in range(n):
        again = [data.qacc.copy() for _ in engine_forces.evaluated(model, data, start, solved, row)]
        mujoco.mj_resetData(model, data)
        data.qvel[:], data.ctrl[:], data.qacc_warmstart[:] = qvel[row], start.ctrl[row], warmstart[row]
        velocities = [data.qvel.copy()]
        for _ in range(substeps):
            mujoco.mj_step(model, data)
            velocities.append(data.qvel.copy())
        expected = np.diff(velocities, axis=0) / model.opt.timestep
        for qacc in (np.array(again), solved.qacc[row]):
            of_steps = np.tensordot(qacc.reshape(substeps, len(weights), 2), weights, (1, 0))
            np.testing.assert_allclose(of_steps, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.thorough
def test_rows_of_finite_differences_have_the_engines_forces(tmp_path):
    (tmp_path / "sled.xml").write_text(XML)
    rollouts = Rollouts(HostNoise(), 1, 40, seed=0)
    source = ModelSource(loading.load(str(tmp_path / "sled.xml")), 2, rollouts)
    annotate(Annotation(source, "noise", rollouts.settings(), seed=0, dtype="float64"), tmp_path / "data")
    model = mujoco.MjModel.from_xml_string(XML)
    data = mujoco.MjData(model)
    with jacdb.open(tmp_path / "data") as dataset:
        rows = dataset.sql("select state, action, method, contacts, active from steps order by step").pl().to_dicts()
    assert sum(row["method"] == "fd" for row in rows) > 10
    for row in rows:
        warmstart = data.qacc_warmstart.copy()
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:] = np.split(np.array(row["state"]), 2)
        data.ctrl[:], data.qacc_warmstart[:] = row["action"], warmstart
        pushed, held = stepped(model, data, 2)
        found = {contact["geom2"]: contact["normal_force"] for contact in row["contacts"]}
        assert found == pytest.approx(pushed, rel=1e-4, abs=1e-4)
        assert {name.split(":")[1] for name in row["active"] if name.startswith("friction_holds")} == held
