"""The other ways that benchmarks/jacobians.py measures next to the engine."""

import importlib
import sys

import mujoco
import numpy as np
import pytest
from conftest import ROOT
from machine import PICKED


@pytest.fixture
def benchmark_module(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    return importlib.import_module


def test_users_28_medians_stand_above_their_quartiles(benchmark_module):
    result = {
        "env": "CheetahRun", "unconverged": 0.25, "compile_cold_s": {"own": 30.0}, "compile_warm_s": 13.0,
        "us_per_step": {"step": 36.0, "own": 20.0, "engine": 22.0, "jacfwd": 1100.0, "fd": 110.0},
        "quartiles": {"step": [35, 37], "own": [19, 21], "engine": [21, 23], "jacfwd": [1000, 1200], "fd": [109, 115]},
    }  # fmt: skip
    medians, spread = benchmark_module("jacobians").lines(result)
    assert medians.split() == [
        "CheetahRun",
        "36.0",
        "20.0",
        "22.0",
        "1100.0",
        "110.0",
        "-",
        "50.0x",
        "5.0x",
        "25.0%",
        "30",
        "13",
    ]
    assert spread.split() == ["35.0-37.0", "19.0-21.0", "21.0-23.0", "1000.0-1200.0", "109.0-115.0"]
    assert medians.index("22.0") + len("22.0") == spread.index("21.0-23.0") + len("21.0-23.0")


def test_users_28_pinocchio_has_the_same_bodies_and_joints(benchmark_module):
    """Their mass matrices agree, and without a velocity so does what gravity asks of every dof."""
    pinocchio = pytest.importorskip("pinocchio")
    peer = benchmark_module("pinocchio_derivatives")
    model = mujoco.MjModel.from_xml_string(PICKED)
    data = mujoco.MjData(model)
    rng = np.random.default_rng(28)
    mujoco.mj_integratePos(model, data.qpos, rng.normal(size=model.nv), 1.0)
    mujoco.mj_forward(model, data)
    q, _ = peer.pinocchio_state(model, data.qpos, data.qvel)
    made = peer.pinocchio_model(model)
    upper = np.triu(pinocchio.crba(made, made.createData(), q))
    mass = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, mass)
    assert np.allclose(upper, np.triu(mass), atol=1e-12)
    turned = np.array(data.qfrc_bias)
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, data.qpos[3:7])
    turned[:3] = rotation.reshape(3, 3).T @ turned[:3]  # a free joint's forces are in its body's axes
    gravity = pinocchio.computeGeneralizedGravity(made, made.createData(), q)
    assert np.allclose(gravity, turned, atol=1e-12)
