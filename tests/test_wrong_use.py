"""What a person can type wrong: one line that names the value, exit code 2, nothing written, and no slow import."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT

INGEST = ["ingest", "--env", "CartpoleBalance"]
TRAIN = ["train", "--env", "CartpoleBalance"]
HEATMAP = ["plot", "heatmap", "--env", "CheetahRun"]
# What is typed, and what the line says of it
WRONG = [
    ([*INGEST, "--episodes", "0"], "episodes=0"),
    ([*INGEST, "--episodes", "99999999"], "episodes=99999999"),
    ([*INGEST, "--episodes", "two"], "'two'"),
    ([*INGEST, "--steps", "0"], "steps=0"),
    ([*INGEST, "--num-envs", "-1"], "num_envs=-1"),
    ([*INGEST, "--seed", "-1"], "seed=-1"),
    ([*INGEST, "--seed", str(2**63)], "seed=9223372036854775808"),
    ([*INGEST, "--method", "magic"], "'magic'"),
    ([*INGEST, "--resume", "--data", "a_folder"], "nothing to resume"),
    ([*INGEST, "--dtype", "float16"], "'float16'"),
    ([*INGEST, "--memory", "0"], "memory=0"),
    ([*INGEST, "--memory", "nan"], "memory=nan"),
    ([*INGEST, "--steps", "100000", "--memory", "0.001"], "--memory allows 0.001"),
    ([*INGEST, "--policy", "genius"], "'genius'"),
    ([*INGEST, "--policy", "nofile.safetensors"], "no policy file nofile.safetensors"),
    ([*INGEST, "--policy", "broken.safetensors"], "broken.safetensors is no policy"),
    ([*INGEST, "--policy", f"{ROOT}/datasets/policies/CheetahRun.safetensors"], "a policy for CheetahRun"),
    ([*INGEST, "--policy", "zero", "--deterministic"], "deterministic goes with"),
    ([*INGEST, "--policy", "zero", "--beta", "0"], "beta=0.0 goes with noise, not with zero"),
    ([*INGEST, "--policy", "expert", "--scale", "0.2"], "scale=0.2 goes with noise, not with expert"),
    ([*INGEST, "--policy", "expert", "--deterministic", "--beta", "0"], "beta=0.0 is of noise"),
    ([*INGEST, "--policy", "expert", "--beta", "9"], "beta=9"),
    ([*INGEST, "--beta", "9"], "beta=9"),
    ([*INGEST, "--scale", "-1"], "scale=-1"),
    ([*INGEST, "--data", "a_file"], "a_file is a file"),
    ([*INGEST, "--data", "hf://datasets/alice/dynamics"], "jacdb publish"),
    ([*INGEST, "--data", "s3://bucket/data"], "s3: begins an address: give a folder"),
    ([*INGEST, "--data", "s3://bucket/data", "--ray", "local"], "s3: begins an address: give a folder"),
    ([*INGEST, "--data", "gymnasium:Ant-v5"], "/gymnasium:Ant-v5 if that is its name"),
    ([*INGEST, "--data", "C:\\data"], "a path with a backslash; give the folder another name"),
    (["ingest", "--env", "CheetaRun"], "CheetahRun"),
    (["ingest", "--env", "HalfCheetah-v5"], "did you mean gymnasium:HalfCheetah-v5?"),
    (["ingest", "--env", "AlohaHandOver", "--policy", "expert"], "no expert for AlohaHandOver"),
    (["ingest"], "--env"),
    ([*INGEST, "--shard", "4/4"], "--shard 4/4: give I/N"),
    ([*INGEST, "--shard", "x"], "--shard x: give I/N"),
    ([*INGEST, "--shard", "0/9"], "a run of 8 episodes has no more shards"),
    ([*INGEST, "--shard", "0/2", "--resume", "--data", "a_folder"], "nothing to resume"),
    ([*INGEST, "--shards", "0"], "shards=0"),
    ([*INGEST, "--shards", "9"], "a run of 8 episodes has no more shards"),
    ([*INGEST, "--shards", "2", "--shard", "0/2"], "leave out --shard"),
    ([*INGEST, "--task-cpus", "1"], "give its address"),
    ([*INGEST, "--ray", "nowhere"], "--ray nowhere: give local, auto, or HOST:PORT"),
    ([*INGEST, "--ray", "127.0.0.1:9"], "--ray 127.0.0.1:9: no cluster answers (Connection refused)"),
    ([*INGEST, "--ray", "local", "--task-gpus", "-1"], "--task-gpus -1"),
    ([*INGEST, "--store", "s3://bucket"], "--store s3://bucket is where nodes of a Ray cluster leave shards"),
    ([*INGEST, "--ray", "local", "--store", "a_folder"], "--store a_folder: give an address that all nodes can write"),
    ([*INGEST, "--ray", "local", "--store", "memory://x"], "--store memory://x: give an address that all nodes"),
    ([*INGEST, "--ray", "local", "--store", "s4://bucket"], "--store s4://bucket: Protocol not known: s4"),
    ([*INGEST, "--ray", "local", "--store", "oss://bucket"], "--store oss://bucket needs a package: pip install ossfs"),
    ([*INGEST, "--ray", "local", "--store", "file:///dev/null/x"], "/x can't be written (Not a directory)"),
    ([*INGEST, "--ray", "local", "--store", "file:///"], "--store file:/// names no bucket or folder"),
    ([*INGEST, "--plan", "a_file"], "leave out the options of one"),
    (["ingest", "--plan", "nofile.yaml"], "--plan nofile.yaml can't be read"),
    (["ingest", "--plan", "a_file"], "give a list of entries"),
    (["annotate", "walks.npz", "--shard", "-1/2"], "--shard -1/2: give I/N"),
    (["merge", "nowhere"], "nowhere has neither runs nor shards"),
    (["merge", "a_folder", "--data", "a_file"], "a_file is a file"),
    (["merge", "a_folder", "--data", "s3://bucket"], "s3: begins an address"),
    (["merge", "s3://bucket", "--data", "new"], "s3: begins an address"),
    ([*TRAIN, "--legs", "0"], "legs=0"),
    ([*TRAIN, "--num-timesteps", "0"], "num_timesteps=0"),
    ([*TRAIN, "--device", "tpu"], "'tpu'"),
    ([*TRAIN, "--from", "noise"], "noise is no trained policy"),
    ([*TRAIN, "--from", "best"], "unknown policy 'best'"),
    ([*TRAIN, "--from", "nofile.safetensors"], "no policy file nofile.safetensors"),
    ([*TRAIN, "--from", f"{ROOT}/datasets/policies/CheetahRun.safetensors"], "a policy for CheetahRun"),
    ([*TRAIN, "--out", "it.txt"], ".safetensors"),
    ([*TRAIN, "--out", "nodir/it.safetensors"], "no folder nodir"),
    ([*HEATMAP, "--out", "nodir/a.png"], "no folder nodir"),
    ([*HEATMAP, "--out", "a.gif"], ".png, .pdf, .svg"),
    ([*HEATMAP, "--out", "a_folder"], "a_folder is a folder"),
    ([*HEATMAP, "--out", "a.png", "--episode", "1"], "only timeline"),
    (["plot", "heatmp", "--env", "CheetahRun", "--out", "a.png"], "did you mean heatmap?"),
    (["plot", "heatmap", "--env", "CheetaRun", "--out", "a.png"], "did you mean CheetahRun?"),
    (["graph", "--env", "CheetahRun", "--out", "nodir/a.json"], "no folder nodir"),
    (["graph", "--env", "CheetahRun", "--out", "a.txt"], ".graphml, .json"),
    (["report", "--out", "a_file"], "a_file is a file"),
    (["report", "--out", "."], "is no report: give a new folder"),
    (["explore", "--data", "nowhere"], "jacdb ingest"),
    (["explore", "--data", "a_folder"], "jacdb ingest"),
    (["explore", "--env", "CheetaRun"], "did you mean CheetahRun?"),
    (["explore", "--port", "65536"], "--port 65536"),
    (["explore", "--port", "x"], "'x'"),
    (["explore", "--out", "a_file"], "a_file is a file"),
    (["explore", "--out", "site", "--env", "Cheeta"], "CheetahRun"),
    (["explore", "--parts-at", "https://host/"], "give --out too"),
    (["explore", "--out", "site", "--parts-at", "host"], "--parts-at host"),
    (["export", "hdf", "--env", "CheetahRun", "--out", "a"], "'hdf'"),
    (["export", "npz", "--env", "CheetahRun", "--out", "a.csv"], ".npz"),
    (["export", "lerobot", "--env", "CheetahRun", "--out", "a_folder"], "a_folder exists"),
    (["query", "global_sparsty"], "did you mean global_sparsity?"),
    (["query", "steps", "--env", "Cartpol"], "CartpoleBalance"),
    (["query", "lyapunov", "--window", "0"], "window=0"),
    (["query", "steps", "--window", "3"], "steps has no windows"),
    ([*HEATMAP, "--out", "a.png", "--window", "3"], "only lyapunov"),
    (["query", "steps", "--format", "xml"], "markdown"),
    (["query", "steps", "--memory", "0"], "memory=0"),
    (["query", "steps", "--data", "nowhere"], "jacdb ingest"),
    (["query", "steps", "--data", "a_folder"], "jacdb ingest"),
    (["query", "steps", "--data", "no where"], "make one with `jacdb ingest --env … --data 'no where'`"),
    (["runs", "--data", "a folder"], "give --data 'a folder/within it'"),
    (["query", "steps", "--where", "stp < 3"], "stp"),
    (["query", "steps", "--where", " "], "condition ' ' is empty: give one, as in step < 20"),
    (["sql", "from steps", "--where", "/* x */ -- y"], "is empty"),
    (["query", "steps", "--where", "step << 20"], "is INTEGER, not true or false"),
    (["query", "steps", "--data", f"{ROOT}/datasets"], f"itself: give --data {ROOT}/datasets/sample"),
    (["query"], "'name'; see jacdb query --help"),
    (["plot"], "'name'; see jacdb plot --help"),
    (["upgrade", "nowhere", "--out", "new"], "no dataset at nowhere: give the folder of one of"),
    (["spark-views", "--data", "nowhere"], "jacdb ingest"),
    (["spark-views", "--data", "hf://datasets/alice/dynamics"], "jacdb pull"),
    (["spark-views", "--data", f"{ROOT}/datasets/sample", "--env", "CheetaRun"], "did you mean CheetahRun?"),
    (["sql", "drop view steps"], "only SELECT"),
    (["sql", "selec"], "selec"),
    (["sql", "a_file"], "give --file a_file"),
    (["sql", "$a_file"], "give --file '$a_file'"),
    (["score", "nofile.npz", "--env", "CheetahRun"], "nofile.npz: there is no such file; docs/learning.md"),
    (["sql", "select * from read_text('/etc/hosts')"], "/etc/hosts"),
    (["runs", "--data", "nowhere"], "nowhere"),
    (["runs", "--data", "hf://datasets/alice/dynamics"], "jacdb pull"),
    (["query", "steps", "--data", "s3://bucket"], "s3: begins an address"),
    (["query", "steps", "--data", "https://hf.co/datasets/a/b"], "is a page: give a folder, or hf://datasets/OWNER/NAME"),
    (["verify", "--env", "Cheeta"], "CheetahRun"),
    (["verify", "--sample", "-1"], "sample=-1"),
    (["publish", "noname"], "OWNER/NAME"),
    (["publish", "alice/dynamics", "--tag", "1.0"], "v1.0.0"),
    (["pull", "noname"], "OWNER/NAME"),
    (["pull", "alice/dynamics", "--data", "s3://bucket"], "s3: begins an address"),
    (["nosuch"], "'nosuch'; see jacdb --help"),
    (["query", "steps", "--nosuch"], "see jacdb query --help"),
]  # fmt: skip
SLOW = {"jax", "matplotlib", "networkx", "pandas"}  # a second, between them; none is needed to refuse
# All of it in one process, in which whoever imports one of them is seen
PROGRAM = """
import contextlib, io, json, sys
from jacdb import cli
answers = []
for words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["jacdb", *words]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
            code = None
        except SystemExit as ended:
            code = ended.code
    answers.append([code, out.getvalue(), err.getvalue(), [*sys.modules]])
json.dump(answers, sys.stdout)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each of WRONG answers: exit code, stdout, stderr, and what was imported by then."""
    here = tmp_path_factory.mktemp("wrong")
    (here / "a_file").touch()
    (here / "$a_file").touch()
    (here / "a_folder").mkdir()
    (here / "a folder" / "within it" / "axes" / "environment=E").mkdir(parents=True)
    (here / "broken.safetensors").write_text("not at all")
    before = sorted(here.rglob("*"))
    environment = {**os.environ, "JACDB_DATA": str(ROOT / "datasets" / "sample")}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps([words for words, _ in WRONG]),
        cwd=here, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert sorted(here.rglob("*")) == before, "something was written"
    return json.loads(ran.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(WRONG)), ids=[" ".join(words)[:60] for words, _ in WRONG])
def test_users_12_what_is_typed_wrong_is_told_in_one_line_and_soon(number, answers):
    code, out, err, imported = answers[number]
    assert (code, out) == (2, "")
    assert err.startswith("jacdb: ") and err.count("\n") == 1
    assert WRONG[number][1] in err
    assert SLOW.isdisjoint(imported)
