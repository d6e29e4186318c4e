"""Name every body of a model: axes, contacts, kinematic trees and scenes call it the same."""

import itertools

import mujoco


def body_names(model: mujoco.MjModel) -> list[str]:
    """Return a name for every body, no two the same: its own, or its number (``body3``); body 0 is ``world``.

    A number that is some body's own name gets the first of ``body3#2``, ``body3#3``, … that no body has.
    """
    names = [model.body(i).name for i in range(model.nbody)]
    taken = set(names)
    for i, own in enumerate(names):
        if not own:
            number = f"body{i}" if i else "world"
            later = (f"{number}#{n}" for n in itertools.count(2))
            names[i] = next(name for name in itertools.chain([number], later) if name not in taken)
            taken.add(names[i])
    return names
