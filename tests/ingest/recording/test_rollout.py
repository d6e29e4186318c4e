"""Rows of a rollout: reproducible, complete, and no row of two episodes."""

import dataclasses
import itertools
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mujoco_playground import wrapper
from thoroughness import thorough

import jacdb
from jacdb import schemas
from jacdb.errors import UsageError
from jacdb.ingest import runtime
from jacdb.ingest.differentiation import control_step
from jacdb.ingest.differentiation.types import CtrlJacobian, PhysicsInput
from jacdb.ingest.dynamics.newton import RESIDUAL_TOLERANCE
from jacdb.ingest.environments import transition
from jacdb.ingest.pipeline import ingest
from jacdb.ingest.policies.noise import NoisePolicy, ZeroPolicy
from jacdb.ingest.program_store import ProgramStore
from jacdb.ingest.recording import chunk_program, recomputation
from jacdb.ingest.recording.initial_states import InitialStates
from jacdb.ingest.recording.programs import Programs
from jacdb.ingest.recording.rollout import CHUNK_BYTES, Rollout, chunk_steps
from jacdb.ingest.recording.settings import RolloutSettings
from jacdb.ingest.recording.slots import Slots
from jacdb.ingest.recording.step_records import StoredJacobian
from jacdb.ingest.run_plan import Request
from jacdb.ingest.storage.episodes import ARRAYS, summaries
from jacdb.ingest.storage.run_writer import RunWriter
from jacdb.ingest.storage.zero_patterns import EntryStatistics

pytestmark = pytest.mark.slow

REQUEST = Request("CartpoleBalance", episodes=3, steps=40)


def rows(root):
    with jacdb.open(root) as dataset:
        return dataset.sql("from steps order by episode, step").pl()


def test_one_seed_gives_the_same_rows_and_another_does_not(cartpole, tmp_path):
    first = rows(cartpole)
    ingest(REQUEST, tmp_path / "again")
    assert rows(tmp_path / "again").equals(first)
    ingest(dataclasses.replace(REQUEST, seed=1), tmp_path / "other")
    other = rows(tmp_path / "other")
    assert not np.array_equal(other["state"].to_list(), first["state"].to_list())
    assert set(other["run_id"]).isdisjoint(first["run_id"])


def test_an_episode_does_not_depend_on_its_neighbours(cartpole, tmp_path):
    """One slot, three episodes after each other, against three slots: the same but for rounding."""
    ingest(dataclasses.replace(REQUEST, num_envs=1), tmp_path)
    alone, beside = rows(tmp_path), rows(cartpole)
    for column in ("state", "action", "next_state", "j_state", "j_action"):
        a, b = (np.array(table[column].to_list()) for table in (alone, beside))
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    assert alone["n_zero_state"].equals(beside["n_zero_state"])


def test_a_row_starts_where_the_row_before_ended(cartpole):
    table = rows(cartpole)
    assert table["step"].to_list() == [*range(40)] * 3
    assert table.filter(table["truncated"])["step"].to_list() == [39] * 3
    state, after = (np.array(table[column].to_list()).reshape(3, 40, 4) for column in ("state", "next_state"))
    assert np.array_equal(state[:, 1:], after[:, :-1])
    assert len({tuple(start) for start in state[:, 0]}) == 3


def rolled_out(system, numbers, *, method="implicit", num_envs=2, programs=None, **settings):
    """These episodes under noise, in the order in which they end."""
    settings = RolloutSettings(system, NoisePolicy(), method, seed=0, num_envs=num_envs, **settings)
    with Rollout(Programs(settings, **programs or {}), numbers) as rollout:
        return list(itertools.chain(*rollout.run()))


def column(episode, name):
    if name in ARRAYS:
        return np.concatenate([getattr(piece, name) for piece in episode.pieces])
    return np.array(episode.columns[name].to_pylist())


class EndsEarly(wrapper.Wrapper):
    """CartpoleBalance that ends when the cart is a finger's breadth from the middle."""

    def step(self, state, action):
        after = self.env.step(state, action)
        return after.replace(done=(jnp.abs(after.data.qpos[0]) > 0.05).astype(float))


def test_an_episode_that_ends_early_makes_room_for_the_next(system):
    loaded = dataclasses.replace(system("CartpoleBalance"), env=EndsEarly(system("CartpoleBalance").env))
    episodes = {episode.number: episode for episode in rolled_out(loaded, range(7), steps=100)}
    assert sorted(episodes) == [*range(7)]
    lengths = set()
    for episode in episodes.values():
        place, done = column(episode, "next_state")[:, 0], column(episode, "done")
        assert np.array_equal(done, np.abs(place) > 0.05)  # the state before any reset
        assert not done[:-1].any() and (done[-1] or episode.n_steps == 100)
        [summary] = summaries([episode]).to_pylist()
        assert (summary["n_steps"], summary["done"]) == (len(place), bool(done[-1]))
        assert summary["truncated"] == (not done[-1])
        lengths.add(len(place))
    assert len(lengths) > 1


def test_a_repeat_changes_nothing_and_resume_wants_something_to_resume(cartpole, tmp_path, monkeypatch):
    monkeypatch.delattr(RunWriter, "alone")  # a colleague's dataset, in which no lock can be had
    before = {path: path.stat().st_mtime_ns for path in cartpole.rglob("*.parquet")}
    assert ingest(REQUEST, cartpole).was_there
    assert {path: path.stat().st_mtime_ns for path in cartpole.rglob("*.parquet")} == before
    with pytest.raises(UsageError, match="nothing to resume"):
        ingest(REQUEST, tmp_path, resume=True)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_keeps_finished_episodes_and_goes_on_to_the_same_rows(tmp_path):
    request = dataclasses.replace(REQUEST, episodes=6, num_envs=2, steps=20)

    def interrupt(progress):
        if progress.done >= 80:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(request, tmp_path / "stopped", report=interrupt)
    assert sorted(set(rows(tmp_path / "stopped")["episode"])) == [0, 1, 2, 3]
    ingest(request, tmp_path / "stopped", resume=True)
    ingest(request, tmp_path / "whole")
    assert rows(tmp_path / "stopped").equals(rows(tmp_path / "whole"))


@pytest.mark.thorough
def test_finite_differences_agree(tmp_path):
    """--method fd: the C engine's own, from the same states. The noise is small, for at a clip C takes one side."""
    request = dataclasses.replace(REQUEST, policy=NoisePolicy(scale=0.2), episodes=1, steps=10, dtype="float64")
    ingest(dataclasses.replace(request, method="fd"), tmp_path / "fd")
    ingest(request, tmp_path / "implicit")
    fd, implicit = rows(tmp_path / "fd"), rows(tmp_path / "implicit")
    assert fd["method"].unique().to_list() == ["fd"]
    np.testing.assert_allclose(fd["j_state"].to_list(), implicit["j_state"].to_list(), atol=1e-7)
    np.testing.assert_allclose(fd["j_action"].to_list(), implicit["j_action"].to_list(), atol=1e-7)


@pytest.mark.parametrize("method", ["implicit", thorough("fd")])
def test_a_device_without_an_episode_left_does_no_harm(system, method):
    """Half of the slots have none: on two cores or more these are whole devices'."""
    episodes = rolled_out(system("CartpoleBalance"), range(8), method=method, num_envs=16, steps=10)
    lengths = {episode.number: episode.n_steps for episode in episodes}
    assert lengths == dict.fromkeys(range(8), 10)


class Watched(Programs):
    """Programs that say whether the chunk's is still there."""

    def step_chunk(self, chunk):
        program = super().step_chunk(chunk)
        self.chunk = weakref.ref(program)
        return program


def test_programs_are_freed_when_the_rollout_is_closed_and_episodes_stay(system):
    programs = Watched(RolloutSettings(system("CartpoleBalance"), NoisePolicy(), "implicit", 0, steps=10, num_envs=16))
    with Rollout(programs, range(16)) as rollout:
        [episodes] = rollout.run()
        assert programs.chunk()
    assert not programs.chunk()
    assert [len(column(episode, "state")) for episode in episodes] == [10] * 16


def test_an_episode_stands_in_one_place_of_a_batch_whatever_is_beside_it(system, monkeypatch):
    """Of 70 episodes, these: they have turns in the slots of their places, as many at once as may be."""
    monkeypatch.setattr(runtime, "lanes", lambda: 2)
    settings = RolloutSettings(system("CartpoleBalance"), NoisePolicy(), "implicit", seed=3, steps=6, num_envs=30)
    for numbers in (range(70), range(35, 70), [20, 44, 68], [0, 24, 25, 26, 50]):
        slots, stepped, rounds = Slots(settings, 4, numbers, 24), [], 0
        while filled := slots.fill():
            assert all(slot % 24 == number % 24 for slot, number in filled.items())
            assert len(slots.episodes) <= 30
            stepped += filled.values()
            slots.free(list(slots.episodes))
            rounds += 1
        assert sorted(stepped) == [*numbers] and slots.n_blocks == 2
        assert rounds == {70: 3, 35: 2, 3: 2, 5: 1}[len(numbers)]


def test_few_resets_are_kept_and_made_again_for_an_episode_that_comes_late(system):
    programs = Programs(RolloutSettings(system("CartpoleBalance"), NoisePolicy(), "implicit", 3, steps=6, num_envs=24))
    reset, size, made = programs.reset, programs.block, []
    programs.__dict__["reset"] = lambda numbers: made.append(int(numbers[0])) or reset(numbers)
    waiting = InitialStates(programs, range(6 * size))
    batches = [waiting.idle_batch()]
    firsts = [*range(0, 6 * size, size)]
    for number in firsts:  # the others are late
        batches = waiting.place(batches, {0: number})
    assert made == firsts
    [batch] = waiting.place(batches, {1: 1, 2: 5 * size + 2})
    assert made == [*firsts, 0], "the first reset had gone, the last had not"
    expected = [np.asarray(reset(first + np.arange(size)).data.qpos) for first in (firsts[-1], 0)]
    assert np.array_equal(np.asarray(batch.state.data.qpos)[:3], [expected[0][0], expected[1][1], expected[0][2]])
    programs.close()


def test_slots_are_filled_in_order_and_draw_each_episodes_own_noise(system):
    settings = RolloutSettings(system("CartpoleBalance"), NoisePolicy(), "implicit", seed=3, steps=6, num_envs=2)
    slots = Slots(settings, 4, [4, 5, 7], 2)
    assert slots.n_blocks == 1, "two at once have their places in one batch"
    drawn = {number: settings.policy.noise(3, number, 6, 1) for number in (4, 5, 7)}
    assert slots.fill() == {0: 4, 1: 5} and [episode.number for episode in slots.episodes.values()] == [4, 5]
    assert np.array_equal(slots.noise(0), np.stack([drawn[4][:4], drawn[5][:4]], axis=1))
    assert not slots.advance().any()
    slots.free([1])  # ended before its time
    slots.free([1])
    assert slots.fill() == {1: 7} and slots.episodes[1].number == 7
    noise = slots.noise(0)
    assert np.array_equal(noise[:, 0], [*drawn[4][4:], [0], [0]]) and np.array_equal(noise[:, 1], drawn[7][:4])
    assert slots.advance().tolist() == [True, False]
    slots.free([0])
    assert slots.fill() == {} and list(slots.episodes) == [1]


def with_tolerance(system, tolerance, **programs):
    """Two episodes, the steps above the tolerance computed again."""
    settings = {"steps": 20, "tolerance": tolerance, "dtype": np.float64}
    episodes = rolled_out(system("CartpoleBalance"), [0, 1], programs=programs, **settings)
    return sorted(episodes, key=lambda episode: episode.number)


def check_sizes(episode):
    """What an episode says of its entries against its matrices, which float64 leaves as they were."""
    [said], [piece] = summaries([episode]).to_pylist(), episode.pieces
    for matrix in ("state", "action"):
        size = np.abs(getattr(piece, f"j_{matrix}"))
        assert np.array_equal(said[f"largest_{matrix}"], size.max(axis=0))
        assert said[f"below_{matrix}"] == [np.count_nonzero(size < threshold) for threshold in schemas.SWEEP]


@pytest.mark.thorough
@pytest.mark.parametrize("instead", ["implicit", "unrolled", "autodiff"])
def test_steps_above_the_tolerance_are_computed_again(system, monkeypatch, instead):
    """All of them, and half of them: the others stay as they were."""
    monkeypatch.setattr(recomputation, "FALLBACK_METHODS", {"implicit": (instead,)})
    begin, begun = recomputation.begin, []
    monkeypatch.setattr(recomputation, "begin", lambda *given: begun.extend(given[3]) or begin(*given))
    first = with_tolerance(system, RESIDUAL_TOLERANCE)
    assert not begun
    middle = np.median([column(episode, "residual") for episode in first])
    for tolerance in (-1.0, middle):
        episodes = with_tolerance(system, tolerance)
        above = [column(episode, "residual") > tolerance for episode in first]
        assert len(begun) == np.sum(above)
        begun.clear()
        for episode_before, episode, again in zip(first, episodes, above, strict=True):
            [before], [after] = episode_before.pieces, episode.pieces
            assert again.any() and again.all() == (tolerance < 0)
            assert set(column(episode_before, "method")) == {"implicit"}
            assert np.array_equal(column(episode, "method"), np.where(again, instead, "implicit"))
            for now, then in zip(after[2:], before[2:], strict=True):
                np.testing.assert_allclose(now, then, atol=1e-12)
                assert np.array_equal(now[~again], then[~again])
            check_sizes(episode)


def test_a_step_is_recomputed_in_its_own_place_of_a_batch():
    """Of results that say which step they are of, and where in a batch it stood."""
    places = np.array([3, 11, 3, 4, 0, 12])

    def each(kind, value):
        return kind._make([value] * len(kind._fields))

    def recompute(start, ctrl):
        return each(StoredJacobian, start.qpos), each(EntryStatistics, np.arange(8)), np.ones(8, bool)

    inputs = each(PhysicsInput, np.arange(6.0)), each(CtrlJacobian, np.arange(6.0))
    again = recomputation.begin("unrolled", recompute, inputs, 10 * np.arange(6), places)
    jacobian, statistics, valid = again.results()
    assert len(again.batches) == 3, "three of one place"
    assert jacobian[0].tolist() == [*range(6)] and statistics[0].tolist() == (places % 8).tolist() and valid.all()


class BesideUnrolled(ProgramStore):
    """The user's store, in which no name leads to programs of unrolled, nor is given to them: their text alone."""

    def find(self, ingredients):
        return None if ingredients.get("recompute") == "unrolled" else super().find(ingredients)

    def compile(self, ingredients, lowered, options=None):
        named = ingredients and ingredients.get("recompute") != "unrolled"
        return super().compile(ingredients if named else None, lowered, options)


@pytest.mark.thorough
def test_what_one_method_does_not_cover_the_next_one_does(system, monkeypatch):
    differentiation = control_step.physics_jacobian

    def partly(of, method):
        differentiate = differentiation(of, method)

        def covering_some(start):
            found, valid = differentiate(start), jnp.floor(1e6 * start.qpos[0]) % 2 == 0
            return found._replace(by_state=jnp.where(valid, found.by_state, jnp.nan), valid=valid)

        return covering_some if method == "unrolled" else differentiate

    monkeypatch.setattr(control_step, "physics_jacobian", partly)
    store = BesideUnrolled.of_user()
    both = [with_tolerance(system, tolerance, store=store) for tolerance in (RESIDUAL_TOLERANCE, -1.0)]
    for before, episode in zip(*both, strict=True):
        assert set(column(before, "method")) == {"implicit"}
        [piece] = episode.pieces
        valid = np.floor(1e6 * column(episode, "state")[:, 0]) % 2 == 0
        assert valid.any() and not valid.all() and column(episode, "finite").all()
        assert np.array_equal(column(episode, "method"), np.where(valid, "unrolled", "autodiff"))
        np.testing.assert_allclose(piece.j_state, before.pieces[0].j_state, atol=1e-12)
        check_sizes(episode)


@pytest.mark.thorough
def test_the_zero_policy_acts_with_zeros(tmp_path):
    ingest(dataclasses.replace(REQUEST, policy=ZeroPolicy(), episodes=1, steps=10), tmp_path)
    assert set(np.ravel(rows(tmp_path)["action"].to_list())) == {0.0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"episodes": 0},
        {"steps": -1},
        {"num_envs": 0},
        {"seed": -1},
        {"method": "magic"},
        {"dtype": "int8"},
        {"memory": 0},
    ],
)
def test_impossible_requests_are_refused_with_the_value(wrong):
    with pytest.raises(UsageError, match=str(next(iter(wrong.values())))):
        dataclasses.replace(REQUEST, **wrong)


@pytest.mark.parametrize(("step_bytes", "chunk"), [(1, 64), (2**18, 64), (2**18 + 1, 32), (2**24, 32)])
def test_chunks_hold_little(step_bytes, chunk):
    assert chunk_steps(step_bytes) == chunk and (chunk == 32 or chunk * step_bytes <= CHUNK_BYTES)


@pytest.mark.parametrize(
    "other", [{"seed": 2**40 + 3}, {"steps": 70}, {"episodes": 5}, {"num_envs": 2}, {"policy": NoisePolicy(scale=0.5)}]
)
def test_the_same_programs_serve_another_seed_length_number_and_noise(other, cartpole, tmp_path, monkeypatch):
    def trace(*arguments):
        pytest.fail("traced anew")

    monkeypatch.setattr(chunk_program, "spread", trace)
    assert ingest(dataclasses.replace(REQUEST, **other), tmp_path).n_rows > 0


def test_a_run_has_one_name_whatever_the_number_side_by_side(cartpole):
    assert ingest(dataclasses.replace(REQUEST, num_envs=2), cartpole).was_there


@pytest.mark.parametrize("num_envs", [1, 100])
def test_an_episode_is_the_same_to_the_last_bit_whatever_the_number_beside_it(num_envs, system):
    """100 need more than one batch, of which the last is not full."""
    several = rolled_out(system("CartpoleBalance"), range(100), num_envs=num_envs, steps=3)
    [alone] = rolled_out(system("CartpoleBalance"), [99], num_envs=1, steps=3)
    assert sorted(episode.number for episode in several) == [*range(100)]
    [same] = [episode for episode in several if episode.number == 99]
    for name in ("state", "next_state", "j_state", "j_action"):
        assert np.array_equal(column(same, name), column(alone, name))


def test_a_seed_given_to_the_reset_is_the_seed_that_jax_would_take(system):
    loaded = system("CartpoleBalance")
    start = transition.episode_start(loaded)
    # of the reset no more than leads to the positions
    placed = jax.jit(lambda seed, number: start(seed, number).data.qpos)
    expected = jax.jit(lambda key: loaded.env.reset(key).data.qpos)
    for seed in (0, 7, 2**33 + 1, 2**63 - 1):
        key = jax.random.fold_in(jax.random.key(seed), 3)
        np.testing.assert_allclose(placed(np.int64(seed), 3), expected(key), rtol=1e-14)


def test_numbers_of_a_request_are_those_of_python():
    """A run's id is made of JSON, which takes none of NumPy's, and 200 episodes of 8 bits would wrap."""
    asked = Request("CartpoleBalance", episodes=np.uint8(200), steps=np.int64(40), seed=np.uint64(3))
    assert asked == Request("CartpoleBalance", episodes=200, steps=40, seed=3)
    assert {type(number) for number in (asked.episodes, asked.steps, asked.seed)} == {int}
    with pytest.raises(UsageError, match=r"episodes=2\.5: give a whole number"):
        Request("CartpoleBalance", episodes=2.5)
