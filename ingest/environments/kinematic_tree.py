"""The kinematic trees of a robot: which body hangs on which."""

import mujoco

from jacdb.ingest.models.body_names import body_names


def parents(model: mujoco.MjModel) -> dict[str, str]:
    """Return the parent of each body that a joint moves: its nearest ancestor that a joint moves, if there is one."""
    names, moving = body_names(model), model.body_jntnum > 0
    found: dict[str, str] = {}
    for body in range(1, model.nbody):
        above = int(model.body_parentid[body])
        while above and not moving[above]:
            above = int(model.body_parentid[above])
        if moving[body] and above:
            found[names[body]] = names[above]
    return found


def tree_of_body(model: mujoco.MjModel) -> dict[str, int]:
    """Return the number of the tree of each body that moves: bodies of one tree share a root that moves."""
    trees = zip(body_names(model), model.body_treeid.tolist(), strict=True)
    return {body: tree for body, tree in trees if tree >= 0}
