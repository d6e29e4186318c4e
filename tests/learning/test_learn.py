"""Training: what it recovers, that it resumes, and what it leaves in the dataset."""

import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import call_jacdb
from learning_rows import OWN_MODEL, A, B, add_expert

import jacdb
from jacdb import schemas, verification
from jacdb.dataset import learning_files
from jacdb.errors import FailureError, UsageError
from jacdb.learning import evaluation, results, training
from jacdb.learning import learn as learning
from jacdb.learning.checkpoint import Checkpoint, Progress
from jacdb.learning.learn import Learned, learn
from jacdb.learning.loss_names import loss_of
from jacdb.learning.losses import MinibatchLoss, device_rows
from jacdb.learning.models import registry
from jacdb.learning.models.mlp import MLP
from jacdb.learning.scores import Score
from jacdb.learning.training_settings import TrainingSettings
from jacdb.merging import merge

pytestmark = pytest.mark.slow
SHORT = TrainingSettings(steps=40, batch_size=32, validate_every=10)


@pytest.fixture
def root(linear_root, tmp_path):
    return shutil.copytree(linear_root, tmp_path / "data")


def leaves(params):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(params)]


@pytest.mark.parametrize(("name", "weight"), [("mse+l1", 0.002), ("mse+sae", 0.05)])
def test_users_29_a_sparse_linear_system_is_recovered(name, weight, linear):
    """A threshold parts its zeros from the rest; without the loss on the Jacobian they are not as small."""
    settings = TrainingSettings(steps=4000, batch_size=480, learning_rate=1e-3, validate_every=1000)
    found = {}
    for loss in (loss_of(name, weight), loss_of(name, 0.0)):
        model = MLP(depth=0)
        trained = training.train(model, linear, loss, settings, 0)
        rows = linear.parts["test"].where(linear.parts["test"].step % 5 == 1)
        evaluated = evaluation.Evaluator(model, linear).evaluate(trained.params, rows)
        found[loss.weight] = np.abs(evaluated.jacobian)
    zero = linear.zero(rows)
    assert np.array_equal(found[weight] < 0.02, zero)
    assert np.allclose(found[weight], np.abs(linear.jacobian(rows)), atol=0.05)


def test_users_29_the_same_seed_gives_the_same_numbers(linear):
    made = [training.train(MLP(width=8), linear, loss_of("mse+sae"), SHORT, seed) for seed in (3, 3, 4)]
    first, again, other = (leaves(one.params) for one in made)
    assert all(map(np.array_equal, first, again)) and made[0].progress.history == made[1].progress.history
    assert not np.array_equal(first[0], other[0])


class Stopped(Exception):
    pass


def test_users_29_a_training_that_resumes_ends_as_one_that_was_not_stopped(linear, tmp_path):
    path = tmp_path / "it.npz"

    def stop(event):
        if event.done >= 20:
            raise Stopped

    model, loss = MLP(width=8), loss_of("mse+msej")
    with pytest.raises(Stopped):
        training.train(model, linear, loss, SHORT, 0, path, stop)
    stored = Checkpoint.read(path)
    assert stored.progress.step == 20 and not stored.progress.finished and stored.state
    resumed = training.train(model, linear, loss, SHORT, 0, path)
    whole = training.train(model, linear, loss, SHORT, 0)
    assert all(map(np.array_equal, leaves(resumed.params), leaves(whole.params)))
    assert resumed.progress.history == whole.progress.history and len(whole.progress.history) == 4
    assert Checkpoint.read(path).progress.finished and not Checkpoint.read(path).state
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(jacdb.FailureError, match=r"is damaged: .* delete it"):
        training.train(model, linear, loss, SHORT, 0, path)


def test_users_29_training_stops_when_validation_no_longer_improves(linear):
    settings = TrainingSettings(steps=10_000, batch_size=32, validate_every=10, patience=2, learning_rate=1.0)
    progress = training.train(MLP(width=8), linear, loss_of("mse"), settings, 0).progress
    assert progress.step < 10_000 and progress.step == progress.best_step + 20
    assert min(loss for _, loss in progress.history) == progress.best_loss


def test_the_line_says_how_many_steps_were_taken_and_which_was_best():
    scores = [Score("test", "all", name, 1, 0.0, 1) for name in ("prediction_mse", "jacobian_mse", "true_sparsity")]
    made = Learned("mlp", False, scores, Progress(step=1000, best_step=750, seconds=2.2))
    assert made.describe().endswith("; 1,000 steps in 2 s, the best after 750")


def test_users_29_a_loss_that_is_not_finite_gets_one_line(linear):
    settings = TrainingSettings(steps=100, batch_size=32, validate_every=50, learning_rate=1e38)
    with pytest.raises(jacdb.FailureError, match="give a smaller --learning-rate"):
        training.train(MLP(width=8), linear, loss_of("mse"), settings, 0)


def test_users_29_the_command_trains_scores_and_resumes(root):
    words = ["learn", "--env", "Linear", "--loss", "mse", "--loss", "mse+sae", "--seeds", "0-1", "--steps", "40",
             "--validate-every", "20", "--set", "width=8", "--data", root]  # fmt: skip
    ran = call_jacdb(*words)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 4 and ran.stdout.count("test error") == 4
    again = call_jacdb(*words)
    assert again.stdout.count("it is there already") == 4
    with jacdb.open(root) as opened:
        runs, scores = opened.learning_runs("Linear"), opened.learning_scores()
        assert runs["loss"].value_counts().sort("loss").rows() == [("mse", 2), ("mse+sae", 2)]
        assert runs["weight"].null_count() == 2 and runs["benchmark"].n_unique() == 1
        assert set(runs["n_scores"]) == set(scores.group_by("run_id").len()["len"])
        errors = opened.sql("""
            select loss, horizon, avg(value) as error from learning_scores inner join learning_runs using (env, run_id)
            where part = 'test' and rows = 'all' and metric = 'prediction_mse' group by all
        """).pl()
        assert set(errors["horizon"]) == {1, 10, 50} and errors["error"].min() > 0
    verified = verification.verify(root)
    assert verified.ok and [check.name for check in verified.checks].count("learned") == 4


@pytest.mark.thorough
def test_rows_of_another_policy_that_come_later_are_scored_without_training_again(root, tmp_path, monkeypatch):
    """The run keeps its id, its parameters and all its other scores."""
    words = ["--env", "Linear", "--policy", "noise", "--data", root]
    commands = [["learn", "--steps", "10", "--validate-every", "10", *words],
                ["score", "--baseline", "mean_pattern", *words]]  # fmt: skip
    first = [call_jacdb(*command) for command in commands]
    assert [ran.returncode for ran in first] == [0, 0]
    shutil.copytree(root, tmp_path / "before")
    before = _scores(root)
    keys = ("run_id", "part", "rows", "metric", "horizon", "threshold", "row", "col")
    assert before.equals(before.sort(keys, nulls_last=True))

    def advance(training):
        raise AssertionError("it trains again")

    monkeypatch.setattr(training.Training, "advance", advance)
    for run, numbers in (("run-c", range(20, 22)), ("run-d", range(22, 24))):  # rows come, and more of them
        add_expert(root, numbers, run)
        again = [call_jacdb(*command) for command in commands]
        assert all(ran.returncode == 0 and "it is there already" not in ran.stdout for ran in again), again[0].stderr
        assert [ran.stdout.split(":")[0] for ran in again] == [ran.stdout.split(":")[0] for ran in first]
        after = _scores(root)
        assert after.filter(pl.col("rows") != "other_policy").equals(before)
        others = after.filter(rows="other_policy", metric="undecided_entries")
        assert others["n"].unique().to_list() == [60 * (numbers.stop - 20) * 15] and len(others) == 2
        assert all("it is there already" in call_jacdb(*command).stdout for command in commands)
    assert not any(check.failed for check in verification.verify(root).checks if check.name == "learned")
    # both have the same runs: what is merged has the scores that only one of them has
    for table in ("learning_runs", "learning_scores"):
        shutil.copytree(root / table, tmp_path / "results" / table)
    merge([tmp_path / "before", tmp_path / "results"], tmp_path / "out")
    assert _scores(tmp_path / "out").equals(after)


def test_a_rescore_that_stopped_before_it_came_to_the_row_is_done_again(root, monkeypatch):
    words = ["score", "--baseline", "mean_pattern", "--env", "Linear", "--policy", "noise", "--data", root, "--quiet"]
    assert call_jacdb(*words).returncode == 0
    add_expert(root, range(20, 22))
    write = results._write

    def stopped(path, folder, table, *rest):
        if table is schemas.LEARNING_RUNS:
            raise FailureError("stopped")
        write(path, folder, table, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(results, "_write", stopped)
        assert call_jacdb(*words).returncode == 1
    assert [check.failed for check in verification.verify(root).checks if check.name == "learned"] == [1]
    assert "it is there already" not in call_jacdb(*words).stdout
    assert [check.failed for check in verification.verify(root).checks if check.name == "learned"] == [0]
    assert "it is there already" in call_jacdb(*words).stdout


def test_scores_of_before_the_version_of_other_policies_rows_was_kept_stay_if_they_are_as_many(root):
    words = ["score", "--baseline", "mean_pattern", "--env", "Linear", "--policy", "noise", "--data", root, "--quiet"]
    add_expert(root, range(20, 22))
    assert call_jacdb(*words).returncode == 0
    [part] = (root / "learning_runs").rglob("*.parquet")
    table = pq.read_table(part, partitioning=None)
    at = table.schema.get_field_index("versions")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(["{}"])), part)
    assert "it is there already" in call_jacdb(*words).stdout
    add_expert(root, range(22, 23), "run-d")
    assert "it is there already" not in call_jacdb(*words).stdout
    part.write_bytes(b"")
    ran = call_jacdb(*words)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (1, 1) and "remove it to score anew" in ran.stderr


def _scores(root):
    with jacdb.open(root) as opened:
        return opened.learning_scores()


def test_users_29_a_changed_score_is_found(root):
    words = ("learn", "--env", "Linear", "--steps", "10", "--validate-every", "10", "--data", root)
    assert call_jacdb(*words).returncode == 0
    [part] = (root / "learning_scores").rglob("*.parquet")
    table = pq.read_table(part, partitioning=None)
    at = table.schema.get_field_index("value")
    pq.write_table(table.set_column(at, table.schema.field(at), pl.Series([0.0] * len(table)).to_arrow()), part)
    [finding] = verification.verify(root).findings
    assert finding.path.startswith("learning_scores/") and "SHA-256" in finding.wrong
    ran = call_jacdb("publish", "alice/it", "--dry-run", "--data", root)
    remedy = re.search("nothing was published: remove (.+), and repeat the `jacdb learn`", ran.stderr)
    assert ran.returncode == 1 and remedy
    shutil.rmtree(remedy[1])
    assert call_jacdb(*words).returncode == 0
    assert call_jacdb("publish", "alice/it", "--dry-run", "--data", root).returncode == 0


def test_users_29_what_was_learned_is_published_and_pulled(root, tmp_path):
    assert (
        call_jacdb("learn", "--env", "Linear", "--steps", "10", "--validate-every", "10", "--data", root).returncode
        == 0
    )
    assert call_jacdb("publish", "alice/learned", "--data", root, token="hf_alice").returncode == 0
    ran = call_jacdb("pull", "alice/learned", "--data", tmp_path / "copy", token="hf_alice")
    assert ran.returncode == 0, ran.stderr
    with jacdb.open(root) as ours, jacdb.open(tmp_path / "copy") as theirs:
        assert len(theirs.learning_scores()) and theirs.learning_scores().equals(ours.learning_scores())
        assert theirs.learning_runs().equals(ours.learning_runs())
    assert verification.verify(tmp_path / "copy").ok
    [path] = (path.relative_to(root) for path in root.glob("checkpoints/*/*.npz"))
    trained = Checkpoint.read(root / path)
    for name, value, said in (("again", 0.0, ""), ("other", 1.0, "; .* stays: it has parameters of the SHA-256")):
        trained.progress.seconds += 1  # as if it had been trained there
        trained.best[0] = trained.best[0] + value
        trained.write(tmp_path / name / path)
        before = (tmp_path / name / path).read_bytes()
        ran = call_jacdb("pull", "alice/learned", "--data", tmp_path / name, token="hf_alice")
        assert ran.returncode == 0 and (re.search(said, ran.stdout) if said else "stays" not in ran.stdout)
        assert len(learning_files.in_folder(tmp_path / name)) == 1
        assert (tmp_path / name / path).read_bytes() == before and verification.verify(tmp_path / name).ok == (not said)
    ran = call_jacdb(
        "query", "learning_runs", "--format", "csv", "--data", "hf://datasets/alice/learned", token="hf_alice"
    )
    assert len(ran.stdout.splitlines()) == 2, ran.stderr


def test_users_29_a_class_in_a_file_is_trained_and_scored(root, tmp_path):
    file = tmp_path / "affine.py"
    file.write_text(OWN_MODEL)
    ran = call_jacdb("learn", "--env", "Linear", "--model", f"{file}:Affine", "--set", "scale=0.1", "--loss", "mse+l1",
                     "--steps", "40", "--validate-every", "20", "--data", root)  # fmt: skip
    assert ran.returncode == 0 and ran.stdout.startswith("Affine-mse_l1-seed0-"), ran.stderr
    with jacdb.open(root) as opened:
        [row] = opened.learning_runs().to_dicts()
    assert row["model"] == "affine.py:Affine" and '"scale": 0.1' in row["configuration"] and row["n_parameters"] == 18


def test_users_29_scores_are_those_of_a_model_that_is_right(linear):
    """The system itself: no error at any horizon, and all its zeros."""
    rows = linear.parts["test"]
    model = MLP(depth=0)
    true = linear.jacobian(rows)[1]
    made = linear.coordinates.normalization
    mean = np.concatenate([made.state.mean, made.action.mean])
    raw = rows.raw_jacobian[1]
    bias = (raw @ mean - made.state.mean) / made.state.deviation
    params = [{"weight": true.T.astype(np.float32), "bias": bias.astype(np.float32)}]
    scores = evaluation.score(evaluation.Evaluator(model, linear), linear, params)
    of = {(one.rows, one.metric, one.horizon, one.threshold): one for one in scores}
    for horizon in (1, 10, 50):
        assert of["all", "prediction_mse", horizon, None].value < 1e-10
    assert of["all", "jacobian_mae", None, None].value < 1e-7
    # the roundoff of every fifth step is no zero, and the model has one there
    zeros = linear.zero(rows)
    assert of["all", "relative_sparsity", None, 1e-6].value == pytest.approx(
        (true == 0).sum() * len(rows) / zeros.sum()
    )
    assert of["free", "relative_sparsity", None, 1e-6].value == pytest.approx(1)
    assert of["contact", "jacobian_mae", None, None].n == (rows.step % 5 == 0).sum()


def test_users_29_learning_again_with_other_settings_is_another_run(linear, root):
    settings = (SHORT, TrainingSettings(steps=20, batch_size=32, validate_every=10))
    made = {
        learn(linear, root, "mlp", loss_of("mse"), settings=one, model_settings={"width": 8}).run_id for one in settings
    }
    assert len(made) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--model", "mpl"], "did you mean mlp"),
        (["--model", "nofile.py:It"], "there is no file nofile.py"),
        (["--model", "it.txt:It"], "FILE.py:Class"),
        (["--set", "widht=3"], "did you mean width"),
        (["--set", "width"], "give NAME=VALUE"),
        (["--set", "width=2.5"], "--set width=2.5: give a whole number, 1 or more"),
        (["--loss", "msee"], "no loss 'msee'"),
        (["--weight", "1"], "has no part on the Jacobian"),
        (["--seeds", "a"], "--seeds a"),
        (["--steps", "0"], "steps=0"),
        (["--target", "x"], "target='x'"),
        (["--policy", "expert"], "no rows of policy 'expert'"),
        (["--env", "CheetaRun"], "CheetaRun"),
    ],
)
def test_users_29_what_is_typed_wrong_gets_one_line(words, told, root):
    env = [] if "--env" in words else ["--env", "Linear"]
    ran = call_jacdb("learn", *env, *words, "--data", root)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1) and told in ran.stderr
    assert not (root / "learning_runs").exists()


@pytest.mark.parametrize(
    ("model", "settings", "told"),
    [
        ("mlp", {"width": "x"}, "--set width=x: give a whole number, 1 or more"),
        ("mlp", {"width": 2.5}, "--set width=2.5: give a whole"),
        ("mlp", {"width": 1e3}, "--set width=1000.0: give a whole"),
        ("mlp", {"width": True}, "--set width=True: give a whole"),
        ("mlp", {"width": 0}, "--set width=0: give a whole"),
        ("mlp", {"depth": -1}, "--set depth=-1: give a whole number, 0 or more"),
        ("fcdl", {"codes": 0}, "--set codes=0: give a whole"),
        ("spartan", {"weight": "nan"}, "--set weight=nan: give a number, 0 or more"),
        ("spartan", {"weight": float("nan")}, "--set weight=nan: give a number"),
        ("cdl", {"threshold": -0.5}, "--set threshold=-0.5: give a number"),
        ("fcdl", {"commitment": 10**400}, "give a number"),
        ("graph_network", {"parents": "x"}, "parents=x: give {"),
    ],
)
def test_users_29_a_setting_of_the_wrong_kind_gets_one_line(model, settings, told):
    with pytest.raises(UsageError) as refused:
        registry.make(model, settings)
    assert told in str(refused.value)


def test_users_29_a_setting_of_the_right_kind_is_taken(tmp_path):
    for model, settings in (
        ("mlp", {"depth": 0}),
        ("spartan", {"weight": 1}),
        ("graph_network", {"rounds": 0, "parents": {"hand": "arm"}}),
    ):
        assert vars(registry.make(model, settings)).items() >= settings.items()
    file = tmp_path / "own.py"  # what a number of its own means, the model knows
    file.write_text(OWN_MODEL)
    assert registry.make(f"{file}:Affine", {"scale": -2}).scale == -2
    with pytest.raises(UsageError, match="--set scale=x: give a number"):
        registry.make(f"{file}:Affine", {"scale": "x"})


def test_users_29_a_function_is_scored_as_it_is(linear, root):
    """The system itself, in its units: it makes no error, and its zeros are the true ones."""
    made = learning.score_function(linear, root, "the system", lambda x, u: jnp.asarray(A) @ x + jnp.asarray(B) @ u)
    with jacdb.open(root) as opened:
        [row] = opened.learning_runs().to_dicts()
        scores = opened.sql("from learning_scores where part = 'test' and rows = 'free'").pl()
    assert (row["model"], row["loss"], row["n_parameters"], row["steps"]) == ("the system", None, None, None)
    assert row["run_id"] == made.run_id and made.run_id.startswith("the_system-") and "test error" in made.describe()
    of = {(metric, threshold): value for metric, threshold, value in scores["metric", "threshold", "value"].iter_rows()}
    assert of["jacobian_mae", None] < 1e-6 and of["relative_sparsity", 1e-6] == pytest.approx(1)


def test_users_29_the_jacobians_of_some_rows_of_a_minibatch_are_enough(linear):
    """On all rows of a minibatch by default; on some, the same part in the mean."""
    loss = loss_of("mse+maej")
    value = MinibatchLoss(MLP(width=8), linear, loss)
    params = training.initial_params(MLP(width=8), linear, 0)
    rows = device_rows(linear, linear.parts["train"].where(np.arange(64)), loss)
    some, rest = ({name: values[at] for name, values in rows.items()} for at in (slice(16), slice(16, None)))
    of_all, of_some = (float(value(params, rows, value.whole(n))) for n in (64, 16))
    parts = [float(value(params, one, value.whole(len(one["state"])))) for one in (some, rest)]
    error = MinibatchLoss(MLP(width=8), linear, loss_of("mse"))
    errors = [float(error(params, one, ())) for one in (rows, some)]
    assert of_some == pytest.approx(errors[0] + parts[0] - errors[1], rel=1e-5)
    assert of_all == pytest.approx((16 * parts[0] + 48 * parts[1]) / 64, rel=1e-5)
