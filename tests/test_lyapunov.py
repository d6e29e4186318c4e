"""Finite-time Lyapunov spectra: systems whose exponents are known, determinants, and MuJoCo's own twin trajectories."""

import mujoco
import numpy as np
import pyarrow as pa
import pytest
from conftest import ROOT
from scipy.linalg import expm
from synthetic import dataset, episode

import jacdb
from jacdb import FailureError, UsageError, figures
from jacdb.dataset.lyapunov import kaplan_yorke_dimension, start_frames

RNG = np.random.default_rng(4)
SAMPLE = ROOT / "datasets" / "sample"
DT = 0.02


def one_episode(j_state, number=0, **others):
    return episode(number, j_state, np.ones((*j_state.shape[:2], 1)), **others)


def spectra(root, env="E", **options):
    with jacdb.open(root) as opened:
        return opened.lyapunov(env, **options)


@pytest.mark.slow
def test_a_linear_system_has_the_real_parts_of_its_eigenvalues(tmp_path):
    """Not normal, with an oscillation, a neutral direction and a stiff one; each episode starts with the same frame."""
    basis = RNG.normal(size=(5, 5))
    blocks = np.diag([0.5, 0.0, -40.0, -1.0, -1.0])
    blocks[3:, 3:] += [[0, -2 * np.pi], [2 * np.pi, 0]]  # a turn a second: 50 steps
    step = expm(basis @ blocks @ np.linalg.inv(basis) * DT)
    episodes = [one_episode(np.tile(step, (n, 1, 1)), number) for number, n in enumerate((3000, 260))]
    dataset(tmp_path, "E", episodes, ctrl_dt=DT)
    found = spectra(tmp_path)
    late = found.filter((found["episode"] == 0) & (found["first_step"] >= 2000))
    for row in late.to_dicts():
        assert row["exponents"][:2] == pytest.approx([0.5, 0.0], abs=1e-6)
        assert row["exponents"][2:] == pytest.approx([-1.0, -1.0, -40.0], abs=1e-6)
        assert max(row["spread"]) < 1e-6 and row["kaplan_yorke_dimension"] == pytest.approx(2.5, abs=1e-6)
    [first] = found.filter(episode=0, span="window", first_step=0).to_dicts()
    assert max(first["spread"]) > 0.1  # and of what is not aligned yet it says so
    whole = found.filter(span="whole")
    assert whole["largest"].to_list() == pytest.approx([0.5, 0.5], abs=0.5)
    assert whole["total"].to_list() == pytest.approx([-41.5] * 2)
    assert whole["seconds"].to_list() == pytest.approx([60.0, 5.2])
    windows = found.filter(span="window", episode=0)
    assert np.array(windows["exponents"].to_list()).mean(0) == pytest.approx(whole["exponents"][0].to_list())
    assert spectra(tmp_path, window=260).filter(span="window", episode=1)["exponents"].to_list() == [
        pytest.approx(whole["exponents"][1].to_list())
    ]


def lorenz(steps):
    """The Jacobians of steps along the Lorenz attractor, by the fourth order of Runge and Kutta, (steps, 3, 3)."""
    sigma, rho, beta = 10.0, 28.0, 8 / 3

    def flow(x, _):
        return np.array([sigma * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - beta * x[2]])

    def tangents(x, j):
        return np.array([[-sigma, sigma, 0], [rho - x[2], -1, -x[0]], [x[1], x[0], -beta]]) @ j

    x, found = np.array([1.0, 1.0, 20.0]), []
    for _ in range(steps + 1000):
        j = np.eye(3)
        for _ in range(4):
            h, stages = DT / 8, []
            at, slope = (x, j), (0 * x, 0 * j)
            for weight in (0.0, 1.0, 1.0, 2.0):
                at = x + weight * h * slope[0], j + weight * h * slope[1]
                slope = flow(*at), tangents(*at)
                stages.append(slope)
            k = [stages[0][i] + 2 * stages[1][i] + 2 * stages[2][i] + stages[3][i] for i in (0, 1)]
            x, j = x + h / 3 * k[0], j + h / 3 * k[1]
        found.append(j)
    return np.array(found[1000:])


@pytest.mark.slow
def test_the_lorenz_system_has_its_exponents(tmp_path):
    """0.906, 0, -14.57 and dimension 2.062 (Sprott 2003), from float32; the sum is the trace, -13.667, everywhere."""
    dataset(tmp_path, "E", [one_episode(lorenz(10_000), dtype=np.float32)], jacobian=pa.float32(), ctrl_dt=DT)
    [whole, *windows] = spectra(tmp_path).to_dicts()
    assert whole["exponents"] == pytest.approx([0.906, 0, -14.572], abs=0.03)
    assert whole["kaplan_yorke_dimension"] == pytest.approx(2.062, abs=0.002)
    assert len(windows) == 200
    for row in (whole, *windows):
        assert row["total"] == pytest.approx(-41 / 3, abs=1e-4)
    aligned = [row["spread"][0] for row in windows[40:]]
    assert max(aligned) < 1e-4 < windows[0]["spread"][0]


@pytest.mark.parametrize("env", ["CheetahRun", "ReacherHard", "WalkerRun"])
def test_volume_grows_as_the_determinants_say(env):
    with jacdb.open(SAMPLE) as opened:
        found = opened.lyapunov(env)
        steps = opened.sql(f"select episode, step, j_state, in_contact from steps where env = '{env}'").pl()
        [dt] = opened.runs(env)["ctrl_dt"]
    for row in found.to_dicts():
        of_span = (steps["episode"] == row["episode"]) & steps["step"].is_between(row["first_step"], row["last_step"])
        log_det = np.linalg.slogdet(np.array(steps.filter(of_span)["j_state"].to_list()))[1]
        assert row["total"] == pytest.approx(log_det.mean() / dt, rel=1e-8)
        assert row["contact_share"] == pytest.approx(steps.filter(of_span)["in_contact"].mean())


@pytest.mark.slow
@pytest.mark.parametrize("episode", [0, 1])
def test_the_largest_exponent_is_how_twin_trajectories_of_mujoco_diverge(episode, system):
    """MuJoCo's C engine steps a cart and two others, a ten-millionth to both sides of it, again and again brought near.

    These carts do not reach the end of the rail: there MJX's solver, with its one iteration, has another solution.
    """
    env = "CartpoleBalance"
    with jacdb.open(SAMPLE) as opened:
        windows = opened.lyapunov(env).filter(episode=episode, span="window")
        steps = opened.sql(f"select * from steps where env = '{env}' and episode = {episode} order by step").pl()
        [dt] = opened.runs(env)["ctrl_dt"]
    model, apart = system(env).mj_model, 1e-7
    assert model.opt.timestep == dt
    data, state = mujoco.MjData(model), np.array(steps["state"][0].to_list())
    along = start_frames(4)[0, :, 0]
    growth = []
    for action in steps["action"].to_list():
        ends = []
        for start in (state, state + apart * along, state - apart * along):
            mujoco.mj_setState(model, data, start, mujoco.mjtState.mjSTATE_PHYSICS)
            data.ctrl[:] = np.clip(action, -1, 1)
            mujoco.mj_step(model, data)
            ends.append(np.concatenate([data.qpos, data.qvel]))
        state, difference = ends[0], (ends[1] - ends[2]) / (2 * apart)
        growth.append(np.log(np.linalg.norm(difference)))
        along = difference / np.linalg.norm(difference)
    expected = np.array(growth).reshape(5, 50).mean(axis=1) / dt
    assert windows["largest"].to_numpy() == pytest.approx(expected, abs=1e-4) and np.ptp(expected) > 3


@pytest.mark.slow
def test_no_span_crosses_what_does_not_count(tmp_path):
    j = RNG.normal(size=(50, 3, 3))
    broken = j.copy()
    broken[20, 1, 1] = np.nan
    touching = [["foot"] if 10 <= step < 16 else [] for step in range(50)]
    dataset(tmp_path, "E", [one_episode(broken, touching=touching), one_episode(j, 1)], ctrl_dt=DT)
    dataset(tmp_path, "E", [one_episode(j, 0, method="fd")], "run-by-fd", method="fd", ctrl_dt=DT)
    found = spectra(tmp_path, window=8)
    spans = [(row["episode"], row["span"], row["first_step"], row["last_step"]) for row in found.to_dicts()]
    assert spans == [
        (0, "whole", 0, 19), (0, "whole", 21, 49),
        (0, "window", 0, 7), (0, "window", 8, 15), (0, "window", 21, 28), (0, "window", 29, 36), (0, "window", 37, 44),
        (1, "whole", 0, 49), *[(1, "window", 8 * window, 8 * window + 7) for window in range(6)],
    ]  # fmt: skip
    assert found["contact_share"].to_list()[:5] == [6 / 20, 0, 0, 6 / 8, 0]
    shifted = found.filter(episode=0, first_step=21)["largest"].to_list()
    cut = spectra_where(tmp_path, "episode = 1 and step >= 21")
    assert cut["first_step"].unique().to_list() == [21, 29, 37]
    assert cut.filter(first_step=21, span="window")["largest"].item() == pytest.approx(shifted[1])


def spectra_where(root, condition):
    with jacdb.open(root) as opened:
        return opened.where(condition).lyapunov("E", window=8)


@pytest.mark.slow
def test_segments_in_blocks_are_as_those_in_one(tmp_path, monkeypatch):
    """However few steps are in memory, and whatever order parts come in."""
    episodes = [one_episode(RNG.normal(size=(n, 2, 2)), number) for number, n in ((2, 5), (0, 40), (1, 1), (3, 17))]
    dataset(tmp_path, "E", episodes, ctrl_dt=DT, part_bytes=1)
    together = spectra(tmp_path, window=4)
    monkeypatch.setattr("jacdb.dataset.lyapunov_function._BLOCK", 1)
    monkeypatch.setattr("jacdb.dataset.step_rows.PIECE_BYTES", 200)
    piecewise = spectra(tmp_path, window=4)
    assert piecewise.drop("exponents", "spread").equals(together.drop("exponents", "spread"))
    assert piecewise["exponents"].to_list() == together["exponents"].to_list()
    assert together.filter(span="whole")["last_step"].to_list() == [39, 0, 4, 16]


@pytest.mark.slow
def test_a_singular_step_has_an_exponent_of_minus_infinity(tmp_path):
    """A ctrl at its clip, and a memory that takes its place: both forget, at once or in a step's time."""
    j = np.tile(np.diag([1.5, 0.9, 1.0, 0.5]), (60, 1, 1))
    j[:, 0, 1] = 0.3
    clipped, memory = j.copy(), j.copy()
    clipped[30, 2, 2] = 0
    memory[:, 2:, 2:] = [[0, 0], [1, 0]]
    dataset(tmp_path, "E", [one_episode(clipped), one_episode(memory, 1)], ctrl_dt=DT)
    found = spectra(tmp_path, window=20)
    exponents = {(row["episode"], row["span"], row["first_step"]): row["exponents"] for row in found.to_dicts()}
    assert np.isinf(exponents[0, "whole", 0]).tolist() == [False, False, False, True]
    assert np.isfinite(exponents[0, "window", 0]).all() and np.isfinite(exponents[0, "window", 40]).all()
    assert np.isinf(exponents[0, "window", 20]).tolist() == [False, False, False, True]
    late = exponents[1, "window", 40]
    assert late == pytest.approx([np.log(1.5) / DT, np.log(0.9) / DT, -np.inf, -np.inf], abs=1e-6)
    assert found.filter(episode=1)["total"].unique().to_list() == [-np.inf]
    figures.draw(jacdb.open(tmp_path), "lyapunov", "E", window=20)


def test_the_dimension_of_kaplan_and_yorke():
    cases = [
        ([0.906, 0.0, -14.572], 2 + 0.906 / 14.572),
        ([-14.572, 0.0, 0.906], 2 + 0.906 / 14.572),
        ([1.0, -0.25, -0.25], 3.0),
        ([-1.0, -2.0, -3.0], 0.0),
        ([1.0, -np.inf, -np.inf], 1.0),
        ([0.0, 0.0, -1.0], 2.0),
    ]
    found = kaplan_yorke_dimension(np.array([exponents for exponents, _ in cases]))
    assert found == pytest.approx([dimension for _, dimension in cases])


@pytest.mark.slow
def test_sql_takes_windows_and_filters(tmp_path):
    j = RNG.normal(size=(30, 2, 2))
    dataset(tmp_path, "E", [one_episode(j, number) for number in range(3)], ctrl_dt=DT)
    dataset(tmp_path, "Other", [one_episode(RNG.normal(size=(30, 3, 3)))], ctrl_dt=DT)
    with jacdb.open(tmp_path) as opened:
        longest = opened.sql(
            "select env, span, max(last_step) as last from lyapunov_windows(7) group by all order by all"
        )
        assert longest.pl().rows() == [
            ("E", "whole", 29), ("E", "window", 27), ("Other", "whole", 29), ("Other", "window", 27),
        ]  # fmt: skip
        one = opened.sql("select env, exponents from lyapunov where episode = 2 and largest > -1000").pl()
        assert one.rows() == [("E", one["exponents"][0].to_list())] and len(one["exponents"][0]) == 2
        with pytest.raises(UsageError, match="window=0"):
            opened.lyapunov(window=0)
        with pytest.raises(UsageError, match="steps has no windows"):
            opened.view("steps", window=3)
        with pytest.raises(FailureError, match="1 step or more"):
            opened.fetch(opened.sql("from lyapunov_windows(0)"))
        with pytest.raises(FailureError, match=r"^SQL: 6 rows of E are gone"):
            opened.fetch(opened.sql("select lyapunov_spectra('E', 'no-run', 0, 0, 5, 2)"))


@pytest.mark.slow
def test_the_figure_shows_the_view(tmp_path):
    j = RNG.normal(size=(60, 3, 3))
    dataset(
        tmp_path, "E", [one_episode(j, 0, touching=[["foot"]] * 20 + [[]] * 40), one_episode(j[::-1], 1)], ctrl_dt=DT
    )
    dataset(tmp_path, "E", [one_episode(j, 0)], "run-b", ctrl_dt=DT)  # the same episode: it counts once
    with jacdb.open(tmp_path) as opened:
        found = opened.lyapunov("E", window=20).filter(run_id="run-a")
        left, right = figures.lyapunov(opened, "E", window=20).axes
        [alone] = figures.lyapunov(opened, "E").axes[:1]
        assert len(figures.lyapunov(opened, "E", window=61).axes) == 1
    median = np.median(np.array(found.filter(span="whole")["exponents"].to_list()), axis=0)
    for panel in (left, alone):
        np.testing.assert_allclose(next(line for line in panel.lines if line.get_marker() == "o").get_ydata(), median)
    drawn = {line.get_label(): line for line in right.lines}
    windows = found.filter(span="window")
    for label, touches in (("no contact", False), ("some contact", True)):
        expected = windows.filter((windows["contact_share"] > 0) == touches)
        np.testing.assert_allclose(drawn[label].get_ydata(), expected["largest"])
        np.testing.assert_allclose(drawn[label].get_xdata(), (expected["first_step"] + 10) * DT)


@pytest.mark.slow
def test_the_figure_says_where_minus_infinity_is_drawn(tmp_path):
    """Among small exponents, too: it stood on a linear scale, as a number."""
    dataset(tmp_path, "E", [one_episode(np.zeros((9, 2, 2)))], ctrl_dt=DT)
    with jacdb.open(tmp_path) as opened:
        [panel] = figures.lyapunov(opened, "E").axes
    [drawn] = {*next(line for line in panel.lines if line.get_marker() == "o").get_ydata()}
    names = {tick: label.get_text() for tick, label in zip(panel.get_yticks(), panel.get_yticklabels(), strict=True)}
    assert names[drawn] == "\N{MINUS SIGN}\N{INFINITY}"
