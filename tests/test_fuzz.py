"""Broken and hostile input ends in an answer or in one line, and changes nothing.

``--fuzz 10000`` tries so many inputs; the suite tries some.
"""

import random
import re
import shutil

import pytest
from conftest import ROOT
from hub_datasets import contents

import jacdb
from jacdb import JacdbError, queries
from jacdb.dataset import integrity, manifest
from jacdb.dataset.layout import PartPath
from jacdb.ingest.policies.network import Network

FROZEN = ROOT / "tests" / "frozen" / "v1"
POLICY = ROOT / "datasets" / "policies" / "CartpoleBalance.safetensors"
TOKENS = """select from where group by all order limit steps runs axes patterns episodes global_sparsity unnest j_state
    state * ( ) , ; ' " -- /* */ 1 0 -1 1e400 null true 'a' $1 ? [ ] { } = < and or not case when then end as with
    recursive union join lateral using on copy to attach load install pragma set call create table view drop insert
    read_parquet('/etc/passwd') read_csv('*') read_text('/etc/hosts') glob('/**') getenv('HOME') duckdb_settings()
    range(100000000000) repeat('x',1000000000) list(range) sum max(n) struct_pack(a:=1) x::bit blob '\\x00' \udcff"""


@pytest.fixture
def chance(pytestconfig):
    return random.Random(0), pytestconfig.getoption("fuzz") // 4


def mutated(content: bytes, chance: random.Random, tail: int | None = None) -> bytes:
    """The bytes with some changed, cut off, left out or doubled; of the last ``tail`` if it is given."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5, 30))):
        at = chance.randrange(max(0, len(data) - (tail or len(data))), len(data)) if data else 0
        match chance.randrange(5):
            case 0 | 1:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 2:
                data[at : at + chance.randrange(1, 20)] = chance.randbytes(chance.randrange(20))
            case 3:
                data[at:at] = data[at : at + chance.randrange(50)]
            case 4 if chance.random() < 0.1:
                del data[at:]
    return bytes(data)


@pytest.mark.slow
def test_sql(chance, tmp_path):
    random_, count = chance
    root = shutil.copytree(FROZEN, tmp_path / "data")
    before, answers = contents(root), 0
    valid = [re.sub("--.*", "", queries.sql(name)).split() for name in queries.VIEWS]
    tokens = TOKENS.split()
    with jacdb.Dataset(root, timeout=2.0, memory=0.2) as dataset:
        for _ in range(count):
            words = random_.choices(tokens, k=random_.randrange(1, 12))
            if random_.random() < 0.5:
                words = [*random_.choice(valid)]
                for _ in range(random_.randrange(4)):
                    words[random_.randrange(len(words))] = random_.choice(tokens)
            try:
                dataset.fetch(dataset.sql(" ".join(words)))
                answers += 1
            except JacdbError as error:
                assert str(error) and "Traceback" not in str(error)
        assert len(dataset.fetch(dataset.sql("from steps"))) == 40
    assert contents(root) == before and contents(tmp_path).keys() == {f"data/{path}" for path in before}
    assert answers


def test_policy_files(chance, tmp_path):
    random_, count = chance
    content, path = POLICY.read_bytes(), tmp_path / "it.safetensors"
    for number in range(count):
        path.write_bytes(mutated(content, random_) if number % 2 else mutated(content[:2000], random_) + content[2000:])
        try:
            Network.load(path)
        except JacdbError as error:
            assert "it.safetensors" in str(error)


def test_manifests(chance):
    random_, count = chance
    [run] = manifest.finished(FROZEN)
    text = (FROZEN / run.manifest).read_bytes()
    for _ in range(count):
        changed = mutated(text, random_)
        try:
            sums = manifest.decode(changed.decode("ascii", "replace"), run)
        except JacdbError as error:
            assert run.manifest in str(error)
        else:  # what is taken for a manifest names parts of this run alone, and says what it says
            assert manifest.encode(sums).encode() == changed
            assert all(part and part.run == run for part in map(PartPath.parse, sums))


@pytest.mark.slow
def test_parquet(chance, tmp_path):
    """One file broken, mostly in its footer: every view answers, or says in a line that it can't."""
    random_, count = chance
    root = shutil.copytree(FROZEN, tmp_path / "data")
    paths = sorted(root.rglob("*.parquet"))
    for _ in range(count // 2):
        path = random_.choice(paths)
        whole = path.read_bytes()
        path.write_bytes(mutated(whole, random_, tail=random_.choice((8, 300, 4000, len(whole)))))
        part = PartPath.parse(path.relative_to(root).as_posix())
        with path.open("rb") as stream:
            integrity.check_footer(stream, part)
        try:
            with jacdb.Dataset(root, timeout=5.0, memory=1.0) as dataset:
                view = random_.choice(("steps", "global_sparsity", "axes", "runs", "threshold_sweep", "zero_durations"))
                dataset.fetch(dataset.view(view))
        except JacdbError as error:
            assert str(error) and "Traceback" not in str(error)
        finally:
            path.write_bytes(whole)
