"""Take robots of MuJoCo Menagerie and Gymnasium's environments through the ingest of any model, and check the rows.

    MENAGERIE_ROOT=…/mujoco_menagerie python benchmarks/robots.py [NAME …]      (a minute a robot, and more)

Each robot in a process of its own: two episodes of 40 steps, from its keyframe where it has one, go through what is
behind `jacdb ingest --model` and `--env gymnasium:`; C's solver is given time to finish. Rows with a contact and rows
without are compared with two oracles: centred differences of C's `mj_step` (the nearest of three widths), and
`jax.jacfwd` through MJX's own step, where that is the step that C took. Results are kept by robot in
benchmarks/robots.json, of which docs/generate.py makes the table in docs/environments.md.
"""

import argparse
import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array
from mujoco import mjx

import jacdb
from jacdb.ingest import runtime
from jacdb.ingest.compat import mjx as compat
from jacdb.ingest.environments import tangent_space
from jacdb.ingest.environments.loading import System
from jacdb.ingest.environments.transition import cast_like
from jacdb.ingest.linearization.c_engine import CEngine
from jacdb.ingest.linearization.engine_differences import centred_differences
from jacdb.ingest.linearization.evaluations import Start
from jacdb.ingest.models.geom_pairs import geom_pairs, named
from jacdb.ingest.models.loading import LoadedModel, hash_of
from jacdb.ingest.source_pipeline import Annotation, annotate
from jacdb.ingest.sources.gymnasium import GymnasiumSource
from jacdb.ingest.sources.host_policies import HostNoise
from jacdb.ingest.sources.model import InitialStates, ModelSource
from jacdb.ingest.sources.rollouts import Rollouts

OUT = Path(__file__).parent / "robots.json"
EPISODES, STEPS, SUBSTEPS = 2, 40, 2
COMPARED = 8  # rows with a contact, and as many without
WIDTHS = (1e-6, 2e-7, 1e-7)
COLUMNS = ("state", "action", "next_state", "j_state", "j_action", "in_contact", "n_contacts", "method")
JUMP = 5  # times larger differences at a tenth of the width
SAME_STEP = 1e-9  # relative: MJX and C took the same step
ON_MJX = {("plane", "sphere"), ("plane", "box"), ("plane", "capsule"), ("sphere", "sphere")}  # same contacts in both
GYMNASIUM = (
    "Ant", "HalfCheetah", "Hopper", "Humanoid", "HumanoidStandup", "InvertedDoublePendulum", "InvertedPendulum",
    "Pusher", "Reacher", "Swimmer", "Walker2d",
)  # fmt: skip
PLAYGROUND = {  # robots of Menagerie, in the XML that Playground simplified
    "Apollo": "ApolloJoystickFlatTerrain",
    "Barkour vB": "BarkourJoystick",
    "Berkeley Humanoid": "BerkeleyHumanoidJoystickFlatTerrain",
    "Booster T1": "T1JoystickFlatTerrain",
    "Go1": "Go1JoystickFlatTerrain",
    "LEAP hand": "LeapCubeReorient",
    "OP3": "Op3Joystick",
    "Spot": "SpotFlatTerrainJoystick",
    "Tetheria hand": "AeroCubeRotateZAxis",
}


def source_of(name: str) -> Any:
    """Return the source of a robot's episodes."""
    asked = Rollouts(HostNoise(), EPISODES, STEPS)
    suite, _, what = name.partition(":")
    if suite == "gymnasium":
        return GymnasiumSource.load(f"{what}-v5", asked)
    if suite == "playground":
        model = System.load(PLAYGROUND[what]).mj_model.__copy__()
        loaded = LoadedModel(model, what.replace(" ", "_"), f"Playground's {PLAYGROUND[what]}", hash_of(model))
    else:
        path = Path(os.environ["MENAGERIE_ROOT"]) / name
        model = mujoco.MjModel.from_xml_path(str(path))
        loaded = LoadedModel(model, path.parent.name, name, hash_of(model))
    loaded.model.opt.tolerance, loaded.model.opt.iterations, loaded.model.opt.ls_iterations = 1e-14, 200, 50
    return ModelSource(loaded, SUBSTEPS, asked, InitialStates("0" if loaded.model.nkey else ""))


def measure(name: str) -> dict[str, Any]:
    """Return the line of one robot."""
    source = source_of(name)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(sys.stderr):
        result = annotate(Annotation(source, policy="noise", dtype="float64"), root)
        seconds = time.perf_counter() - began
        dataset = jacdb.open(root)
        table = dataset.fetch(
            dataset.sql(f"select {', '.join(COLUMNS)} from steps where finite order by episode, step")
        )
        rows = {key: np.array(table[key].to_list()) for key in COLUMNS}
    exact = rows["method"] == "implicit"
    chosen = [np.flatnonzero(exact & (rows["in_contact"] == touches))[:: STEPS // 8][:COMPARED] for touches in (0, 1)]
    zeros = [
        float((np.abs(rows[key][exact]) < 1e-12).mean()) if exact.any() else None for key in ("j_state", "j_action")
    ]
    model = source.model
    line = {
        "robot": name, "nv": model.nv, "nu": model.nu, "na": model.na, "substeps": source.n_substeps,
        "integrator": mujoco.mjtIntegrator(model.opt.integrator).name.removeprefix("mjINT_"),
        "cone": mujoco.mjtCone(model.opt.cone).name.removeprefix("mjCONE_").lower(),
        "pairs": sorted("-".join(pair) for pair in named(model, geom_pairs(model))),
        "rows": len(exact), "in_contact": float(rows["in_contact"].mean()),
        "most_contacts": int(rows["n_contacts"].max()),
        "fd": float((~exact).mean()), "excluded": result.n_excluded, "zeros": zeros, "seconds": round(seconds),
    }  # fmt: skip
    oracle, autodiff = Differences(model, source.n_substeps), Autodiff(model, source.n_substeps)
    for kind, some in zip(("air", "contact"), chosen, strict=True):
        at = {key: values[some] for key, values in rows.items()}
        j = np.concatenate([at["j_state"], at["j_action"]], axis=2)
        line[kind] = {"rows": len(some), "to_c": oracle.told(at, j), "to_autodiff": autodiff.apart(at, j)}
    return line


def apart(j: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Return the relative differences of matrices, norm over norm."""
    return np.asarray(np.linalg.norm(j - estimates, axis=(1, 2)) / np.linalg.norm(estimates, axis=(1, 2)))


def told(errors: np.ndarray) -> dict[str, Any]:
    """Return how many were compared, the median and the largest."""
    if not len(errors):
        return {"compared": 0}
    return {"compared": len(errors), "median": float(np.median(errors)), "largest": float(np.max(errors))}


def state_of(model: mujoco.MjModel, state: np.ndarray) -> list[np.ndarray]:
    """Return qpos, qvel and act."""
    return np.split(state, [model.nq, model.nq + model.nv], axis=-1)


class Differences:
    """Centred differences of C's own step: of three widths, the nearest, for some displace a state over an edge.

    Where the step itself jumps, as at rest on the very end of a limit, differences grow as their width shrinks.
    """

    def __init__(self, model: mujoco.MjModel, substeps: int) -> None:
        self._model, self._engine = model, CEngine(model, substeps)

    def apart(self, start: Start, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how far Jacobians are from the differences, and whether the step jumps there."""
        estimates = [
            np.concatenate(centred_differences(self._model, self._engine.ends, start, eps), axis=2) for eps in WIDTHS
        ]
        widest, *_, narrowest = (np.linalg.norm(matrices, axis=(1, 2)) for matrices in estimates)
        return np.min([apart(j, matrices) for matrices in estimates], axis=0), narrowest > JUMP * widest

    def told(self, at: dict[str, np.ndarray], j: np.ndarray) -> dict[str, Any]:
        """Return how far the Jacobians of rows are from the differences, where the step does not jump."""
        if not len(j):
            return told(np.zeros(0))
        n, data = len(j), mujoco.MjData(self._model)
        rest = (np.zeros(self._model.nv), data.mocap_pos, data.mocap_quat)
        warmstart, mocap_pos, mocap_quat = (np.repeat(leaf[None], n, axis=0) for leaf in rest)
        qpos, qvel, act = state_of(self._model, at["state"])
        found, jumps = self.apart(Start(qpos, qvel, act, at["action"], warmstart, mocap_pos, mocap_quat), j)
        return told(found[~jumps]) | {"jumps": int(jumps.sum())}


class Autodiff:
    """``jax.jacfwd`` through MJX's own step and solver, given time to finish.

    Where MJX has other contacts than C it is compiled without any, and compared in the air alone.
    """

    def __init__(self, model: mujoco.MjModel, substeps: int) -> None:
        self._model, self._substeps, self.raises = model, substeps, ""
        if model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4 and model.nq != model.nv:
            self.raises = "MJX integrates orientations otherwise"
            return
        of_mjx = model.__copy__()
        of_mjx.opt.iterations, of_mjx.opt.ls_iterations, of_mjx.opt.tolerance = 100, 50, 1e-14
        of_mjx.opt.solver, of_mjx.opt.cone = mujoco.mjtSolver.mjSOL_NEWTON, mujoco.mjtCone.mjCONE_PYRAMIDAL
        same = {*named(model, geom_pairs(model))} <= ON_MJX and model.opt.cone == mujoco.mjtCone.mjCONE_PYRAMIDAL
        if not same:
            of_mjx.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        try:
            with contextlib.nullcontext() if same else compat.no_collisions():
                self._on_mjx, self._data = mjx.put_model(of_mjx, impl="jax"), mjx.make_data(of_mjx, impl="jax")
        except NotImplementedError as error:
            self.raises = str(error)
            return
        self._jacobians: Callable[..., tuple[Array, Array]] = jax.jit(jax.vmap(self._jacobian))

    def apart(self, at: dict[str, np.ndarray], j: np.ndarray) -> dict[str, Any]:
        """Return how far Jacobians are from autodiff's, over the rows in which MJX takes C's step."""
        if self.raises or not len(j):
            return {"compared": 0}
        filled = [np.resize(at[key], (COMPARED, at[key].shape[1])) for key in ("state", "action", "next_state")]
        found, ends = (np.asarray(leaf)[: len(j)] for leaf in self._jacobians(*map(jnp.asarray, filled[:2])))
        moved = np.linalg.norm(at["next_state"] - at["state"], axis=1)
        same = np.linalg.norm(ends - at["next_state"], axis=1) < SAME_STEP * np.maximum(moved, 1e-3)
        return told(apart(j[same], found[same]))

    def _jacobian(self, state: Array, ctrl: Array) -> tuple[Array, Array]:
        """Return the Jacobian by (dq, v, act, ctrl), in tangent space, and the next state."""
        model = self._model
        nv, na = model.nv, model.na
        qpos, qvel, act = jnp.split(state, [model.nq, model.nq + nv])
        lift = tangent_space.tangent_lift(model, qpos)

        def step(x: Array) -> tuple[Array, Array]:
            dq, dv, da, du = jnp.split(x, [nv, 2 * nv, 2 * nv + na])
            data = self._data.replace(qpos=qpos + lift @ dq, qvel=qvel + dv, act=act + da, ctrl=ctrl + du)
            data, _ = jax.lax.scan(
                lambda d, _: (cast_like(mjx.step(self._on_mjx, d), d), None), data, None, self._substeps
            )
            at = jax.lax.stop_gradient(data.qpos)
            moved = tangent_space.tangent_project(model, at) @ (data.qpos - at)
            return jnp.concatenate([moved, data.qvel, data.act]), jnp.concatenate([data.qpos, data.qvel, data.act])

        return jax.jacfwd(step, has_aux=True)(jnp.zeros(2 * nv + na + model.nu))


def keep(name: str, line: dict[str, Any]) -> None:
    """Put a robot's line into the file: another process may be at it, with other robots."""
    with (Path(tempfile.gettempdir()) / "jacdb-robots.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = json.loads(OUT.read_text()) if OUT.exists() else {}
        kept[name] = line
        OUT.write_text(json.dumps(kept, indent=1) + "\n")


def names() -> list[str]:
    """Return all robots that are here."""
    root = Path(os.environ.get("MENAGERIE_ROOT", "nowhere"))
    scenes = sorted(path for path in root.glob("*/scene*.xml") if "mjx" not in path.name)
    firsts = {path.parent: path for path in reversed(scenes)}  # a left hand is a right hand
    menagerie = sorted(str(path.relative_to(root)) for path in firsts.values())
    return [*(f"gymnasium:{name}" for name in GYMNASIUM), *menagerie, *(f"playground:{name}" for name in PLAYGROUND)]


def main() -> None:
    """Measure each robot in a process of its own, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        runtime.configure()
        print(json.dumps(measure(asked.names[0])))
        return
    for name in asked.names or names():
        done = subprocess.run([sys.executable, __file__, "--alone", name], capture_output=True, text=True)
        last = (done.stdout.splitlines() or [""])[-1]
        failed = (done.stderr.splitlines() or [""])[-1]
        line = json.loads(last) if done.returncode == 0 else {"robot": name, "failed": failed}
        keep(name, line)
        print(name, {key: line.get(key) for key in ("failed", "fd", "air", "contact")}, flush=True)


if __name__ == "__main__":
    main()
