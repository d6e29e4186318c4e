"""A model of a person's own: in a file, in a package, added by an entry point, with a loss of its own."""

import shutil

import jax
import numpy as np
import pytest
from learning_rows import OWN_MODEL

from jacdb.errors import UsageError
from jacdb.learning import training
from jacdb.learning.loss_names import loss_of
from jacdb.learning.models import registry
from jacdb.learning.models.mlp import MLP
from jacdb.learning.training_settings import TrainingSettings

pytestmark = pytest.mark.slow
SHORT = TrainingSettings(steps=40, batch_size=32, validate_every=10)


def test_users_29_a_file_that_holds_no_model_gets_one_line(tmp_path):
    file = tmp_path / "it.py"
    for text, told in (
        ("x = 1 +", "can't be loaded: SyntaxError"),
        ("class Other: pass", "no class 'It'"),
        ("class It:\n    def init(self, key, sizes): pass", "no method predict"),
        ("class It:\n    def __init__(self): raise ValueError('no')", ": no"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=told):
            registry.make(f"{file}:It", {})


def test_a_module_beside_a_models_file_is_part_of_what_determines_it(tmp_path):
    file, helper = tmp_path / "own.py", tmp_path / "own_helper.py"
    file.write_text(OWN_MODEL)
    alone = registry.described(f"{file}:Affine", object(), {})
    assert set(alone) == {"model", "settings", "source_sha256"}
    file.write_text(
        OWN_MODEL + "    def later(self):\n        from parts.deep import value\n        import own_helper, math\n"
    )
    helper.write_text("import own\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "deep.py").write_text("from .deeper import value\n")
    (tmp_path / "parts" / "deeper.py").write_text("value = 1\n")
    (tmp_path / "parts" / "unused.py").write_text("")
    before = registry.described(f"{file}:Affine", object(), {})["imports_sha256"]
    assert list(before) == ["own_helper", "parts", "parts.deep", "parts.deeper"]
    (tmp_path / "parts" / "deeper.py").write_text("value = 2\n")
    after = registry.described(f"{file}:Affine", object(), {})["imports_sha256"]
    assert {name for name in before if before[name] != after[name]} == {"parts.deeper"}


def test_a_model_in_a_package_may_import_through_it(tmp_path):
    file, net = tmp_path / "mine" / "zoo" / "own.py", tmp_path / "mine" / "net.py"
    file.parent.mkdir(parents=True)
    file.write_text(OWN_MODEL + "    def later(self):\n        import jax\n        from mine.net import depth\n")
    net.write_text("from .zoo import own\nfrom . import other\nimport beside\n")
    for at in (net.with_name("__init__.py"), net.with_name("other.py"), file.with_name("__init__.py")):
        at.write_text("")
    (tmp_path / "beside.py").write_text("")
    found = registry.described(f"{file}:Affine", object(), {})["imports_sha256"]
    assert list(found) == ["beside", "mine", "mine.net", "mine.other", "mine.zoo"]
    installed = shutil.copytree(tmp_path / "mine", tmp_path / "site-packages" / "mine")
    assert "imports_sha256" not in registry.described(f"{installed / 'zoo' / 'own.py'}:Affine", object(), {})


def test_users_29_a_package_adds_a_model_by_an_entry_point(tmp_path, monkeypatch):
    info = tmp_path / "own-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\naffine = own_model:Affine\nbroken = no_such:It\n")
    (tmp_path / "own_model.py").write_text(OWN_MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    assert {"affine", "mlp"} <= set(registry.names())
    assert registry.make("affine", {"scale": 2.0}).scale == 2.0
    with pytest.raises(UsageError, match="no_such:It can't be loaded"):
        registry.make("broken", {})


def test_users_29_a_models_own_loss_takes_the_place_of_the_squared_error(linear):
    class Penalized(MLP):
        def loss(self, params, state, action, target, key):
            of_prediction = ((self.predict(params, state, action) - target) ** 2).mean()
            return of_prediction + 10 * sum((leaf**2).sum() for leaf in jax.tree.leaves(params))

    sizes = [
        sum(
            np.abs(leaf).sum()
            for leaf in jax.tree.leaves(training.train(kind(width=8), linear, loss_of("mse"), SHORT, 0).params)
        )
        for kind in (MLP, Penalized)
    ]
    assert sizes[1] < 0.9 * sizes[0]
