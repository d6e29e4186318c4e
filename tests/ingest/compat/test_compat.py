"""What jacdb takes from behind the public names of others is there, and as it was; if not, the message says what to do.

Where a name is gone, jacdb.ingest.compat can't be imported, nor can conftest.py. Tests of names and versions import
neither: ``pytest --noconftest -n 0 -k "names or versions" tests/ingest/compat`` then says which name it is.
"""

import ast
import importlib
import importlib.metadata
import importlib.util
import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jacdb.errors import UsageError

COMPAT = Path(__file__).parents[3] / "ingest" / "compat"
MODULES = sorted(path.stem for path in COMPAT.glob("*.py") if path.stem != "__init__")
EXTRAS = {"dm_control"}  # modules for a package that the ingest extra does not bring
MJX = "mujoco.mjx._src"
# Private function -> its parameters
MJX_FUNCTIONS = {
    "collision_driver.collision": "m d",
    "collision_driver.geom_pairs": "m",
    "collision_driver._geom_groups": "m",
    "collision_driver._contact_groups": "m d",
    "constraint._kbi": "m solref solimp pos",
    "constraint._efc_equality_connect": "m d",
    "constraint._efc_equality_weld": "m d",
    "constraint._efc_equality_joint": "m d",
    "constraint._efc_equality_tendon": "m d",
    "constraint._efc_friction": "m d",
    "constraint._efc_limit_ball": "m d",
    "constraint._efc_limit_slide_hinge": "m d",
    "constraint._efc_limit_tendon": "m d",
    "derivative.deriv_smooth_vel": "m d",
    "forward.fwd_position": "m d",
    "forward.fwd_velocity": "m d",
    "forward.fwd_actuation": "m d",
    "forward.fwd_acceleration": "m d",
    "forward.euler": "m d",
    "forward.implicit": "m d",
    "math.quat_mul_axis": "q axis",
    "math.make_frame": "a",
    "math.quat_to_axis_angle": "q",
    "passive._spring_damper": "m d",
    "passive._gravcomp": "m d",
    "sensor.sensor_pos": "m d",
    "sensor.sensor_vel": "m d",
    "sensor.sensor_acc": "m d",
    "smooth.kinematics": "m d",
    "smooth.com_pos": "m d",
    "smooth.tendon": "m d",
    "smooth.transmission": "m d",
    "smooth.factor_m": "m d",
    "smooth.solve_m": "m d x",
    "solver.solve": "m d",
    "support.full_m": "m d",
    "support.mul_m": "m d vec",
    "support.is_sparse": "m",
    "support.xfrc_accumulate": "m d",
    "support.jac": "m d point body_id",
    "support.muscle_gain": "length vel lengthrange acc0 prm",
    "forward._next_activation": "m d act_dot",
}
# no functions
MJX_OBJECTS = {"collision_driver._COLLISION_FUNC", "constraint._Efc", "io.logging"}
# Other function that is private, or not promised to stay -> its parameters
OTHER_FUNCTIONS = {
    "mujoco_playground._src.mjx_env.step": "model data action n_substeps",
    "brax.training.pmap.assert_is_replicated": "x debug",
    "jax.interpreters.partial_eval.dce_jaxpr": "jaxpr used_outputs instantiate live_inputs",
    "jax._src.compilation_cache.get_file_cache": "path",
    "jax._src.compilation_cache.decompress_executable": "executable",
    "jax._src.xla_bridge.backends_are_initialized": "",
}
OTHER_OBJECTS = {
    "mujoco_playground._src.mjx_env.MENAGERIE_COMMIT_SHA": "playground",
    "mujoco_playground._src.mjx_env.MENAGERIE_PATH": "playground",
    "mujoco.mjx._src.types.WrapType": "playground",
    "jax._src.compilation_cache_interface.CacheInterface": "jax",
    "jax.extend.core.Jaxpr": "jax",
    "jax.extend.core.jaxpr_as_fun": "jax",
}
# Fields of mjx.Data that are the JAX implementation's own
IMPL_FIELDS = (
    *("contact", "ncon", "ne", "nf", "nl", "nefc", "efc_J", "efc_D", "efc_aref", "efc_force", "efc_frictionloss"),
    *("efc_pos", "efc_margin", "M", "ten_J", "ten_velocity", "actuator_moment", "actuator_velocity"),
)


def attribute(path):
    """What a dotted path names; None if there is no such thing."""
    module, name = path.rsplit(".", 1)
    try:
        return getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None


def parameters(function):
    """Names of a function's parameters; of what jacdb has put in its place, those of the original."""
    return " ".join(inspect.signature(inspect.unwrap(function)).parameters)


def written_against(module):
    """WRITTEN_AGAINST of a module of compat, read from its source."""
    for node in ast.parse((COMPAT / f"{module}.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "WRITTEN_AGAINST":
            return ast.literal_eval(node.value)
    raise AssertionError(f"ingest/compat/{module}.py does not say what it was written against: give WRITTEN_AGAINST")


@pytest.mark.parametrize("module", MODULES)
def test_versions_are_those_that_the_module_was_written_against(module):
    if module in EXTRAS and importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is an extra, and not installed")
    for package, written in written_against(module).items():
        installed = importlib.metadata.version(package)
        assert installed.split(".")[:2] == written.split(".")[:2], (
            f"{package} is {installed}, ingest/compat/{module}.py was written against {written}: read that module"
            " beside the new sources, mend it, and raise WRITTEN_AGAINST and the cap in pyproject.toml"
        )


@pytest.mark.parametrize("name", MJX_FUNCTIONS)
def test_names_of_private_functions_of_mjx_are_there(name):
    function = attribute(f"{MJX}.{name}")
    assert function is not None, f"MJX has no {name} any more: find what replaced it, and mend ingest/compat/mjx.py"
    taken = parameters(function)
    assert taken == MJX_FUNCTIONS[name], f"MJX's {name} takes ({taken}) now: mend ingest/compat/mjx.py"


def test_names_of_mjx_that_are_used_are_all_tested():
    """Every ``module.name`` of compat/mjx.py, its modules being those that it imports from ``mujoco.mjx._src``."""
    tree = ast.parse((COMPAT / "mjx.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == MJX]
    modules = {alias.name for node in imports for alias in node.names}
    used = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    }
    assert used == {*MJX_FUNCTIONS, *MJX_OBJECTS}, "list in this test what ingest/compat/mjx.py uses, and no more"
    for name in MJX_OBJECTS:
        assert attribute(f"{MJX}.{name}") is not None, f"MJX has no {name} any more: mend ingest/compat/mjx.py"


@pytest.mark.parametrize("name", OTHER_FUNCTIONS)
def test_names_of_other_functions_are_there(name):
    file = {"mujoco_playground": "playground"}.get(name.split(".")[0], name.split(".")[0])
    function = attribute(name)
    assert function is not None, f"there is no {name} any more: mend ingest/compat/{file}.py"
    taken = parameters(function)
    assert taken == OTHER_FUNCTIONS[name], f"{name} takes ({taken}) now: mend ingest/compat/{file}.py"


@pytest.mark.parametrize("name", OTHER_OBJECTS)
def test_names_of_other_objects_are_there(name):
    assert attribute(name) is not None, f"there is no {name} any more: mend ingest/compat/{OTHER_OBJECTS[name]}.py"


@pytest.mark.slow
def test_names_of_jax_s_programs_stand_in_compat_alone():
    """``jax.extend`` and ``jax.interpreters`` promise nothing."""
    root = COMPAT.parent
    outside = [path for path in root.rglob("*.py") if path.parent != COMPAT]
    users = [
        f"{path.relative_to(root.parent)}:{node.lineno}"
        for path in outside
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        if module.startswith(("jax.extend", "jax.interpreters", "jax._src"))
    ]
    assert not users, f"give them a name in ingest/compat/jax.py: {users}"


def test_a_jax_program_tells_which_inputs_its_outputs_read():
    """Also through a loop, where a later turn may read what the first does not."""
    from jacdb.ingest.compat import jax as compat_jax

    def program(total, step, later, unread):
        def turn(carry, _):
            total, step, later, unread = carry
            return (total + step, later, later, 2 * unread), None

        (total, *_, unread), _ = jax.lax.scan(turn, (total, step, later, unread), length=2)
        return total, unread

    traced = jax.make_jaxpr(program)(1.0, 2.0, 3.0, 4.0)
    less, read = compat_jax.without_unread(traced, [True, False])
    assert list(read) == [True, True, True, False]
    assert [float(value) for value in compat_jax.as_function(less)(1.0, 2.0, 3.0)] == [6.0]
    assert list(compat_jax.without_unread(traced, [False, True])[1]) == [False, False, False, True]
    assert [float(value) for value in compat_jax.as_function(traced)(1.0, 2.0, 3.0, 4.0)] == [6.0, 16.0]


def test_data_of_the_jax_implementation_has_its_fields(system):
    from jacdb.ingest.compat import mjx as compat_mjx

    model = system("CartpoleBalance").mj_model  # loaded before anything is traced, or its arrays were tracers
    data = jax.eval_shape(lambda: compat_mjx.mjx.make_data(model, impl="jax"))
    missing = [name for name in IMPL_FIELDS if not hasattr(compat_mjx.impl(data), name)]
    assert not missing, f"MJX's data has no {missing} any more: mend their uses (grep 'impl(')"
    assert hasattr(compat_mjx.impl(data).contact, "dist")


@pytest.mark.slow
def test_replacements_of_mjx_reach_its_stages_and_go_again():
    """What forward dynamics replaces while it is traced is what MJX's own step calls."""
    import mujoco

    from jacdb.ingest.compat import mjx as compat_mjx

    ball = '<body><joint type="ball" stiffness="1"/><geom size=".1"/></body>'
    mj_model = mujoco.MjModel.from_xml_string(
        f"<mujoco><worldbody>{ball}<geom type='plane' size='1 1 1'/></worldbody></mujoco>"
    )
    model = compat_mjx.mjx.put_model(mj_model, impl="jax")
    called = []

    def instead(name, original):
        def replacement(*arguments):
            called.append(name)
            return original(*arguments)

        return replacement

    originals = {name: getattr(compat_mjx, name) for name in ("collision", "impedance", "factor_mass", "solve_mass")}
    originals["rotation_vector"] = lambda quat: quat[1:]
    data = compat_mjx.mjx.make_data(mj_model, impl="jax")
    with compat_mjx.patched(**{name: instead(name, original) for name, original in originals.items()}):
        jax.eval_shape(lambda: compat_mjx.mjx.step(model, data))
    unreached = {*originals} - {*called}
    assert not unreached, f"mjx.step no longer calls {unreached} by the names that ingest/compat/mjx.py replaces"
    called.clear()
    jax.eval_shape(lambda: compat_mjx.mjx.step(model, data.replace(time=data.time + 1)))
    assert not called


@pytest.mark.slow
def test_every_environment_hands_its_physics_to_the_one_function(system):
    from jacdb.ingest.compat import playground as compat_playground

    loaded, seen = system("CartpoleBalance"), []

    def physics(model, data, ctrl, n_substeps):
        seen.append(n_substeps)
        return data

    state = jax.eval_shape(loaded.env.reset, jax.random.key(0))
    with compat_playground.intercept_physics(physics):
        jax.eval_shape(loaded.env.step, state, jnp.zeros(loaded.spec.d_action))
    assert seen == [loaded.spec.n_substeps], "Playground steps its physics elsewhere: mend ingest/compat/playground.py"


def test_playground_s_repairs_are_still_needed():
    """One that is not should go."""
    from jacdb.ingest.compat import playground as compat_playground

    with pytest.raises(TypeError):
        jnp.clip(jnp.zeros(1), a_max=1.0)  # as two environments call it
    assert jnp.float32 is not jnp.float64
    for module in compat_playground.NAMES_FLOAT32:
        assert "float32" in inspect.getsource(module), f"{module.__name__} names float32 no more: drop its repair"
    for module in compat_playground.CALLS_CLIP_BY_A_MAX:
        assert "a_max" in inspect.getsource(module), f"{module.__name__} calls clip as JAX has it: drop its repair"


def test_the_tendons_repair_is_still_needed():
    """MJX takes a square root of an arc's length, whose derivative at length 0 is NaN (test_tendon_repair.py)."""
    from mujoco.mjx._src import support

    assert "jp.sqrt(wlen * wlen + height * height)" in inspect.getsource(support.wrap), (
        "MJX measures arcs otherwise: see whether ingest/compat/playground.py still has to replace smooth.tendon"
    )


@pytest.mark.slow
def test_brax_s_repair_is_still_needed():
    from brax.training import pmap
    from brax.training.agents.ppo import train

    from jacdb.ingest.compat import brax as compat_brax

    assert "device_put_replicated" in inspect.getsource(train), "Brax trains without it: drop ingest/compat/brax.py"
    assert not hasattr(jax, "device_put_replicated"), "JAX has it again: drop ingest/compat/brax.py"
    before = pmap.assert_is_replicated
    with compat_brax.state_carried({}):
        [device, *_] = jax.devices()
        spread = jax.device_put_replicated({"a": np.arange(3)}, [device])
        assert spread["a"].shape == (1, 3)
    assert not hasattr(jax, "device_put_replicated") and pmap.assert_is_replicated is before
    new = {"a": np.zeros(3), "b": np.ones(2), "nothing": {}}
    with compat_brax.state_carried({"a": np.arange(3.0)}, is_part=True):
        begun = jax.device_put_replicated(new, [device])
    assert np.array_equal(begun["a"][0], np.arange(3)) and np.array_equal(begun["b"][0], np.ones(2))
    whole = {"a": np.arange(3.0), "b": np.zeros(2)}
    with compat_brax.state_carried(whole):
        assert not jax.device_put_replicated(new, [device])["b"].any()
    for other in ({"a": whole["a"]}, {**whole, "c": whole["a"]}):
        with compat_brax.state_carried(other), pytest.raises(UsageError, match=r"one lacks [bc]\."):
            jax.device_put_replicated(new, [device])
    assert "assert_is_replicated" in inspect.getsource(train), "Brax's PPO ends elsewhere: mend ingest/compat/brax.py"
