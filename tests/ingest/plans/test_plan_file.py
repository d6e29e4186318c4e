"""A plan of many runs, as a YAML file; what is wrong in it is told in one line, with the entry."""

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, call_jacdb

from jacdb import UsageError
from jacdb.cli import plan_commands
from jacdb.dataset.shard import Shard
from jacdb.ingest.plans import plan_file, planned_runs
from jacdb.ingest.requested_run import RequestedRun

SAMPLE = Path(__file__).parents[3] / "datasets" / "sample"
PLAN = """
runs:
  - env: [CartpoleBalance, CheetahRun]
    policy: [noise, expert]
    seed: 0-2
    episodes: 10
    shards: 2
    beta: 1
  - {model: robot.xml, substeps: 5, num-envs: 3}
"""

# Calls a command of a plan, which a package in its folder stands for, and tells whether Python forked as JAX, whose
# threads may then deadlock, warns of.
CALLING = """
import os, sys
from pathlib import Path
from jacdb.ingest.plans.planned_command import PlannedCommand
os.register_at_fork(before=lambda: os.write(1, b"forked"))
os.chdir(sys.argv[1])
PlannedCommand("learn", ("--env", "E"), False).carry_out(Path("data"), lambda event: None)
"""
CALLED = """
import os, sys, time
pipe = os.open("pipe", os.O_WRONLY)
os.write(pipe, " ".join(sys.argv[1:]).encode())
time.sleep(60)
os.write(pipe, b"goes on")
"""


def plan(folder, text: str):
    (folder / "plan.yaml").write_text(text)
    return plan_file.read(folder / "plan.yaml", plan_commands.known())


def check(folder, text: str) -> None:
    planned_runs.check(plan(folder, text), folder / "data", plan_commands.known())


def test_an_entry_stands_for_all_combinations_each_in_its_shards(tmp_path):
    runs = plan(tmp_path, PLAN)
    assert len(runs) == len({*runs}) == 2 * 2 * 3 * 2 + 1
    noise = RequestedRun(env="CartpoleBalance", episodes=10, beta=1.0)
    assert runs[:2] == noise.shards(2) and runs[1].shard == Shard(1, 2)
    assert runs[-1] == RequestedRun(model="robot.xml", substeps=5, num_envs=3)
    assert plan(tmp_path, "- env: CheetahRun") == [RequestedRun(env="CheetahRun")]


def test_a_run_of_a_plan_has_the_options_of_its_policy(tmp_path):
    both = "- {env: CartpoleBalance, policy: expert, deterministic: [false, true], beta: 0}"
    with pytest.raises(UsageError, match=r"beta=0\.0 is of noise"):
        check(tmp_path, both)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- env: [a", "is no YAML"),
        ("env: CheetahRun", "give a list of entries"),
        ("[]", "names no run"),
        ("- CheetahRun", "entry 1 is 'CheetahRun': give options"),
        ("- env: CheetahRun\n- evn: CheetahRun", "did you mean env?"),
        ("- {env: CheetahRun, shard: 0/2}", "no option 'shard'"),
        ("- {env: CheetahRun, seed: one}", "seed is 'one': give a whole number"),
        ("- {env: CheetahRun, seed: true}", "seed is true: give a whole number"),
        ("- {env: CheetahRun, steps: null}", "steps is null: give a whole number, or leave it out"),
        ("- {env: CheetahRun, steps: 1:30}", "steps is '1:30': give a whole number"),
        ("- {env: CheetahRun, deterministic: yes}", "deterministic is 'yes': give true or false"),
        ("- {env: CheetahRun, seed: !!int one}", "plan.yaml, line 1: 'one' can't be read as int: give another value"),
        ("- env: CheetahRun\n  deterministic: !!bool maybe", "line 2: 'maybe' can't be read as bool"),
        ("- {env: CheetahRun, beta: !!float ''}", "line 1: '' can't be read as float"),
        ("- {env: CheetahRun, beta: !!timestamp foo}", "line 1: 'foo' can't be read as timestamp"),
        (f"- {{env: CheetahRun, beta: !!float {'1:' * 200}1}}", "can't be read as float"),
        (f"- {{env: CheetahRun, seed: {'9' * 5000}}}", "99' can't be read as int"),
        ("- ", "entry 1 is null: give options"),
        ("- [null, a]", "entry 1 is [null, a]: give options"),
        ("- {command: null}", "no command null in plans"),
        ("- {env: CheetahRun, ~: 3}", "no option null: there are beta, "),
        ("- {env: CheetahRun, seed: {a: null}}", "seed is {a: null}: give a whole number"),
        ("- env: CheetahRun\n  seed: 1\n  seed: 2", "plan.yaml, line 3: seed stands twice in an entry, in line 2 too"),
        ("- env: CheetahRun\n  num_envs: 1\n  num-envs: 2", "line 3: num-envs stands twice"),
        ("- {env: CheetahRun, episodes: 1.5}", "episodes is 1.5: give a whole number"),
        ("- {env: CheetahRun, beta: high}", "beta is 'high': give a number"),
        ("- {env: 7}", "env is 7: give a text"),
        ("- {env: []}", "env has no value"),
        ("- {env: CheetahRun, shards: [1, 2]}", "shards is 1, 2: give one number"),
        ("- {env: CheetahRun, shards: 9}", "entry 1: shards=9: a run of 8 episodes has no more shards"),
        ("- {env: CheetahRun, seed: 0-999999, policy: [noise, zero]}", "stands for 2,000,000 shards"),
        ("- {command: publish, name: me/data}", "no command 'publish' in plans: give ingest, annotate, learn"),
        ("- {command: learn, env: CheetahRun, sed: 1}", "no option 'sed'"),
        ("- {command: learn, env: CheetahRun, shards: 2}", "no option 'shards'"),
        ("- {command: learn, loss: mse}", "Missing option '--env'"),
        ("- {command: annotate, env: CheetahRun}", "Missing argument 'source'"),
        (
            "- {command: verify, sample: many}",
            "'--sample': Input should be a valid integer, unable to parse string as an integer (given: 'many')",
        ),
        ("- {command: verify, data: elsewhere}", "no option 'data'"),
        ("- {command: train, env: CheetahRun, no_small: true}", "no option 'no_small': give small: false"),
        ("- {command: train, env: CheetahRun, small: 1}", "small is 1: give true or false"),
        ("- {command: learn, env: CheetahRun, seeds: false}", "seeds is false: give a value, or leave it out"),
        ("- {command: learn, env: CheetahRun, steps: null}", "steps is null: give a value, or leave it out"),
        ("- {command: learn, env: CheetahRun, seeds: [[0, 1]]}", "seeds is [0, 1]: a call takes one value of it"),
        ("- {command: learn, env: CheetahRun, set: [[]]}", "set has no value"),
        ("- {command: annotate, source: true, model: robot.xml}", "source is true: give a value"),
        ("- {command: annotate, source: a.npz, tolerance: true}", "tolerance is true: give a value"),
    ],
)
def test_what_is_wrong_in_a_plan_is_named(text, said, tmp_path):
    with pytest.raises(UsageError) as told:
        plan(tmp_path, text)
    assert said in str(told.value) and "plan.yaml" in str(told.value) and "\n" not in str(told.value)


def test_a_plan_that_is_nested_too_deeply_is_named(tmp_path):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 150)
    try:
        with pytest.raises(UsageError, match=r"plan\.yaml is nested too deeply: give a list of entries") as told:
            plan(tmp_path, "[" * 200)
    finally:
        sys.setrecursionlimit(limit)
    assert "\n" not in str(told.value)


def test_an_entry_may_name_another_command(tmp_path):
    text = """
    - {command: annotate, source: [a.npz, b.npz], model: robot.xml, shards: 2}
    - {command: learn, env: CheetahRun, loss: [mse, mse+sae], seeds: 0-2}
    - {command: train, env: CheetahRun, small: [true, false], seed: 0-1}
    - {command: learn, env: CheetahRun, set: [width=16, [width=32, depth=010]]}
    """
    commands = plan(tmp_path, text)
    assert [command.words for command in commands] == [
        "annotate a.npz --model robot.xml --shard 0/2",
        "annotate a.npz --model robot.xml --shard 1/2",
        "annotate b.npz --model robot.xml --shard 0/2",
        "annotate b.npz --model robot.xml --shard 1/2",
        "learn --env CheetahRun --loss mse --seeds 0-2",
        "learn --env CheetahRun --loss mse+sae --seeds 0-2",
        "train --env CheetahRun --small --seed 0",
        "train --env CheetahRun --small --seed 1",
        "train --env CheetahRun --no-small --seed 0",
        "train --env CheetahRun --no-small --seed 1",
        "learn --env CheetahRun --set width=16",
        "learn --env CheetahRun --set width=32 --set depth=010",
    ]
    assert [command.on_data for command in commands] == [True] * 6 + [False] * 4 + [True] * 2


def test_numbers_of_a_plan_are_read_as_people_mean_them(tmp_path):
    [run] = plan(tmp_path, "- {model: robot.xml, episodes: 010, steps: 1_000, beta: 1e-1, keyframe: 0}")
    assert run == RequestedRun(model="robot.xml", episodes=10, steps=1000, beta=0.1, keyframe="0")


def test_what_an_entry_has_itself_replaces_what_is_merged_into_it(tmp_path):
    runs = plan(tmp_path, "- &first {env: CheetahRun, num-envs: 3}\n- {<<: *first, num_envs: 4}")
    assert [run.num_envs for run in runs] == [3, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process that its parent is lost")
def test_a_call_is_begun_without_forking_threads_and_ends_with_who_began_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "jacdb").mkdir()
    (tmp_path / "jacdb" / "__main__.py").write_text(CALLED)
    (tmp_path / "jacdb" / "__init__.py").touch()
    with subprocess.Popen([sys.executable, "-c", CALLING, tmp_path], cwd=ROOT, stdout=subprocess.PIPE) as process:
        pipe = os.open(tmp_path / "pipe", os.O_RDONLY)
        assert os.read(pipe, 100) == b"learn --env E --quiet"
        process.kill()
        assert os.read(pipe, 100) == b"", "it ended without another word"
        assert process.communicate()[0] == b""
    os.close(pipe)


@pytest.mark.slow
def test_commands_of_a_plan_are_carried_out_and_failures_named(tmp_path):
    copy = shutil.copytree(SAMPLE, tmp_path / "data")
    good, bad = sorted(path.name.partition("=")[2] for path in (copy / "runs").iterdir())[:2]
    next(copy.glob(f"journal/environment={bad}/run=*/SHA256SUMS")).write_text("damaged")
    (tmp_path / "plan.yaml").write_text(f"- {{command: verify, env: [{good}, {bad}], sample: 0}}")
    told = call_jacdb("ingest", "--plan", tmp_path / "plan.yaml", "--data", copy, "--quiet")
    assert told.returncode == 1 and told.stderr.count("\n") == 1
    assert f"verify --env {bad} --sample 0: " in told.stderr and "finding" in told.stderr
    assert good in told.stdout and " keys " in told.stdout


def test_all_of_a_plan_is_checked_before_any_is_carried_out(tmp_path):
    with pytest.raises(UsageError, match="CartpoleBalance"):
        check(tmp_path, "- env: CartpoleBalance\n- env: CartpoleBalence")
    with pytest.raises(UsageError, match="dtype is float32 and float64"):
        check(tmp_path, "- {env: CartpoleBalance, dtype: [float32, float64]}")
    for seeds in (f"[{2**63}, 0]", "[-1, 0]"):  # the last is in its range
        with pytest.raises(UsageError, match=r"seed=.* give a whole number from 0"):
            check(tmp_path, f"- {{env: CartpoleBalance, seed: {seeds}}}")
    assert not (tmp_path / "data").exists()


CARTPOLE = "- env: CartpoleBalance\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {command: verify, env: NoSuch}", "verify --env NoSuch: there are no rows in"),
        (CARTPOLE + "- {command: verify, env: NoSuch}", "verify --env NoSuch: there is no run of 'NoSuch'"),
        ("- {command: verify}\n" + CARTPOLE, "verify: there are no rows"),
        (CARTPOLE + "- {command: verify, sample: -1}", "verify --sample -1: sample=-1: give"),
        (CARTPOLE + "- {command: verify, out: no/such.csv}", "there is no folder no"),
        (
            CARTPOLE + "- {command: verify, sample: [0, 1], out: v.csv}",
            "`verify --sample 0 --out v.csv` writes v.csv, too",
        ),
        (CARTPOLE + "- {command: learn, env: CartpoleBalance, steps: -5}", "steps=-5: give 1 or more"),
        (CARTPOLE + "- {command: learn, env: CartpoleBalance, seeds: 0-}", "--seeds 0-: give numbers"),
        (CARTPOLE + "- {command: learn, env: CartpoleBalance, loss: [mse, mmse]}", "'mmse'"),
        (CARTPOLE + "- {command: learn, env: CartpoleBalance, model: 'mine.py:Mine'}", "there is no file mine.py"),
        ("- {command: train, env: NoSuch}", "unknown environment 'NoSuch'"),
        (
            "- {command: train, env: CheetahRun, seed: [0, 1]}",
            "`train --env CheetahRun --seed 0` writes CheetahRun.saf",
        ),
        ("- {command: annotate, source: no.npz, model: r.xml}", "annotate no.npz --model r.xml: no.npz: there is no"),
        ("- {command: annotate, source: SAMPLE/runs, model: r.xml}", "there is no model file r.xml"),
        ("- {command: annotate, source: SAMPLE/runs, tolerance: 0}", "tolerance=0.0: give a positive number"),
        (
            "- {command: annotate, source: SAMPLE/runs, model: ROBOT, dtype: float64}\n" + CARTPOLE,
            "dtype is float32 and float64",
        ),
        ("- {command: annotate, source: SAMPLE/runs, model: ROBOT, substeps: 0}", "substeps=0: give a whole number"),
        ("- {command: annotate, source: SAMPLE/runs, model: ROBOT, substeps: 1_000_000_000_000}", "from 1 to 100,000"),
        ("- {command: annotate, source: SAMPLE/runs, env: Pend}", "--env Pend: recordings are of gymnasium:NAME"),
        ("- {command: annotate, source: SAMPLE/runs, env: 'gymnasium:Ant-v5', model: ROBOT}", "leave one out"),
        ("- {command: annotate, source: SAMPLE/runs}", "does not say which model it is of"),
        ("- {model: ROBOT, substeps: 0}", "substeps=0: give a whole number"),
        ("- {model: ROBOT}\n- {command: verify, env: robot-2}", "no run of 'robot-2' in"),
        ("- {model: 'ROBOT.py:make'}\n- {command: verify, env: a_robot}", "there are a_robot.xml.make; did"),
    ],
)
def test_calls_of_commands_are_checked_before_any_run(text, said, tmp_path):
    for name in ("a robot.xml", "a robot.xml.py"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError) as told:
        check(tmp_path, text.replace("SAMPLE", str(SAMPLE)).replace("ROBOT", f"{tmp_path}/a robot.xml"))
    assert said in str(told.value) and "\n" not in str(told.value)


def test_a_call_may_read_what_is_there_or_made_before_it(tmp_path):
    there = next((SAMPLE / "runs").iterdir()).name.partition("=")[2]
    text = f"- env: CartpoleBalance\n- {{command: [verify, learn], env: [CartpoleBalance, {there}]}}"
    for command in ("verify", "learn"):
        each = text.replace("[verify, learn]", command)
        planned_runs.check(plan(tmp_path, each), SAMPLE, plan_commands.known())
    (tmp_path / "a robot.xml").touch()
    robot = f"model: {tmp_path}/a robot.xml"
    recorded = f"- {{command: annotate, source: {SAMPLE}/runs, {robot}, shards: 2}}\n"
    check(tmp_path, recorded + "- {command: verify, env: Recorded}")
    check(tmp_path, f"- {{{robot}}}\n- {{command: verify, env: a_robot}}")


def test_an_environment_that_gymnasium_lacks_is_named_before_any_run(tmp_path):
    pytest.importorskip("gymnasium")
    recorded = f"- {{command: annotate, source: {SAMPLE}/runs, env: 'gymnasium:%s'}}\n"
    for name in ("Nosuch-v9", "Ant-v99"):
        with pytest.raises(UsageError, match=f"gymnasium can't make '{name}': ") as told:
            check(tmp_path, recorded % name)
        assert "\n" not in str(told.value)
    check(tmp_path, recorded % "Ant-v5" + "- {command: verify, env: Ant-v5}")
    with pytest.raises(UsageError, match="no run of 'Nosuch'"):
        check(tmp_path, recorded % "Ant-v5" + "- {command: verify, env: Nosuch}")


@pytest.mark.slow
def test_a_plan_makes_what_is_missing_and_names_what_failed(tmp_path):
    """The policy of the second entry fails where it is called; the third is made nevertheless."""
    (tmp_path / "cart.xml").write_text(
        """<mujoco model="cart"><worldbody><body><joint name="x" type="slide" axis="1 0 0"/><geom size=".1"/></body>
        </worldbody><actuator><motor name="push" joint="x"/></actuator></mujoco>"""
    )
    (tmp_path / "mine.py").write_text("def act(obs, rng):\n    return [1.0, 2.0]\n")
    model = f"model: {tmp_path}/cart.xml, episodes: 2, steps: 5"
    (tmp_path / "plan.yaml").write_text(
        f"- {{{model}, shards: 2}}\n- {{{model}, policy: '{tmp_path}/mine.py:act'}}\n- {{{model}, seed: 7}}\n"
    )
    words = ["ingest", "--plan", tmp_path / "plan.yaml", "--data", tmp_path / "data", "--quiet"]
    told = call_jacdb(*words)
    assert told.returncode == 1 and told.stdout.count("\n") == 3 and told.stderr.count("\n") == 1
    assert "ctrl of shape (2,)" in told.stderr and "could not be made; repeat the command" in told.stderr
    again = call_jacdb(*words)
    assert again.stdout.count("there already, nothing to do") == 3
