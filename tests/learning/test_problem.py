"""The rows of a learning problem: split, normalized, with their zeros."""

import shutil

import numpy as np
import pytest
from learning_rows import add_expert, linear_episode
from synthetic import dataset, trajectory

import jacdb
from jacdb.errors import UsageError
from jacdb.learning import row_subsets, seed_list
from jacdb.learning.models import registry
from jacdb.learning.problem import LearningProblem
from jacdb.learning.training_settings import TrainingSettings

SHARED = ("train", "validation", "test")


def test_users_29_parts_share_no_episode_and_no_twin(linear):
    of_part = {name: set(linear.parts[name].trajectory) for name in SHARED}
    assert all(of_part.values())
    assert sum(map(len, of_part.values())) == len(set.union(*of_part.values())) == 8
    assert set.union(*of_part.values()) == {trajectory(number, "Linear") for number in range(8)}
    # one of two twins: no row comes twice
    rows = [
        (t, s) for name in SHARED for t, s in zip(linear.parts[name].trajectory, linear.parts[name].step, strict=True)
    ]
    assert len(rows) == len(set(rows)) == 8 * 60


def test_users_29_means_and_deviations_are_those_of_the_training_part(linear):
    train = linear.parts["train"]
    assert np.abs(train.state.mean(0)).max() < 1e-5 and train.state.std(0) == pytest.approx(1, abs=1e-4)
    assert np.abs(linear.parts["test"].state.mean(0)).max() > 1e-3


def test_users_29_zeros_are_exact_and_roundoff_is_undecided(linear):
    rows = linear.parts["test"]
    raw = rows.raw_jacobian
    assert np.array_equal(linear.zero(rows), np.abs(raw) < 1e-12)
    undecided = linear.undecided(rows)
    assert undecided.sum() == (rows.step % 5 == 0).sum() and undecided[rows.step % 5 == 0, 2, 0].all()
    # scaled, zeros stay zeros, and others do not
    assert np.array_equal(linear.jacobian(rows) == 0, raw == 0)


def test_users_29_the_jacobian_is_of_the_normalized_step(linear):
    rows = linear.parts["test"]
    j = linear.jacobian(rows).astype(float)
    inputs = np.concatenate([rows.state, rows.action], axis=1)
    moved = (inputs[1] - inputs[2]) @ j[1].T
    assert moved == pytest.approx(rows.next_state[1] - rows.next_state[2], abs=1e-5)


@pytest.mark.slow
def test_users_29_a_benchmark_version_names_rows_and_their_split(linear, linear_root, tmp_path):
    with jacdb.open(linear_root) as opened:
        assert LearningProblem.of(opened, "Linear", target="delta").version == linear.version
        assert LearningProblem.of(opened, "Linear", test=0.6).version != linear.version
    alone = tmp_path / "alone"  # the same episodes under another run's name
    dataset(alone, "Linear", [linear_episode(number) for number in range(8)], "another-name")
    with jacdb.open(alone) as opened:
        assert LearningProblem.of(opened, "Linear").version == linear.version
    fewer = tmp_path / "fewer"
    dataset(fewer, "Linear", [linear_episode(number) for number in range(7)])
    with jacdb.open(fewer) as opened:
        assert LearningProblem.of(opened, "Linear").version != linear.version


def test_users_29_windows_and_switches_stay_within_an_episode(linear):
    rows = linear.parts["test"]
    starts = rows.windows(10)
    assert len(starts) == len(set(rows.trajectory)) * 51
    assert (rows.trajectory[starts] == rows.trajectory[starts + 9]).all()
    assert (rows.step[starts] + 9 == rows.step[starts + 9]).all()
    gap = rows.where(rows.step != 30)
    assert len(gap.windows(10)) == len(set(rows.trajectory)) * (21 + 20)
    masks = row_subsets.subsets(rows)
    assert masks["contact"].sum() == (rows.step % 5 == 0).sum() and not (masks["contact"] & masks["free"]).any()
    assert masks["near_switch"].all()  # every fifth step is another pattern
    quiet = rows.where((rows.step > 5) & (rows.step < 10) | (rows.step > 20))
    near = row_subsets.subsets(quiet)["near_switch"]
    assert not near[quiet.step < 10].any() and near[quiet.step == 21].all()


@pytest.mark.slow
def test_users_29_rows_of_another_policy_stand_apart(linear, linear_root, tmp_path):
    root = tmp_path / "two"
    shutil.copytree(linear_root, root)
    add_expert(root, range(20, 23))
    with jacdb.open(root) as opened:
        own = LearningProblem.of(opened, "Linear", policy="noise")
        assert own.version == linear.version
        assert set(own.parts["other_policy"].trajectory) == {
            trajectory(number, "Linear", 1) for number in range(20, 23)
        }
        assert sum(map(len, LearningProblem.of(opened, "Linear").parts.values())) == 11 * 60
        with pytest.raises(UsageError, match=r"no rows of policy 'exprt' .* did you mean expert"):
            LearningProblem.of(opened, "Linear", policy="exprt")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("physics", "told"),
    [
        ({"ctrl_dt": 2e-12}, "control steps of 1e-12 s and 2e-12 s"),
        ({"model": "edited"}, "the models  and edited"),
        ({"model": "edited", "versions": '{"mujoco": "9.9"}'}, ""),  # its hash is of another MuJoCo's file
        ({"method": "unrolled"}, ""),
    ],
)
def test_runs_of_other_physics_are_no_one_problem(physics, told, linear_root, tmp_path):
    root = tmp_path / "two"
    shutil.copytree(linear_root, root)
    dataset(root, "Linear", [linear_episode(number) for number in range(20, 23)], "run-d", seed=1, **physics)
    with jacdb.open(root) as opened:
        if told:
            with pytest.raises(UsageError, match=f"runs run-a and run-d of Linear have {told}: nothing fits both"):
                LearningProblem.of(opened, "Linear")
        else:
            assert "run-d" in LearningProblem.of(opened, "Linear").run_ids
        alone = LearningProblem.of(opened.where("run_id = 'run-d'"), "Linear")
    assert alone.run_ids == {"run-d"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"target": "velocity"}, "target='velocity'"),
        ({"validation": 0.0}, "validation=0.0"),
        ({"test": 1.5}, "test=1.5"),
        ({"validation": 0.5, "test": 0.5}, "leave no episode"),
        ({"env": "Liner"}, "did you mean Linear"),
    ],
)
def test_users_29_what_is_no_problem_gets_one_line(options, told, linear_root):
    with jacdb.open(linear_root) as opened, pytest.raises(UsageError, match=told):
        LearningProblem.of(opened, **{"env": "Linear", **options})


@pytest.mark.slow
def test_users_29_three_episodes_are_needed(tmp_path):
    dataset(tmp_path / "two", "Linear", [linear_episode(number) for number in range(2)])
    with jacdb.open(tmp_path / "two") as opened, pytest.raises(UsageError, match="has 2 episodes: a training"):
        LearningProblem.of(opened, "Linear")


def test_users_29_seeds_are_numbers_and_ranges():
    assert seed_list.parse("3,0-2,1") == [3, 0, 1, 2]
    for wrong in ("", "one", "2-1", "0,,1", "-1", "0-5000"):
        with pytest.raises(UsageError, match="--seeds"):
            seed_list.parse(wrong)
    for large in ("99999999999", f"0-{10**9}", "1" * 5000):
        with pytest.raises(UsageError, match="9 digits at most"):
            seed_list.parse(large)
    assert seed_list.parse("999999999") == [999_999_999]


def test_users_29_settings_are_typed_as_name_and_value():
    assert registry.settings_of(["width=64", "kind=deep", "on=true"]) == {"width": 64, "kind": "deep", "on": True}
    for wrong, told in ((["width"], "NAME=VALUE"), (["a=1", "a=2"], "twice")):
        with pytest.raises(UsageError, match=told):
            registry.settings_of(wrong)


def test_users_29_a_call_divides_the_interval_of_validation():
    assert [TrainingSettings(validate_every=n).call for n in (1, 50, 250, 53, 64)] == [1, 50, 50, 1, 32]
    assert TrainingSettings(steps=101, validate_every=50).all_steps == 150
    for wrong in ({"steps": 0}, {"learning_rate": 0.0}, {"jacobian_rows": 0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            TrainingSettings(**wrong).check()
