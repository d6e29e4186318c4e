"""Export a MuJoCo model as a scene: bodies, joints and geoms as numbers, from which a page poses the robot itself.

A viewer makes one group a body, moves it by the body's joints (about their positions, by qpos minus qpos0), and
attaches geoms rigidly. That is what mj_kinematics does, so no simulator is needed to see a state. Reference: MuJoCo
documentation, "Computation", "Kinematics"; engine_core_smooth.c.
"""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from jacdb.ingest.models.body_names import body_names
from jacdb.ingest.recording.axes import joint_names
from jacdb.ingest.recording.constraint_columns import geom_names
from jacdb.ingest.scene.surfaces import Surfaces

HIDDEN_GROUP = 3  # MuJoCo's viewers draw geoms of the groups before it
_KEPT_DIGITS = 9  # enough to tell any two float32 apart
_DEFAULT_RGBA = (0.5, 0.5, 0.5, 1.0)  # of a geom that leaves its colour to its material
_JOINTS = {int(kind): kind.name.removeprefix("mjJNT_").lower() for kind in mujoco.mjtJoint.__members__.values()}
_GEOMS = {int(kind): kind.name.removeprefix("mjGEOM_").lower() for kind in mujoco.mjtGeom.__members__.values()}
_SURFACES = ("mesh", "sdf")  # a signed distance field is drawn by the mesh that MuJoCo made of it
_N_QPOS = {"free": 7, "ball": 4, "slide": 1, "hinge": 1}
_ON_A_JOINT = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))


@dataclass(frozen=True)
class Scene:
    """A scene.

    Attributes:
        content: all but meshes, as JSON takes it; lengths in m, quaternions with w first.
        meshes: vertices (float32) and faces (uint32) of meshes, little-endian, one after the other; where each of them
            begins stands in ``content["meshes"]``.
    """

    content: dict[str, Any]
    meshes: bytes


def scene(model: mujoco.MjModel) -> Scene:
    """Return the scene of a model; geoms that viewers hide are left out, unless there are no others.

    A geom whose type is ``mesh`` or ``hfield`` has the number of its mesh. ``unseen`` names the geoms that are left
    out, with their bodies and places there: contacts may be theirs.
    """
    is_shown = np.asarray(model.geom_group) < HIDDEN_GROUP
    if not is_shown.any():
        is_shown[:] = True
    names, surfaces = geom_names(model), Surfaces(model)
    geoms = [_geom(model, int(i), names[i], surfaces) for i in np.flatnonzero(is_shown)]
    unseen = [
        {"name": names[i], "body": int(model.geom_bodyid[i]), "pos": _numbers(model.geom_pos[i])}
        for i in np.flatnonzero(~is_shown)
    ]
    content = {
        "nq": model.nq,
        "bodies": [_body(model, i, name) for i, name in enumerate(body_names(model))],
        "joints": [_joint(model, i, name) for i, name in enumerate(joint_names(model))],
        "geoms": geoms,
        "unseen": unseen,
        "sites": [_site(model, i) for i in range(model.nsite)],
        "tendons": _tendons(model),
        "actuators": _actuators(model),
        "meshes": surfaces.places,
        "center": _numbers(model.stat.center),
        "extent": _number(model.stat.extent),
    }
    return Scene(content, surfaces.data())


def _number(value: float) -> float:
    return float(f"{float(value):.{_KEPT_DIGITS}g}")


def _numbers(values: np.ndarray) -> list[float]:
    return [_number(value) for value in np.asarray(values).ravel().tolist()]


def _body(model: mujoco.MjModel, i: int, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "parent": int(model.body_parentid[i]) if i else -1,
        "pos": _numbers(model.body_pos[i]),
        "quat": _numbers(model.body_quat[i]),
    }


def _joint(model: mujoco.MjModel, i: int, name: str) -> dict[str, Any]:
    kind, begin = _JOINTS[int(model.jnt_type[i])], int(model.jnt_qposadr[i])
    return {
        "name": name,
        "body": int(model.jnt_bodyid[i]),
        "type": kind,
        "pos": _numbers(model.jnt_pos[i]),
        "axis": _numbers(model.jnt_axis[i]),
        "qposadr": begin,
        "qpos0": _numbers(model.qpos0[begin : begin + _N_QPOS[kind]]),
    }


def _geom(model: mujoco.MjModel, i: int, name: str, surfaces: Surfaces) -> dict[str, Any]:
    kind, number = _GEOMS[int(model.geom_type[i])], int(model.geom_dataid[i])
    mesh = None
    if kind in _SURFACES and number >= 0:
        kind, mesh = "mesh", surfaces.of_mesh(number)
    elif kind == "hfield":
        mesh = surfaces.of_height_field(number)
    return {
        "name": name,
        "body": int(model.geom_bodyid[i]),
        "type": kind,
        "size": _numbers(model.geom_size[i]),
        "pos": _numbers(model.geom_pos[i]),
        "quat": _numbers(model.geom_quat[i]),
        "rgba": _colour(model, model.geom_rgba[i], int(model.geom_matid[i])),
        "group": int(model.geom_group[i]),
        "mesh": mesh,
    }


def _colour(model: mujoco.MjModel, own: np.ndarray, material: int) -> list[float]:
    """Return an object's colour: its own or, if that is the default, its material's; a texture counts by its mean."""
    if material < 0 or not np.allclose(own, _DEFAULT_RGBA):
        return _numbers(own)
    rgba = np.array(model.mat_rgba[material], float)
    texture = int(model.mat_texid[material, int(mujoco.mjtTextureRole.mjTEXROLE_RGB)])
    if texture >= 0:
        channels = int(model.tex_nchannel[texture])
        size = int(model.tex_height[texture] * model.tex_width[texture]) * channels
        begin = int(model.tex_adr[texture])
        pixels = model.tex_data[begin : begin + size].reshape(-1, channels)
        if channels >= 3:
            rgba[:3] *= pixels[:, :3].mean(axis=0) / 255
    return _numbers(rgba)


def _site(model: mujoco.MjModel, i: int) -> dict[str, Any]:
    return {"name": model.site(i).name, "body": int(model.site_bodyid[i]), "pos": _numbers(model.site_pos[i])}


def _tendons(model: mujoco.MjModel) -> list[dict[str, Any]]:
    """Return the spatial tendons, each as the sites that it runs through; a tendon of joints is nowhere in space."""
    found = []
    for i in range(model.ntendon):
        begin, count = int(model.tendon_adr[i]), int(model.tendon_num[i])
        wrapped = range(begin, begin + count)
        sites = [int(model.wrap_objid[w]) for w in wrapped if model.wrap_type[w] == int(mujoco.mjtWrap.mjWRAP_SITE)]
        if len(sites) > 1:
            found.append(
                {
                    "name": model.tendon(i).name or f"tendon{i}",
                    "sites": [{key: _site(model, site)[key] for key in ("body", "pos")} for site in sites],
                    "width": _number(model.tendon_width[i]),
                    "rgba": _colour(model, model.tendon_rgba[i], int(model.tendon_matid[i])),
                }
            )
    return found


def _actuators(model: mujoco.MjModel) -> list[dict[str, Any]]:
    joints = joint_names(model)
    return [
        {
            "name": model.actuator(i).name or f"actuator{i}",
            "joint": joints[int(model.actuator_trnid[i, 0])] if model.actuator_trntype[i] in _ON_A_JOINT else None,
        }
        for i in range(model.nu)
    ]
