"""Which features of MuJoCo models the engine covers, and what it refuses by name.

The engine differentiates a step at the solution that MuJoCo's C engine found, and evaluates the equations of motion by
MJX's stages. A feature is covered where both compute the same, or where jacdb has it as C does, such as contacts. MJX
3.17 refuses some features of MuJoCo 4, drops others without a word, and computes some otherwise.
``tests/ingest/models/test_features.py`` has a model for every feature here and measures which it is; docs/models.md is
made of this table. Reference: MuJoCo documentation, "XML Reference" and "MuJoCo XLA (MJX)", "Feature Parity".
"""

from dataclasses import dataclass
from typing import Literal

import mujoco

from jacdb.errors import UsageError
from jacdb.ingest.models import recognition as has
from jacdb.ingest.models.recognition import Count

type Engine = Literal["c", "mjx"]
type OnMjx = Literal["same", "drops", "differs", "raises"]

_DISABLE, _ENABLE, _INTEGRATOR = mujoco.mjtDisableBit, mujoco.mjtEnableBit, mujoco.mjtIntegrator
_TRANSMISSION, _DYNAMICS, _GAIN, _BIAS = mujoco.mjtTrn, mujoco.mjtDyn, mujoco.mjtGain, mujoco.mjtBias
_EQUALITY, _CONE, _SOLVER = mujoco.mjtEq, mujoco.mjtCone, mujoco.mjtSolver
_IMPLICIT = has.option("integrator", _INTEGRATOR.mjINT_IMPLICIT, _INTEGRATOR.mjINT_IMPLICITFAST)
_FAST = has.option("integrator", _INTEGRATOR.mjINT_IMPLICITFAST)


@dataclass(frozen=True)
class Feature:
    """A feature of models.

    Attributes:
        name: in MuJoCo's words.
        mjcf: where a model's XML has it.
        count: how many elements of a model have it; 0 where it is not used.
        on_mjx: ``same``: MJX computes what C does. ``drops``: MJX computes as if it were not there. ``differs``: it
            computes something else. ``raises``: MJX refuses such models, when they are put on it or stepped.
        remedy: what to change where it is not covered; empty where the engine differentiates C's step of such a model.
        note: why it is not covered, or how it is.
    """

    name: str
    mjcf: str
    count: Count
    on_mjx: OnMjx = "same"
    remedy: str = ""
    note: str = ""

    @property
    def covered(self) -> bool:
        return not self.remedy

    def refused(self, engine: Engine) -> bool:
        """Return whether an engine's step of such a model is not differentiated, for what MJX or jacdb lacks.

        What MJX computes otherwise than C is no reason where MJX steps: its own stages are those differentiated. What
        both compute alike is one: then it is jacdb's derivative that has no such term.
        """
        return not self.covered and (engine == "c" or self.on_mjx != "differs")


def check(model: mujoco.MjModel, name: str = "the model", engine: Engine = "c") -> None:
    """Return nothing if the engine covers all features of a model. It is cheap, and needs no JAX.

    Args:
        name: how the error calls the model.
        engine: who takes the steps.

    Raises:
        UsageError: nothing in the model moves; or names all features that are not covered, and what to change.
    """
    if not model.nv:
        raise UsageError(f"nothing moves in {name}: give a model with joints")
    refused = [feature for feature in FEATURES if feature.refused(engine)]
    found = [(feature, count) for feature in refused if (count := feature.count(model))]
    if found:
        told = "; ".join(f"{feature.name} ({count}): {feature.remedy}" for feature, count in found)
        raise UsageError(f"{name} has what cannot be differentiated: {told}")


def table() -> list[Feature]:
    """Return all features that are told apart, the covered ones first."""
    return sorted(FEATURES, key=lambda feature: not feature.covered)


_OF_C = "jacdb takes C's contacts"
_OF_C_MEASURED = _OF_C + ", and differences of C's collision detection for how they move"

_JOINTS = (
    Feature("joint springs and dampers", "joint/stiffness, damping, springref", has.nonzero("jnt_stiffness")),
    Feature("joint armature", "joint/armature", has.nonzero("dof_armature")),
    Feature("dry friction of joints", "joint/frictionloss", has.nonzero("dof_frictionloss")),
    Feature("limits of slides, hinges and balls", "joint/range", has.nonzero("jnt_limited")),
    Feature("gravity compensation", "body/gravcomp, joint/actuatorgravcomp", has.nonzero("body_gravcomp")),
    Feature("limits of a joint's actuator force", "joint/actuatorfrcrange", has.nonzero("jnt_actfrclimited")),
    Feature(
        "nonlinear joint stiffness", "joint/stiffness of two or three numbers", has.nonzero("jnt_stiffnesspoly"),
        "drops", "give one number to stiffness", "MJX reads the linear coefficient alone",
    ),
    Feature(
        "nonlinear joint damping", "joint/damping of two or three numbers", has.nonzero("dof_dampingpoly"),
        "drops", "give one number to damping", "MJX reads the linear coefficient alone",
    ),
    Feature(
        "plastic springs", "joint/springyield, tendon/springyield", has.size("nplastic"),
        "drops", "remove springyield", "the plastic state is part of no state, and MJX has none",
    ),
    Feature(
        "limits narrower than twice their margin", "joint/margin, tendon/margin", has.wide_margins,
        "differs", "make margin less than half of range", "C has a row for each end within the margin, MJX one",
    ),
)  # fmt: skip

_TENDONS = (
    Feature("fixed tendons", "tendon/fixed", has.of_kind("wrap_type", mujoco.mjtWrap.mjWRAP_JOINT)),
    Feature("spatial tendons, pulleys", "tendon/spatial", has.of_kind("wrap_type", mujoco.mjtWrap.mjWRAP_SITE)),
    Feature("tendons around spheres and cylinders", "spatial/geom, sidesite outside", has.wraps),
    Feature(
        "tendons through spheres and cylinders", "spatial/geom, sidesite inside", has.wraps_inside,
        "differs", "move the side site out of the geom", "MJX looks for the path in five iterations, C in twenty",
    ),
    Feature("tendon springs and dampers", "tendon/stiffness, damping", has.nonzero("tendon_stiffness")),
    Feature("tendon limits", "tendon/range", has.nonzero("tendon_limited")),
    Feature("dry friction of tendons", "tendon/frictionloss", has.nonzero("tendon_frictionloss")),
    Feature("limits of a tendon's actuator force", "tendon/actuatorfrcrange", has.nonzero("tendon_actfrclimited")),
    Feature("armature of fixed tendons", "fixed/armature", has.fixed_armature),
    Feature(
        "armature of fixed tendons between branches", "fixed/armature", has.armature_between_branches, "differs",
        note="C's mass matrix has no entry between two branches, MJX's has all of J'AJ; jacdb's is C's",
    ),
    Feature(
        "armature of spatial tendons", "spatial/armature", has.spatial_armature,
        "same", "remove armature of spatial tendons", "the derivative of the mass matrix is of bodies and joints alone",
    ),
    Feature(
        "nonlinear tendon stiffness", "tendon/stiffness of two or three numbers", has.nonzero("tendon_stiffnesspoly"),
        "drops", "give one number to stiffness", "MJX reads the linear coefficient alone",
    ),
    Feature(
        "nonlinear tendon damping", "tendon/damping of two or three numbers", has.nonzero("tendon_dampingpoly"),
        "drops", "give one number to damping", "MJX reads the linear coefficient alone",
    ),
)  # fmt: skip

_ACTUATORS = (
    Feature("activations", "general/dyntype integrator, filter, filterexact, muscle", has.size("na")),
    Feature(
        "affine gain and bias", "position, velocity, damper", has.of_kind("actuator_biastype", _BIAS.mjBIAS_AFFINE)
    ),
    Feature("muscles", "muscle", has.of_kind("actuator_gaintype", _GAIN.mjGAIN_MUSCLE)),
    Feature(
        "limits of ctrl, force and activation", "actuator/ctrlrange, forcerange, actrange",
        has.nonzero("actuator_forcelimited", "actuator_ctrllimited", "actuator_actlimited"),
    ),
    Feature("forces at sites", "actuator/site, refsite", has.of_kind("actuator_trntype", _TRANSMISSION.mjTRN_SITE)),
    Feature(
        "forces on joints, in the parent's frame too", "actuator/joint, jointinparent",
        has.of_kind("actuator_trntype", _TRANSMISSION.mjTRN_JOINT, _TRANSMISSION.mjTRN_JOINTINPARENT),
    ),
    Feature("history without delay", "actuator/nsample", has.nonzero("actuator_history")),
    Feature(
        "adhesion actuators", "adhesion", has.of_kind("actuator_trntype", _TRANSMISSION.mjTRN_BODY),
        "raises", "remove them", "MJX has none",
    ),
    Feature(
        "slider-cranks", "actuator/cranksite", has.of_kind("actuator_trntype", _TRANSMISSION.mjTRN_SLIDERCRANK),
        "raises", "remove them", "MJX has none",
    ),
    Feature(
        "orientation actuators", "orientation", has.of_kind("actuator_trntype", _TRANSMISSION.mjTRN_SO3),
        "raises", "remove them", "MJX has none",
    ),
    Feature(
        "DC motors", "dcmotor", has.of_kind("actuator_biastype", _BIAS.mjBIAS_DCMOTOR),
        "raises", "use motor or position", "MJX has none",
    ),
    Feature(
        "PID controllers", "pid", has.of_kind("actuator_gaintype", _GAIN.mjGAIN_PID),
        "raises", "use position", "MJX has none",
    ),
    Feature(
        "actuators of the user's own", "general/dyntype, gaintype, biastype user",
        has.any_of(
            has.of_kind("actuator_dyntype", _DYNAMICS.mjDYN_USER), has.of_kind("actuator_gaintype", _GAIN.mjGAIN_USER),
            has.of_kind("actuator_biastype", _BIAS.mjBIAS_USER),
        ),
        "raises", "use a built-in type", "they are callbacks",
    ),
    Feature(
        "delayed actuators", "actuator/delay", has.nonzero("actuator_delay"),
        "drops", "set delay to 0", "past ctrl is part of no state, and MJX applies the present one",
    ),
    Feature(
        "actuator damping", "actuator/damping", has.nonzero("actuator_damping", "actuator_dampingpoly"),
        "drops", "move damping to the joint or tendon", "MJX does not read it",
    ),
    Feature(
        "actuator armature", "actuator/armature", has.nonzero("actuator_armature"),
        "drops", "move armature to the joint or tendon", "MJX does not read it",
    ),
    Feature(
        "activations stepped before their force", "actuator/actearly", has.early_activations,
        "drops", "set actearly to false", "MJX takes the force of the present activation",
    ),
    Feature(
        "disabled actuator groups", "option/actuatorgroupdisable", has.disabled_actuators,
        "drops", "remove those actuators", "MJX actuates them",
    ),
)  # fmt: skip

_CONSTRAINTS = (
    Feature("equality of joints", "equality/joint", has.of_kind("eq_type", _EQUALITY.mjEQ_JOINT)),
    Feature("equality of tendons", "equality/tendon", has.of_kind("eq_type", _EQUALITY.mjEQ_TENDON)),
    Feature(
        "connect and weld", "equality/connect, weld",
        has.of_kind("eq_type", _EQUALITY.mjEQ_CONNECT, _EQUALITY.mjEQ_WELD),
        "differs", note="C's reference acceleration has the term -dJ/dt v since MuJoCo 3.7; jacdb's has, MJX's not",
    ),
    Feature(
        "solref of two signs, solimp without width or with dmin above dmax", "solref, solimp, solreflimit and others",
        has.impedances_apart, "differs", note="C has rules for them that MJX has not; jacdb's impedances are C's",
    ),
    Feature("mocap bodies", "body/mocap", has.size("nmocap")),
    Feature(
        "noslip iterations", "option/noslip_iterations", lambda model: int(model.opt.noslip_iterations),
        "drops", "set noslip_iterations to 0", "the step is then not the solution that is differentiated",
    ),
)  # fmt: skip

_CONTACTS = (
    Feature("condim 1, 3, 4 and 6 on pyramids", "geom/condim", has.option("cone", _CONE.mjCONE_PYRAMIDAL)),
    Feature("condim 3, 4 and 6 on elliptic cones", "option/cone", has.option("cone", _CONE.mjCONE_ELLIPTIC)),
    Feature("priority, solmix, solref and solimp of geoms", "geom", has.nonzero("geom_solref")),
    Feature("margin and gap", "geom/margin, gap", has.nonzero("geom_margin", "geom_gap")),
    Feature("parameters of pairs", "contact/pair", has.size("npair")),
    Feature(
        "planes with spheres, ellipsoids, cylinders, boxes; spheres", "geom/type",
        has.pairs_of(
            ("plane", "sphere"), ("plane", "ellipsoid"), ("plane", "cylinder"), ("plane", "box"), ("sphere", "sphere")
        ),
    ),
    Feature(
        "planes with capsules", "geom/type", has.pairs_of(("plane", "capsule")), "differs",
        note="MJX turns the tangents of a capsule that is within 30 degrees of the normal; " + _OF_C,
    ),
    Feature(
        "capsules with spheres and capsules", "geom/type", has.pairs_of(("sphere", "capsule"), ("capsule", "capsule")),
        "differs", note="MJX adds 1e-6 to squared lengths, which moves contacts by some 1e-5 of a length; " + _OF_C,
    ),
    Feature(
        "other pairs that MJX has a function for", "geom/type", has.pairs_of(*(
            ("plane", "mesh"), ("sphere", "ellipsoid"), ("sphere", "cylinder"), ("sphere", "box"), ("sphere", "mesh"),
            ("capsule", "ellipsoid"), ("capsule", "cylinder"), ("capsule", "box"), ("capsule", "mesh"),
            ("ellipsoid", "ellipsoid"), ("ellipsoid", "cylinder"), ("cylinder", "cylinder"), ("box", "box"),
            ("box", "mesh"), ("mesh", "mesh"), ("hfield", "sphere"), ("hfield", "capsule"), ("hfield", "box"),
            ("hfield", "mesh"),
        )),
        "differs", note="MJX finds contacts by algorithms of its own; " + _OF_C_MEASURED,
    ),
    Feature(
        "pairs that MJX has no function for", "geom/type ellipsoid or cylinder against box, mesh or hfield; sdf",
        has.pairs_without_function, "raises",
        note=_OF_C_MEASURED + "; most contacts of an SDF with other geoms than planes and meshes jump: no derivative",
    ),
    Feature(
        "margins of meshes and height fields", "geom/margin, pair/margin", has.margins_of_meshes,
        "raises", note=_OF_C_MEASURED,
    ),
    Feature(
        "surface velocities", "geom/surfacevel", has.nonzero("geom_surfacevel"),
        "drops", "remove surfacevel", "MJX does not read it",
    ),
    Feature(
        "adhesive contacts", "geom/adhesion, pair/adhesion", has.nonzero("geom_adhesion", "pair_adhesion"),
        "drops", "remove adhesion", "MJX does not read it",
    ),
    Feature(
        "solreffriction on elliptic cones", "pair/solreffriction",
        has.both(has.nonzero("pair_solreffriction"), has.option("cone", _CONE.mjCONE_ELLIPTIC)),
        "same", "remove solreffriction, or use pyramids", "the closed form of contacts has one solref",
    ),
    Feature(
        "contacts picked by MJX", "numeric max_contact_points, max_geom_pairs", has.picked_contacts,
        "differs", note="MJX leaves contacts out by them, C does not read them; " + _OF_C,
    ),
)  # fmt: skip

_OPTIONS = (
    Feature(
        "Euler, Runge-Kutta, implicit and implicitfast", "option/integrator", has.option("integrator", 0, 1, 2, 3),
        note="by MJX: Euler and implicitfast",
    ),
    Feature(
        "Newton, CG and PGS", "option/solver",
        has.option("solver", _SOLVER.mjSOL_NEWTON, _SOLVER.mjSOL_CG, _SOLVER.mjSOL_PGS),
        note="nothing of a solver is differentiated but its solution",
    ),
    Feature("a medium (box model)", "option/density, viscosity", has.fluid),
    Feature(
        "wind", "option/wind", has.wind, "same", "set wind to 0", "the closed form of drag is of a medium at rest",
    ),
    Feature(
        "disable flags", "option/flag", lambda model: int(model.opt.disableflags).bit_count(),
    ),
    Feature(
        "springs disabled and dampers not, or dampers alone", "flag/spring, damper",
        has.forces_of_one_flag,
        "differs", "remove the flag", "MJX takes either flag for both, and for gravity compensation and a medium",
    ),
    Feature("invdiscrete", "flag/invdiscrete", has.enabled(_ENABLE.mjENBL_INVDISCRETE)),
    Feature(
        "bodies with a free joint and no children, by implicitfast", "freejoint",
        has.both(lambda model: len(has.lone_free_bodies(model)), _FAST), "differs",
        note="C takes their gyroscopic forces implicitly since MuJoCo 3.11; jacdb does, MJX does not",
    ),
    Feature(
        "a medium, by implicit or implicitfast", "option/density, viscosity", has.both(has.fluid, _IMPLICIT),
        "raises", "use Euler or RK4", "MJX has no derivative of the medium's forces",
    ),
    Feature(
        "ellipsoid model of a medium", "geom/fluidshape", has.ellipsoid_fluid,
        "drops", "set fluidshape to none", "MJX has the box model alone",
    ),
    Feature(
        "the discrete integrator", "option/integrator discrete", has.option("integrator", _INTEGRATOR.mjINT_DISCRETE),
        "raises", "use Euler, implicitfast, implicit or RK4", "it solves constraints in another metric; MJX has none",
    ),
    Feature("sleep", "flag/sleep", has.enabled(_ENABLE.mjENBL_SLEEP), "drops", "disable sleep", "MJX never sleeps"),
    Feature(
        "override, diagexact, speculative", "option/flag",
        has.enabled(_ENABLE.mjENBL_OVERRIDE, _ENABLE.mjENBL_DIAGEXACT, _ENABLE.mjENBL_SPECULATIVE),
        "raises", "disable these flags", "MJX has none of them",
    ),
    Feature(
        "energy and fwdinv", "option/flag", has.enabled(_ENABLE.mjENBL_ENERGY, _ENABLE.mjENBL_FWDINV),
        "raises", note="they change no step; jacdb clears them before MJX, which refuses them, computes",
    ),
)  # fmt: skip

_REST = (
    Feature(
        "sensors that MJX lacks", "sensor/jointlimitpos, distance, insidesite, user and others", has.unknown_sensors,
        "raises", note="no step reads a sensor; jacdb takes them out before MJX computes",
    ),
    Feature("flexes", "flex, flexcomp", has.size("nflex"), "raises", "remove them", "MJX has none"),
    Feature("plugins", "extension/plugin", has.size("nplugin"), "raises", "remove them", "MJX has none"),
    Feature(
        "callbacks", "mujoco.set_mjcb_control and others", has.callbacks,
        "drops", "set them to None", "what they compute has no derivative",
    ),
)  # fmt: skip

FEATURES = _JOINTS + _TENDONS + _ACTUATORS + _CONSTRAINTS + _CONTACTS + _OPTIONS + _REST
