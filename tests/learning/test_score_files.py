"""Files of scores that other programs wrote: read in every form, refused in one line, kept in the dataset."""

import shutil

import numpy as np
import polars as pl
import pytest
from conftest import call_jacdb
from contact_rows import ENV, SHAPE, contact_dataset
from thoroughness import one_in_five

import jacdb
from jacdb import verification

N_ENTRIES = SHAPE[0] * SHAPE[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset, and perfect scores of its rows: made as docs/learning.md says, from the rows and the patterns."""
    folder = tmp_path_factory.mktemp("files")
    root = contact_dataset(folder / "data")
    rows = folder / "rows.parquet"
    assert call_jacdb("score", "--rows", "--env", ENV, "--data", root, "--out", rows).returncode == 0
    with jacdb.open(root) as dataset:
        steps = dataset.sql("select run_id, episode, step, j_state, j_action from steps").pl()
    frame = pl.read_parquet(rows).filter(pl.col("part") != "train").join(steps, on=["run_id", "episode", "step"])
    j = np.concatenate([np.array(frame[name].to_list()) for name in ("j_state", "j_action")], axis=2)
    return root, frame.select("env", "run_id", "episode", "step"), np.abs(j)


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "data")


def wide(made):
    _, keys, scores = made
    return keys.with_columns(pl.Series("scores", scores.reshape(len(scores), -1).tolist()))


def long(made):
    entries = wide(made).with_columns(
        pl.lit([i // SHAPE[1] for i in range(N_ENTRIES)]).alias("row"),
        pl.lit([i % SHAPE[1] for i in range(N_ENTRIES)]).alias("col"),
    )
    return entries.explode("scores", "row", "col").rename({"scores": "score"}).sample(fraction=1, shuffle=True, seed=0)


def write(frame, path):
    frame.write_parquet(path)
    return path


def results(root):
    with jacdb.open(root) as dataset:
        return dataset.learning_runs().drop("seconds", "started"), dataset.learning_scores()


def nested(made):
    _, keys, scores = made
    return keys.drop("env", "run_id").with_columns(pl.Series("scores", scores.tolist()))


@pytest.mark.parametrize(
    "form", ["wide", *(pytest.param(form, marks=pytest.mark.slow) for form in ("nested", "long", "npz"))]
)
def test_users_29_a_file_is_scored_in_every_form(form, made, root, tmp_path):
    path = tmp_path / ("own.npz" if form == "npz" else "own.parquet")
    if form == "npz":
        _, keys, scores = made
        np.savez(path, scores=scores, **{name: keys[name].to_numpy() for name in ("episode", "step")})
    else:
        write({"wide": wide, "nested": nested, "long": long}[form](made), path)
    done = call_jacdb("score", path, "--env", ENV, "--data", root, "--name", "mine", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "auroc 1.000, auprc 1.000, f1 1.000, shd 0.000" in done.stdout
    runs, scores = results(root)
    assert runs["model"].to_list() == ["mine"] and runs["loss"].to_list() == [None]
    found = {(part, rows, metric): value for part, rows, metric, value in
             scores.select("part", "rows", "metric", "value").rows()}  # fmt: skip
    for part in ("validation", "test"):
        for rows in ("all", "contact", "near_switch"):
            assert found[part, rows, "auroc"] == found[part, rows, "f1"] == 1.0
        assert found[part, "all", "switch_f1"] == found[part, "all", "global_auroc"] == 1.0
    sparsity = scores.filter(metric="relative_sparsity", part="test", rows="all", threshold=1e-6)
    assert sparsity["value"].item() == pytest.approx(7.5 / 7.35)  # roundoff is below it, and is no true zero
    again = call_jacdb("score", path, "--env", ENV, "--data", root, "--name", "mine", "--quiet")
    assert again.returncode == 0 and again.stdout.rstrip().endswith("it is there already")
    assert verification.verify(root).ok


@pytest.mark.slow
def test_a_folder_and_a_file_may_be_named_as_an_environment_is(made, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(wide(made), root.rename("gym:pushed") / "own:1.parquet").rename("own:1.parquet")
    for told in ("auroc 1.000", "it is there already"):
        done = call_jacdb("score", "own:1.parquet", "--env", ENV, "--data", "gym:pushed", "--quiet")
        assert done.returncode == 0 and told in done.stdout, done.stderr


@pytest.mark.slow
def test_users_29_baselines_need_no_file(made, root):
    done = call_jacdb("score", "--baseline", "mean_pattern", "--baseline", "contact_oracle", "--env", ENV,
                      "--data", root, "--quiet")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line.split("-")[0] for line in done.stdout.splitlines()] == ["mean_pattern", "contact_oracle"]
    assert sorted(results(root)[0]["model"]) == ["contact_oracle", "mean_pattern"]


def changed(frame, name, value, line=5):
    """The frame with another value in one line."""
    return frame.with_columns(pl.when(pl.int_range(pl.len()) == line).then(pl.lit(value)).otherwise(name).alias(name))


WRONG = {
    "no such file": (lambda made, path: path, "there is no such file"),
    "no parquet": (lambda made, path: path.write_bytes(b"no") and path, "can't be read"),
    "no lines": (lambda made, path: write(wide(made).head(0), path), "it has no lines"),
    "missing column": (lambda made, path: write(long(made).drop("col"), path), "has no col, only"),
    "other environment": (
        lambda made, path: write(wide(made).with_columns(env=pl.lit("Other")), path), "has scores of Other, not of Tou",
    ),
    "shape": (
        lambda made, path: write(wide(made).with_columns(pl.col("scores").list.head(9)), path),
        "have 9 numbers: give 3 x 4",
    ),
    "one short list": (
        lambda made, path: write(changed(wide(made), "scores", [1.0]), path), "have 1 numbers: give 3 x 4",
    ),
    "row": (lambda made, path: write(changed(long(made), "row", 3), path), "no such entry"),
    "NaN": (lambda made, path: write(changed(long(made), "score", float("nan")), path), "a score is nan: run run-0"),
    "infinity": (
        lambda made, path: write(changed(long(made), "score", float("inf")), path), "a score is inf: run run-0",
    ),
    "null": (lambda made, path: write(changed(long(made), "score", None), path), "score has 1 nulls"),
    "text": (
        lambda made, path: write(long(made).with_columns(pl.col("score").cast(pl.String)), path), "give numbers",
    ),
    "fractions": (
        lambda made, path: write(long(made).with_columns(pl.col("step").cast(pl.Float64)), path), "give integers",
    ),
    "missing steps": (
        lambda made, path: write(wide(made).slice(3), path),
        "3 of 40 steps of the validation part lack scores, first episode",
    ),
    "missing entry": (
        lambda made, path: write(long(made).filter(~((pl.col("row") == 1) & (pl.col("col") == 2))), path),
        "row 1, col 2; jacdb score --rows lists them all",
    ),
    "twice": (
        lambda made, path: write(pl.concat([long(made), long(made).head(4)]), path), "4 scores are there twice",
    ),
    "unknown episode": (
        lambda made, path: write(changed(wide(made), "episode", 77), path), "no such episode: run run-0, episode 77",
    ),
    "unknown step": (
        lambda made, path: write(changed(wide(made), "step", 40), path), "there is no such step: run run-0, episode",
    ),
    "negative step": (
        lambda made, path: write(changed(wide(made), "step", -1), path), "there is no such step: run run-0, episode",
    ),
    "unknown run": (
        lambda made, path: write(wide(made).with_columns(run_id=pl.lit("run-9")), path), "did you mean run-0?",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", one_in_five(WRONG))
def test_users_29_a_wrong_file_gets_one_line_and_leaves_nothing(case, made, root, tmp_path):
    make, said = WRONG[case]
    path = make(made, tmp_path / "wrong.parquet")
    done = call_jacdb("score", path, "--env", ENV, "--data", root, "--quiet")
    assert done.returncode == 2 and done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"jacdb: {path}") and said in line
    assert not (root / "learning_runs").exists() and not (root / "learning_scores").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (lambda keys, scores: {"scores": scores[:, :2]}, "are of shape (120, 2, 4): give (n, 3, 4)"),
        (lambda keys, scores: {"scores": scores[1:]}, "episode is of shape (120,): give (119,), as scores have"),
        (lambda keys, scores: {"scores": scores.astype(object)}, "can't be read"),
        (lambda keys, scores: {}, "has no scores, only episode, step"),
    ],
)
def test_users_29_wrong_arrays_get_one_line(arrays, said, made, root, tmp_path):
    _, keys, scores = made
    path = tmp_path / "wrong.npz"
    named = {name: keys[name].to_numpy() for name in ("episode", "step")}
    np.savez(path, **named, **arrays(keys, scores))
    done = call_jacdb("score", path, "--env", ENV, "--data", root, "--quiet")
    assert done.returncode == 2 and done.stdout == ""
    [line] = done.stderr.splitlines()
    assert said in line and not (root / "learning_runs").exists()


@pytest.mark.slow
def test_users_29_episodes_of_several_runs_need_their_run(made, tmp_path):
    root = contact_dataset(tmp_path / "data", runs=2)
    path = write(wide(made).drop("run_id"), tmp_path / "own.parquet")
    done = call_jacdb("score", path, "--env", ENV, "--data", root, "--quiet")
    assert done.returncode == 2 and "several runs of Touching have the same episodes: add their run_id" in done.stderr
    done = call_jacdb("score", "--rows", "--env", ENV, "--data", root, "--out", tmp_path / "rows.csv")
    assert done.returncode == 0 and "3 x 4 scores" in done.stdout
    assert pl.read_csv(tmp_path / "rows.csv")["run_id"].n_unique() == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give one of these: a FILE of scores, --baseline NAME, or --rows"),
        (("x.parquet", "--rows"), "give one of these"),
        (("--rows",), "give --out rows.parquet"),
        (("--baseline", "none"), "no baseline 'none': there are contact_oracle"),
        (("--baseline", "mean_pattern", "--name", "x"), "--name is for a FILE of scores"),
        (("x.parquet", "--out", "y.csv"), "--out is for --rows"),
        (("scores.txt",), "give a file of scores that ends in .parquet or .npz"),
    ],
)
def test_users_29_wrong_words_get_one_line(words, said, made):
    done = call_jacdb("score", *words, "--env", ENV, "--data", made[0], "--quiet")
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
