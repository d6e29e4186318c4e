"""Views: given rows and expected rows, and NumPy as a second engine, straight from the matrices."""

import collections
import itertools
import shutil

import numpy as np
import polars as pl
import pytest
from synthetic import dataset, episode

import jacdb
from jacdb import FailureError, UsageError, queries, schemas
from jacdb.dataset.sandbox import fetch

RNG = np.random.default_rng(1)


@pytest.fixture(scope="module")
def lengths(scale):
    """Of the three episodes of a run."""
    return 30 * scale, 1, 17 * scale


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, lengths):
    """Two environments, two runs, NaN rows, a one-step episode, a pattern that never changes, empty folders."""
    root = tmp_path_factory.mktemp("mixed")
    for table in schemas.TABLES:
        (root / table.name / "environment=Empty" / "run=run-a").mkdir(parents=True)
    kept: dict[str, list[np.ndarray]] = {"Busy": [], "Still": []}
    for run in ("run-a", "run-b"):
        episodes = []
        for number, steps in enumerate(lengths):
            j = RNG.normal(size=(steps, 3, 5)) * (RNG.random((steps, 3, 5)) < 0.7)
            j[:, 2, 0] = 1e-13  # under the threshold, and no zero
            j[RNG.random(steps) < 0.1, 1, 1] = np.nan
            episodes.append(episode(number, j[..., :3], j[..., 3:]))
            kept["Busy"].append(j)
        dataset(root, "Busy", episodes, run)
    still = np.tile(np.eye(2, 3), (25, 1, 1))
    kept["Still"].append(still)
    dataset(root, "Still", [episode(0, still[..., :2], still[..., 2:])])
    with jacdb.open(root) as opened:
        yield opened, {env: np.concatenate(parts) for env, parts in kept.items()}


def finite_zeros(j: np.ndarray) -> tuple[np.ndarray, int]:
    """Zero masks of finite steps, and how many are not."""
    finite = np.isfinite(j).all((1, 2))
    return np.abs(j[finite]) < 1e-12, int((~finite).sum())


@pytest.mark.slow
@pytest.mark.parametrize("env", ["Busy", "Still"])
def test_global_sparsity_agrees_with_numpy(env, mixed):
    opened, matrices = mixed
    zero, excluded = finite_zeros(matrices[env])
    d = zero.shape[1]
    state, action = zero[..., :d].all(0).sum(), zero[..., d:].all(0).sum()
    [row] = opened.global_sparsity(env).to_dicts()
    assert row == {
        "env": env,
        "d_state": d,
        "d_action": zero.shape[2] - d,
        "zero_state": state,
        "zero_state_pct": pytest.approx(100 * state / d**2, abs=0.005),
        "zero_action": action,
        "zero_action_pct": pytest.approx(100 * action / (d * (zero.shape[2] - d)), abs=0.005),
        "samples": len(zero),
        "excluded": excluded,
    }


@pytest.mark.slow
@pytest.mark.parametrize("env", ["Busy", "Still"])
def test_entry_zero_fraction_agrees_with_numpy(env, mixed):
    opened, matrices = mixed
    zero, excluded = finite_zeros(matrices[env])
    d = zero.shape[1]
    found = opened.entry_zero_fraction(env)
    assert found["samples"].unique().to_list() == [len(zero)]
    assert found["excluded"].unique().to_list() == [excluded]
    for jacobian, part in (("state", zero[..., :d]), ("action", zero[..., d:])):
        table = found.filter(pl.col("jacobian") == jacobian)
        fraction = np.full(part.shape[1:], np.nan)
        fraction[table["row"], table["col"]] = table["zero_fraction"]
        np.testing.assert_allclose(fraction, part.mean(0), atol=1e-15)
        space = "tangent" if jacobian == "state" else "action"
        assert table["row_name"].to_list() == [f"tangent{i}" for i in table["row"]]
        assert table["col_name"].to_list() == [f"{space}{i}" for i in table["col"]]


@pytest.mark.parametrize("env", ["Busy", "Still"])
def test_sparsity_histogram_agrees_with_numpy(env, mixed):
    opened, matrices = mixed
    zero, excluded = finite_zeros(matrices[env])
    d = zero.shape[1]
    table = fetch(opened.view("sparsity_histogram", env))
    assert table["excluded"].unique().to_list() == [excluded]
    for jacobian, part in (("state", zero[..., :d]), ("action", zero[..., d:])):
        rows = table.filter(jacobian=jacobian)
        sparsity = part.mean((1, 2))
        counts, edges = np.histogram(sparsity, np.arange(11) / 10)
        assert rows["steps"].to_list() == counts.tolist()
        assert (rows["bin_low"].to_list(), rows["bin_high"].to_list()) == (edges[:-1].tolist(), edges[1:].tolist())
        np.testing.assert_allclose(rows["share"], counts / len(part))
        np.testing.assert_allclose(rows["mean_sparsity"], sparsity.mean())


@pytest.mark.parametrize("env", ["Busy", "Still"])
def test_threshold_sweep_agrees_with_numpy(env, mixed):
    opened, matrices = mixed
    size = np.abs(matrices[env])
    size = size[np.isfinite(size).all((1, 2))]
    d = size.shape[1]
    found = opened.threshold_sweep(env)
    for jacobian, part in (("state", size[..., :d]), ("action", size[..., d:])):
        rows = found.filter(jacobian=jacobian)
        assert rows["threshold"].to_list() == list(schemas.SWEEP)
        for row in rows.to_dicts():
            zero = part < row["threshold"]
            assert (row["zero"], row["samples"], row["excluded"]) == (
                zero.all(0).sum(), len(size), len(matrices[env]) - len(size),
            )  # fmt: skip
            assert row["mean_sparsity"] == pytest.approx(zero.mean())
    assert found.filter(threshold=1e-12, jacobian="state")["zero"][0] == opened.global_sparsity(env)["zero_state"][0]


@pytest.mark.slow
@pytest.mark.parametrize("dtypes", [(np.float32,), (np.float64,), (np.float32, np.float64)])
def test_an_entry_that_is_a_threshold_is_not_below_it_however_it_is_stored(dtypes, tmp_path):
    exactly = np.tile(np.array([[1.0, *schemas.SWEEP], [0.0, *(t * (1 - 1e-3) for t in schemas.SWEEP)]]), (2, 1, 1))
    j_state = np.zeros((2, exactly.shape[2], exactly.shape[2]))
    j_state[:, :2] = exactly
    for number, dtype in enumerate(dtypes):
        dataset(tmp_path, "E", [episode(0, j_state, j_state[..., :1], dtype=dtype)], f"run-{number}")
    with jacdb.open(tmp_path) as opened:
        found = opened.threshold_sweep("E").filter(jacobian="state")
    expected = [(j_state[0] < threshold).sum() for threshold in found["threshold"]]
    assert found["zero"].to_list() == expected
    assert found["mean_sparsity"].to_list() == [n / j_state[0].size for n in expected]


def test_a_sweep_is_of_whole_episodes(mixed):
    opened, _ = mixed
    with opened.where("step < 5") as some:
        with pytest.raises(UsageError, match="does not apply to threshold_sweep"):
            some.threshold_sweep()
        with pytest.raises(FailureError, match="does not apply to threshold_sweep"):
            fetch(some.sql("select zero from threshold_sweep"))


def test_sparsity_timeline_is_the_steps(mixed):
    opened, matrices = mixed
    table = fetch(opened.view("sparsity_timeline", "Busy"))
    finite = np.isfinite(matrices["Busy"]).all((1, 2))
    zero = np.abs(matrices["Busy"]) < 1e-12
    assert len(table) == len(finite) and table["sparsity_state"].is_null().to_list() == (~finite).tolist()
    np.testing.assert_allclose(table["sparsity_state"].to_numpy()[finite], zero[finite][..., :3].mean((1, 2)))
    np.testing.assert_allclose(table["sparsity_action"].to_numpy()[finite], zero[finite][..., 3:].mean((1, 2)))
    assert table["active"].to_list() == [["joint_limit:a"]] * len(finite)


def durations(pieces: list[np.ndarray]) -> collections.Counter:
    """Runs per (zero, duration) by a plain loop: (steps, rows, cols) of an episode each, NaN steps cut it."""
    found: collections.Counter = collections.Counter()
    for j in pieces:
        finite = np.isfinite(j).all((1, 2))
        for entry in np.abs(j[finite]).reshape(finite.sum(), -1).T < 1e-12:
            whole = np.full(len(j), -1)
            whole[finite] = entry
            steps = 0
            for value, run in itertools.groupby(whole):
                length = len(list(run))
                steps += length
                if value >= 0 and length < len(j):
                    found[bool(value), length] += 1
            assert steps == len(j)
    return found


@pytest.mark.parametrize("env", ["Busy", "Still"])
def test_zero_durations_agree_with_a_loop(env, mixed, lengths):
    opened, matrices = mixed
    cuts = np.cumsum(lengths * 2)[:-1] if env == "Busy" else []
    pieces = np.split(matrices[env], cuts)
    d = matrices[env].shape[1]
    table = fetch(opened.view("zero_durations", env))
    # finiteness is of the whole row, of both matrices
    for jacobian, columns in (("state", slice(0, d)), ("action", slice(d, None))):
        masked = [np.where(np.isfinite(j).all((1, 2), keepdims=True), j, np.nan)[..., columns] for j in pieces]
        expected = durations(masked)
        rows = table.filter(jacobian=jacobian)
        found = {(zero, length): runs for zero, length, runs in rows["zero", "duration", "runs"].iter_rows()}
        assert found == dict(expected)
        for zero in (True, False):
            lengths = {length: n for (state, length), n in expected.items() if state == zero}
            if lengths:
                mean = sum(length * n for length, n in lengths.items()) / sum(lengths.values())
                assert rows.filter(zero=zero)["mean_duration"][0] == pytest.approx(mean)


def test_patterns_have_exactly_their_entries_as_bits(mixed):
    opened, matrices = mixed
    [still] = opened.sql("select zero_state::varchar as s, zero_action::varchar as a, counts, n_zero_state"
                         " from patterns where env = 'Still'").pl().to_dicts()  # fmt: skip
    assert still == {"s": "0110", "a": "11", "counts": 25, "n_zero_state": 2}
    counts = opened.sql("select sum(counts) as n, count(*) as kinds from patterns where env = 'Busy'").fetchall()[0]
    zero, _ = finite_zeros(matrices["Busy"])
    assert counts[0] == len(zero)
    # patterns are a run's own; the two runs of Busy hold half of the matrices each
    halves = np.array_split(matrices["Busy"], 2)
    assert counts[1] == sum(len(np.unique(finite_zeros(half)[0], axis=0)) for half in halves)


def as_text(zero: np.ndarray) -> str:
    return "".join("01"[int(bit)] for bit in zero.ravel())


@pytest.mark.parametrize("leave", [lambda r: r.pl().to_dicts(), lambda r: r.to_arrow_table().to_pylist(),
                                   lambda r: r.df().to_dict("records")], ids=["pl", "arrow", "df"])  # fmt: skip
def test_users_07_bits_leave_sql_as_text(leave, mixed):
    """Every bit of every pattern, by each of the three ways, against NumPy; alone, in a list and in a struct."""
    opened, matrices = mixed
    zero, _ = finite_zeros(matrices["Busy"])
    expected = {(as_text(z[:, :3]), as_text(z[:, 3:])) for z in zero}
    rows = leave(opened.sql("select zero_state, zero_action, [zero_state] as l, {'x': [zero_action]} as s from patterns"
                            " where env = 'Busy'"))  # fmt: skip
    assert {(row["zero_state"], row["zero_action"]) for row in rows} == expected
    assert {(row["l"][0], row["s"]["x"][0]) for row in rows} == expected
    # a relation goes on: what SQL counts as bits, and what it hands on
    long = opened.view("patterns", "Busy").filter("bit_count(zero_state::bit) > 3").project("zero_state")
    assert {row["zero_state"] for row in leave(long)} == {state for state, _ in expected if state.count("1") > 3}


def test_users_07_what_arrow_has_no_type_for_leaves_as_text(mixed):
    opened, _ = mixed
    odd = "340282366920938463463374607431768211455"
    [row] = opened.sql(f"select {odd}::uhugeint as u, 12::bignum as b, '10:00:00+02'::timetz as t").pl().to_dicts()
    assert row == {"u": odd, "b": "12", "t": "10:00:00+02"}
    assert fetch(opened.sql("select interval 90 second as i"))["i"].to_list() == ["00:01:30"]
    assert str(opened.sql("select contacts from steps").types[0]).startswith("STRUCT(geom1 VARCHAR")  # as it is


def test_a_condition_on_steps_reaches_every_statistic(mixed, lengths):
    opened, matrices = mixed
    with opened.where("step < 5 and run_id = 'run-a'") as some:
        [row] = some.global_sparsity("Busy").to_dicts()
        first = np.concatenate([part[:5] for part in np.split(matrices["Busy"], np.cumsum(lengths))[:3]])
        zero, excluded = finite_zeros(first)
        assert (row["samples"], row["excluded"]) == (len(zero), excluded)
        assert row["zero_state"] == zero[..., :3].all(0).sum()
        assert some.entry_zero_fraction("Busy")["samples"][0] == len(zero)


@pytest.mark.slow
def test_an_environment_without_a_finite_step_is_not_dropped(tmp_path):
    dataset(tmp_path, "E", [episode(0, np.full((4, 2, 2), np.nan), np.ones((4, 2, 1)))])
    with jacdb.open(tmp_path) as opened:
        [row] = opened.global_sparsity().to_dicts()
        assert (row["samples"], row["excluded"], row["zero_state"]) == (0, 4, None)
        entries = opened.entry_zero_fraction()
    assert len(entries) == 6 and entries["zero_fraction"].null_count() == 6
    assert entries["excluded"].unique().to_list() == [4]


@pytest.mark.slow
def test_finite_differences_do_not_end_zeros(tmp_path):
    zero, ones = np.zeros((3, 2, 2)), np.ones((3, 2, 1))
    dataset(tmp_path, "E", [episode(0, zero, ones)], "run-a")
    dataset(tmp_path, "E", [episode(0, zero + 1e-10, ones, method="fd")], "run-b")
    with jacdb.open(tmp_path) as opened:
        [row] = opened.global_sparsity().to_dicts()
        assert (row["samples"], row["zero_state"]) == (3, 4)
        assert opened.entry_zero_fraction()["samples"].unique().to_list() == [3]
        assert opened.threshold_sweep()["samples"].unique().to_list() == [3]
        assert opened.sql("select count(*) from steps").fetchall() == [(6,)]


@pytest.mark.slow
def test_single_steps_by_finite_differences_are_in_no_mean(tmp_path):
    j_state, j_action = np.eye(2) * np.ones((5, 1, 1)), np.ones((5, 2, 1))
    j_state[3:] = 1.0
    methods = np.array(["implicit", "implicit", "implicit", "implicit", "fd"])
    dataset(tmp_path, "E", [episode(0, j_state, j_action, method=methods)])
    dataset(tmp_path, "E", [episode(0, j_state, j_action, method="fd")], "run-b", seed=1)
    for way in ("partials", "steps"):
        with jacdb.open(tmp_path) as opened:
            assert opened.explain("threshold_sweep").startswith(f"from {way}: 2 runs")
            sweep = opened.threshold_sweep().filter(threshold=schemas.ZERO_THRESHOLD, jacobian="state")
            histogram = opened.sparsity_histogram().filter(jacobian="state")
        assert (sweep["samples"].item(), sweep["mean_sparsity"].item()) == (4, pytest.approx(3 / 8))
        assert histogram["mean_sparsity"].unique().to_list() == [pytest.approx(3 / 8)]
        shutil.rmtree(tmp_path / "partials", ignore_errors=True)


@pytest.mark.slow
def test_method_comparison_agrees_with_numpy(tmp_path):
    ours = RNG.normal(size=(12, 3, 5)) * (RNG.random((12, 3, 5)) < 0.7)
    theirs = ours * (1 + 1e-9 * RNG.normal(size=ours.shape))
    theirs[4, 0, 0] += 0.5
    theirs[7] = 1.0  # in another state
    ours[9, 1, 1] = np.nan
    state = np.where(np.arange(12) == 7, 1.0, 0.0)[:, None] * np.ones(3)
    dataset(tmp_path, "E", [episode(0, ours[..., :3], ours[..., 3:])], "run-a")
    dataset(tmp_path, "E", [episode(0, theirs[..., :3], theirs[..., 3:], state=state)], "run-b", method="autodiff")
    counts = np.delete(np.arange(12), [7, 9])
    with jacdb.open(tmp_path) as opened:
        rows = opened.method_comparison("E").to_dicts()
    assert [(row["method"], row["other"], row["jacobian"]) for row in rows] == [
        ("implicit", "autodiff", "state"), ("implicit", "autodiff", "action"),
    ]  # fmt: skip
    same = ((np.abs(ours) < 1e-12) == (np.abs(theirs) < 1e-12)).all((1, 2))[counts]
    for row, columns in zip(rows, (slice(0, 3), slice(3, 5)), strict=True):
        a, b = (np.linalg.norm(j[counts][..., columns], axis=(1, 2)) for j in (ours - theirs, ours))
        assert (row["steps"], row["apart"], row["same_zeros"]) == (10, 1, pytest.approx(same.mean()))
        expected = [np.quantile(a / b, 0.5), np.quantile(a / b, 0.9), (a / b).max()]
        assert [row[f"difference_{of}"] for of in ("median", "p90", "max")] == pytest.approx(expected)


@pytest.mark.slow
def test_methods_are_compared_in_the_same_episodes_and_actions(tmp_path):
    j, rng = np.ones((4, 3, 5)), np.random.default_rng(0)
    action, longer = rng.normal(size=(4, 2)), rng.normal(size=(6, 2))

    def made(number, values, actions):
        steps = len(actions)
        whole = values * np.ones((steps, 1, 1))
        return episode(number, whole[..., :3], whole[..., 3:], columns={"action": actions})

    turned = action + np.array([0.0, 0.0, 0.0, 1.0])[:, None]
    dataset(tmp_path, "E", [made(0, j[:1], action)], "run-a")
    dataset(tmp_path, "E", [made(0, 3 * j[:1], longer)], "run-b")  # of other --steps: other noise, in the same state
    dataset(tmp_path, "E", [made(0, j[:1], turned), made(1, j[:1], action)], "run-c", method="autodiff")
    with jacdb.open(tmp_path) as opened:
        whole, later = (one.method_comparison().to_dicts() for one in (opened, opened.where("step > 2")))
    for row in whole:
        assert (row["steps"], row["apart"], row["difference_max"]) == (3, 1, 0.0)
    for row in later:
        assert (row["steps"], row["apart"], row["difference_max"]) == (0, 1, None)
    assert len(whole) == len(later) == 2


@pytest.mark.parametrize("name", queries.VIEWS)
def test_documented_columns_are_the_emitted_ones(name, mixed):
    opened, _ = mixed
    header = queries.header(name)
    assert header["grain"] and "?" in header["question"]
    assert getattr(opened, name).__doc__ == header["question"] and getattr(opened, name)().columns
    documented = header["columns"].split()
    if "jacdb.schemas." in documented:
        documented = {table.name: table for table in schemas.ALL_TABLES}[name].schema.names
    assert opened.view(name).columns == documented


@pytest.mark.slow
@pytest.mark.parametrize("finished", [True, False])
def test_without_actuators_shares_of_no_entries_are_null_and_no_view_fails(finished, tmp_path):
    """By partials, and counted from steps."""
    j = RNG.normal(size=(20, 2, 2)) * (RNG.random((20, 2, 2)) < 0.7)
    dataset(tmp_path, "Passive", [episode(0, j, np.zeros((20, 2, 0)))])
    [partials] = tmp_path.glob("partials/*/*/*.parquet")
    if not finished:
        partials.unlink()
    with jacdb.open(tmp_path) as opened:
        for name in queries.VIEWS:
            frame = fetch(opened.view(name, "Passive"))
            assert not any(frame[one].is_nan().any() for one in frame.columns if frame[one].dtype.is_float()), name
        [row] = opened.global_sparsity("Passive").to_dicts()
        assert (row["zero_action"], row["zero_action_pct"], row["d_action"]) == (0, None, 0)
        assert row["zero_state"] == (j == 0).all(0).sum()
        for name in ("entry_zero_fraction", "sparsity_histogram", "threshold_sweep", "zero_durations"):
            assert fetch(opened.view(name, "Passive"))["jacobian"].unique().to_list() == ["state"]
        assert opened.sparsity_timeline("Passive")["sparsity_action"].is_null().all()
        assert fetch(opened.view("pattern_switches", "Passive"))["changed_action"].unique().to_list() == [0]
