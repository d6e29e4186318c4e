"""What other tools give: docs/peers.md."""

from typing import Any

from pages.markdown import DOCS, NOTE, markdown_table, of_benchmark

PEERS = {
    "mjd_transitionFD": "central differences of MuJoCo's C engine",
    "MJX": "`jax.jacfwd` through `mjx.step`",
    "Pinocchio": "analytic derivatives of forward dynamics (ABA)",
    "Drake": "AutoDiffXd through a discrete plant's update",
    "MuJoCo Warp": "none; Warp's tape runs over its step",
    "jacdb": "`jacdb.linearize`: implicit function theorem at the C engine's solution",
}


def peers() -> str:
    """What other tools answered to `benchmarks/peers.py`."""
    kept = of_benchmark("peers")
    parts = ["# What other tools give\n", NOTE, (DOCS / "peers.txt").read_text()]
    header = (
        "tool",
        "version",
        "what it is",
        "error, no contact",
        "exact zeros",
        "error, contact",
        "exact zeros",
        "RK4",
        "activations",
    )
    rows = []
    for name, found in kept.items():
        both = [cell for model in ("smooth", "contact") for cell in _peer(found.get(model))]
        activations = found.get("activations")
        known = f"yes, {activations['shape'][0]} rows" if activations else "-"
        rows.append(
            [name, f"{found['package']} {found['version']}", PEERS[name], *both, _peer(found.get("rk4"))[0], known]
        )
    return "\n".join([*parts, markdown_table(header, rows), *_peer_notes(kept), (DOCS / "peers-cited.txt").read_text()])


def _peer(found: dict[str, Any] | None) -> tuple[str, str]:
    """How far a tool is off, and its zeros."""
    if not found:
        return "-", "-"
    if "raises" in found:
        return f"`{found['raises']}`", "-"
    others = f", others to {found['largest']:.0e}" if found["exact"] < found["structural"] else ""
    return f"{found['error']:.0e}", f"{found['exact']} of {found['structural']}{others}"


def _peer_notes(kept: dict[str, dict[str, Any]]) -> list[str]:
    """What a table has no column for."""
    tape = kept["MuJoCo Warp"]["tape"]["gradient"]
    return [
        f"- MJX in reverse mode, with contact: `{kept['MJX']['contact, reverse mode']['raises']}`.",
        f"- MuJoCo Warp: the gradient that a tape over its step gives for the sum of next velocities is {tape}: the"
        " derivative of no motion at all. Warp warns of each kernel that has no backward pass.",
        "- mjd_transitionFD takes differences of width 1e-6, centred. Bodies that no constraint couples are solved"
        " apart (islands): between the balls differences are exactly 0, between pendulums on one base roundoff.",
        "- Pinocchio differentiates the acceleration of bodies and joints: no contact, no limit, no friction, no step."
        f" Its {kept['Pinocchio']['functions'][0]} is for contacts that hold. The step here is semi-implicit Euler's."
        " Of an MJCF file it reads the first body on the world alone, takes no mass from a default class, and makes of"
        " an `axisangle` whose axis has no unit length a matrix that is no rotation, without a word"
        " (`findings/pinocchio_mjcf_*.sh`, pin 4.1.0): compare masses and positions first.",
        "- Drake's plant has contacts of its own (SAP solver); it ignores integrator and activations of an MJCF file,"
        " with a warning.",
        "- What a tool reads of a MuJoCo model may be another robot, without a word. Drake 1.58.0, Newton 1.8.0 and"
        " Pinocchio leave out what stands in a `<replicate>`, Newton and Pinocchio what is attached, Pinocchio what is"
        " included or in a `<frame>` (`findings/mjcf_readers_without_replicate.sh`). adam 0.5.0 takes joints for those"
        " of URDF: its mass matrix is wrong where two are on a body, or where one has a `pos`"
        " (`findings/adam_mujoco_joints.sh`). mujoco-usd-converter 0.8.0 loses the orientation of an inertial that has"
        " euler or axisangle (`findings/mujoco_usd_converter_inertial_orientation.sh`).",
        "- MJX alone computes batches, by `jax.vmap`.",
    ]
