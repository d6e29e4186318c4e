"""Where geoms are, from a scene file and qpos alone: what a page does with three.js, by NumPy."""

from typing import Any

import numpy as np


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of quaternions, w first."""
    w, v, x, u = a[0], a[1:], b[0], b[1:]
    return np.concatenate([[w * x - v @ u], w * u + x * v + np.cross(v, u)])


def rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    return v + 2 * np.cross(q[1:], np.cross(q[1:], v) + q[0] * v)


def unit(q: np.ndarray) -> np.ndarray:
    return q / np.linalg.norm(q)


def body_poses(scene: dict[str, Any], qpos: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Positions and quaternions of all bodies: a body's joints in order, each about its own place."""
    joints: dict[int, list[dict[str, Any]]] = {}
    for joint in scene["joints"]:
        joints.setdefault(joint["body"], []).append(joint)
    places, turns = [], []
    for number, body in enumerate(scene["bodies"]):
        place, turn = np.array(body["pos"]), np.array(body["quat"])
        if body["parent"] >= 0:
            above = turns[body["parent"]]
            place, turn = places[body["parent"]] + rotate(above, place), product(above, turn)
        for joint in joints.get(number, []):
            at = joint["qposadr"]
            if joint["type"] == "free":
                place, turn = qpos[at : at + 3], unit(qpos[at + 3 : at + 7])
                continue
            anchor = place + rotate(turn, np.array(joint["pos"]))
            axis = np.array(joint["axis"])
            if joint["type"] == "slide":
                place = place + rotate(turn, axis) * (qpos[at] - joint["qpos0"][0])
                continue
            half = (qpos[at] - joint["qpos0"][0]) / 2
            own = np.concatenate([[np.cos(half)], np.sin(half) * axis])
            turn = product(turn, unit(qpos[at : at + 4]) if joint["type"] == "ball" else own)
            place = anchor - rotate(turn, np.array(joint["pos"]))
        places.append(place)
        turns.append(unit(turn))
    return places, turns


def attached(scene: dict[str, Any], qpos: np.ndarray, things: list[dict[str, Any]]) -> np.ndarray:
    """Positions of geoms or sites, (n, 3)."""
    places, turns = body_poses(scene, qpos)
    return np.array([places[one["body"]] + rotate(turns[one["body"]], np.array(one["pos"])) for one in things])


def geom_turns(scene: dict[str, Any], qpos: np.ndarray) -> np.ndarray:
    """Quaternions of geoms, (n, 4)."""
    _, turns = body_poses(scene, qpos)
    return np.array([product(turns[geom["body"]], np.array(geom["quat"])) for geom in scene["geoms"]])
