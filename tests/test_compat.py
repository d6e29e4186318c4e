"""What jacdb takes from behind the public names of others is there, and as it was; if not, the message says what to do.

It reads the packages themselves, not jacdb.ingest.compat, which could not be imported if a name were gone.
"""

import importlib
import importlib.metadata
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jacdb.ingest.compat import brax as compat_brax
from jacdb.ingest.compat import mjx as compat_mjx
from jacdb.ingest.compat import playground as compat_playground

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
}
# Fields of mjx.Data that are the JAX implementation's own
IMPL_FIELDS = (
    *("contact", "ncon", "ne", "nf", "nl", "nefc", "efc_J", "efc_D", "efc_aref", "efc_force", "efc_frictionloss"),
    *("efc_pos", "efc_margin", "M", "ten_J", "ten_velocity", "actuator_moment", "actuator_velocity"),
)


@pytest.mark.parametrize("module", [compat_mjx, compat_playground, compat_brax], ids=lambda m: m.__name__)
def test_versions_are_those_that_the_module_was_written_against(module):
    for package, written in module.WRITTEN_AGAINST.items():
        there = importlib.metadata.version(package)
        assert there.split(".")[:2] == written.split(".")[:2], (
            f"{package} is {there}, {module.__name__} was written against {written}: read that module beside the new"
            " sources, mend it, and raise WRITTEN_AGAINST and the cap in pyproject.toml"
        )


@pytest.mark.parametrize("name", MJX_FUNCTIONS)
def test_private_functions_of_mjx_are_there(name):
    module, function = name.split(".")
    found = getattr(importlib.import_module(f"{MJX}.{module}"), function, None)
    assert found is not None, f"MJX has no {name} any more: find what replaced it, and mend ingest/compat/mjx.py"
    parameters = " ".join(inspect.signature(found).parameters)
    if parameters == "model data":  # jacdb's own replacement of smooth.tendon, once installed
        parameters = "m d"
    assert parameters == MJX_FUNCTIONS[name], f"MJX's {name} takes ({parameters}) now: mend ingest/compat/mjx.py"


def test_data_of_the_jax_implementation_has_its_fields(system):
    data = jax.eval_shape(lambda: compat_mjx.mjx.make_data(system("CartpoleBalance").mj_model, impl="jax"))
    missing = [name for name in IMPL_FIELDS if not hasattr(compat_mjx.impl(data), name)]
    assert not missing, f"MJX's data has no {missing} any more: mend their uses (grep 'impl(')"
    assert hasattr(compat_mjx.impl(data).contact, "dist")


def test_replacements_of_mjx_reach_its_stages_and_go_again(system):
    """What forward dynamics replaces while it is traced is what MJX's own step calls."""
    model = system("CartpoleBalance").mjx_model
    called = []

    def instead(name, original):
        def replacement(*arguments):
            called.append(name)
            return original(*arguments)

        return replacement

    originals = {name: getattr(compat_mjx, name) for name in ("collision", "impedance", "factor_mass", "solve_mass")}
    data = compat_mjx.mjx.make_data(system("CartpoleBalance").mj_model, impl="jax")
    with compat_mjx.patched(**{name: instead(name, original) for name, original in originals.items()}):
        jax.eval_shape(lambda: compat_mjx.mjx.step(model, data))
    unreached = {*originals} - {*called}
    assert not unreached, f"mjx.step no longer calls {unreached} by the names that ingest/compat/mjx.py replaces"
    called.clear()
    jax.eval_shape(lambda: compat_mjx.mjx.step(model, data.replace(time=data.time + 1)))
    assert not called


def test_every_environment_hands_its_physics_to_the_one_function(system):
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
    with pytest.raises(TypeError):
        jnp.clip(jnp.zeros(1), a_max=1.0)  # as two environments call it
    assert jnp.float32 is not jnp.float64
    for module in compat_playground.NAMES_FLOAT32:
        assert "float32" in inspect.getsource(module), f"{module.__name__} names float32 no more: drop its repair"
    for module in compat_playground.CALLS_CLIP_BY_A_MAX:
        assert "a_max" in inspect.getsource(module), f"{module.__name__} calls clip as JAX has it: drop its repair"


def test_brax_s_repair_is_still_needed():
    from brax.training import pmap
    from brax.training.agents.ppo import train

    assert "device_put_replicated" in inspect.getsource(train), "Brax trains without it: drop ingest/compat/brax.py"
    assert not hasattr(jax, "device_put_replicated"), "JAX has it again: drop ingest/compat/brax.py"
    before = pmap.assert_is_replicated
    with compat_brax.state_carried({}):
        [device, *_] = jax.devices()
        spread = jax.device_put_replicated({"a": np.arange(3)}, [device])
        assert spread["a"].shape == (1, 3)
    assert not hasattr(jax, "device_put_replicated") and pmap.assert_is_replicated is before
    assert "assert_is_replicated" in inspect.getsource(train), "Brax's PPO ends elsewhere: mend ingest/compat/brax.py"
