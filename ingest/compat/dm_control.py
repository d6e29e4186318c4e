"""Repair of dm_control 1.0.50, so that its suite loads with MuJoCo 4.0.

dm_control lists the array fields of MuJoCo's structs, as they were in MuJoCo 3.17, and reads every one of them to make
its named views. MuJoCo 4.0 has nine of them no more (all of flexes), so no environment loads, though pip installs both.
Nothing else differs: rolled out from the same seeds, its environments go through the same states as under 3.17.
"""

import warnings
from types import ModuleType

import mujoco

WRITTEN_AGAINST = {"dm_control": "1.0.50"}
STRUCTS = {"mjmodel": mujoco.MjModel, "mjdata": mujoco.MjData}


def load_suite() -> ModuleType:
    """Return ``dm_control.suite``, after taking out of dm_control's list the fields that MuJoCo has no more."""
    with warnings.catch_warnings(action="ignore"):  # GLFW says that there is no display
        from dm_control import suite
        from dm_control.mujoco.wrapper.mjbindings import sizes

    for name, struct in STRUCTS.items():
        listed = sizes.array_sizes[name]
        for field in [field for field in listed if not hasattr(struct, field)]:
            del listed[field]
    return suite
