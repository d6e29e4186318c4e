"""What a person's own Python file may import, and that its hash names what it got."""

import pickle
import sys
import types

import pytest

from jacdb import file_module
from jacdb.errors import UsageError
from jacdb.ingest.models.python_file import PythonFunction
from jacdb.learning.models import registry

MODEL = (
    "from __future__ import annotations\nfrom dataclasses import dataclass\n{imports}\n"
    "@dataclass(frozen=True)\nclass Net:\n    scale: float = value\n"
    "    def init(self, key, sizes): return {{}}\n    def predict(self, params, state, action): return value\n"
)


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(file_module._BESIDE, "folders", [])
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("beside_it", "mine")]:
        del sys.modules[name]


def files(folder, **texts):
    """Write files of a folder, by their names without .py; return the first."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    return folder / f"{next(iter(texts))}.py"


def model(file):
    return registry.make(f"{file}:Net", {})


def test_a_model_may_be_a_dataclass_whose_annotations_are_text(tmp_path):
    assert model(files(tmp_path, net=MODEL.format(imports="value = 2.0"))).scale == 2


def test_files_whose_modules_have_one_name_each_get_their_own(tmp_path):
    nets = [
        files(tmp_path / f"be{n}", net=MODEL.format(imports="from beside_it import value"), beside_it=f"value = {n}")
        for n in (1, 2)
    ]
    assert [model(net).scale for net in (*nets, *nets)] == [1, 2, 1, 2]
    function = files(
        tmp_path / "be3", policy="from beside_it import value\ndef pi(): return value", beside_it="value=3"
    )
    assert PythonFunction(f"{function}:pi")() == 3
    for n, net in enumerate(nets, start=1):
        assert file_module.imports(net) == {"beside_it": tmp_path / f"be{n}" / "beside_it.py"}


def test_a_module_that_changed_is_read_anew(tmp_path):
    net = files(tmp_path, net=MODEL.format(imports="from beside_it import value"), beside_it="value = 1")
    assert model(net).scale == 1
    files(tmp_path, beside_it="value = 10 + 1")
    assert model(net).scale == 11


@pytest.mark.parametrize(
    "imports",
    [
        "from mine.common import value",
        "from ..common import value",
        "from .deep import value",
        "from . import deep as d",
    ],
)
def test_a_model_in_a_package_imports_through_it(imports, tmp_path):
    after = "\nvalue = d.value" if imports.endswith("d") else ""
    files(tmp_path / "mine", __init__="from mine.zoo import net", common="value = 4.0")
    net = files(tmp_path / "mine" / "zoo", net=MODEL.format(imports=imports + after), deep="value = 4.0", __init__="")
    assert model(net).scale == 4
    common, deep = {"mine", "mine.common"}, {"mine", "mine.zoo", "mine.zoo.deep"}
    assert (common if "common" in imports else deep) <= file_module.imports(net).keys()


def test_a_relative_import_of_no_package_says_what_to_write(tmp_path):
    net = files(tmp_path, net="from . import beside_it", beside_it="value = 4")
    for refused in (lambda: model(net), lambda: PythonFunction(f"{net}:pi")):
        with pytest.raises(UsageError, match="write `import NAME` of what lies beside the file"):
            refused()


def test_what_lies_beside_a_file_hides_nothing_that_is_installed(tmp_path, monkeypatch):
    files(tmp_path / "installed", beside_it="value = 7")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    net = files(
        tmp_path / "be", net=MODEL.format(imports="import json\nfrom beside_it import value"), json="", beside_it=""
    )
    assert model(net).scale == 7
    assert file_module.imports(net) == {}


def test_modules_that_the_program_had_imported_stay_its_own(tmp_path, monkeypatch):
    net = files(tmp_path, net=MODEL.format(imports="from beside_it import value"), beside_it="value = 5")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    import beside_it

    assert (model(net).scale, model(net).scale) == (5, 5) and sys.modules["beside_it"] is beside_it


def test_modules_that_the_program_imports_later_stay_its_own(tmp_path, monkeypatch):
    first = files(tmp_path, first="", beside_it="class State: pass")
    other = files(tmp_path / "other", other="import beside_it\nname = beside_it.__file__", beside_it="")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])  # as in a notebook
    file_module.load(first)
    import beside_it

    assert file_module.load(other).name == beside_it.__file__ and file_module.imports(other) == {}
    file_module.load(first)
    assert pickle.loads(pickle.dumps(beside_it.State())).__class__ is beside_it.State


def test_asking_what_a_file_imports_forgets_nothing(tmp_path):
    first, second = (files(tmp_path / f"be{n}", net="import beside_it", beside_it="class State: pass") for n in (1, 2))
    theirs = file_module.load(first).beside_it
    assert file_module.imports(second) == {"beside_it": tmp_path / "be2" / "beside_it.py"}
    assert sys.modules["beside_it"] is theirs and pickle.dumps(theirs.State())


def test_pythons_path_stays_what_it_was(tmp_path, monkeypatch):
    first, second = (files(tmp_path / f"be{n}", net="import beside_it", beside_it="") for n in (1, 2))
    file_module.load(first)
    monkeypatch.setattr(sys, "path", [str(first.parent), *sys.path])
    before = [*sys.path]
    file_module.load(second)
    assert sys.path == before


def test_a_mere_folder_in_pythons_path_hides_no_module_beside_a_file(tmp_path, monkeypatch):
    (tmp_path / "here" / "beside_it").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "here")])
    net = files(tmp_path / "be", net="from beside_it import value", beside_it="value = 8")
    assert file_module.load(net).value == 8 and file_module.imports(net).keys() == {"beside_it"}


def test_modules_that_compute_their_attributes_are_not_asked(tmp_path, monkeypatch):
    class Lazy(types.ModuleType):
        def __getattr__(self, name):
            raise RuntimeError(name)

    monkeypatch.setitem(sys.modules, "lazy", Lazy("lazy"))
    net = files(
        tmp_path, net="import beside_it", beside_it="import sys, types\nsys.modules['lazy2'] = sys.modules['lazy']"
    )
    for _ in range(2):
        assert file_module.load(net)
    del sys.modules["lazy2"]


@pytest.mark.parametrize("package", ["", "mine", "types"])
def test_what_two_files_of_one_name_define_can_be_pickled(package, tmp_path):
    nets = [files(tmp_path / f"be{n}" / package, **{"net.v1": "class Net: pass", "__init__": ""}) for n in (1, 2)]
    made = [file_module.load(net).Net() for net in nets]
    assert [type(pickle.loads(pickle.dumps(one))) for one in made] == [type(one) for one in made]


def test_a_file_that_fails_leaves_the_module_of_before(tmp_path):
    net = files(tmp_path, net="class Net: pass")
    names = {*sys.modules}
    made = file_module.load(net).Net()
    files(tmp_path, net="class Net: broken", other="broken")
    for file in (net, tmp_path / "other.py"):
        with pytest.raises(NameError):
            file_module.load(file)
    assert pickle.dumps(made) and {*sys.modules} - names == {type(made).__module__}


@pytest.mark.parametrize(
    ("folder", "text", "remedy"),
    [
        ("types", "from .helper import X", r"Python finds another module 'types': rename the folder .*types$"),
        ("mine", "import helper", "write `from mine import NAME` of what lies beside the file"),
    ],
)
def test_a_relative_import_in_a_package_says_what_is_in_the_way(folder, text, remedy, tmp_path):
    net = files(tmp_path / folder, net=text, helper="from . import X", __init__="")
    with pytest.raises(ImportError, match=remedy):
        file_module.load(net)
    sys.modules.pop("helper", None)
