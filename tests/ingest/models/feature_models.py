"""A model for every feature of jacdb.ingest.models.features, in which it is active.

Models that differ in numbers alone share their compiled stages, so covered features stand together in few models, and
what MJX drops is added to one that it computes rightly.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A model that has a feature.

    Attributes:
        contact: look at it where its last body touches.
        integrates: look at the next velocity too.
        without: the same model without the feature, where the stages do not show it: C's steps do.
    """

    xml: str
    contact: bool = False
    integrates: bool = False
    without: str = ""


def joints(option: str = "", flag: str = "", **of: str) -> str:
    """A chain of a ball, a hinge and a slide, and a free body with a child; nothing touches."""
    at = {"ball": "", "hinge": "", "slide": "", "tendon": "", "fixed": "", "motor": "", "servo": "", "geom": "", **of}
    return f"""
    <mujoco>
      <option timestep=".01" {option}><flag {flag}/></option>
      <default><geom mass="1" size=".1" contype="0" conaffinity="0"/></default>
      <worldbody>
        <site name="anchor" pos="0 .2 1" euler="10 20 30"/>
        <body name="a" pos="0 0 1">
          <joint name="ball" type="ball" {at["ball"]}/> <geom type="box" size=".1 .2 .3" pos=".1 0 0" {at["geom"]}/>
          <body name="b" pos=".3 0 0">
            <joint name="hinge" axis="0 1 0" {at["hinge"]}/> <geom pos=".2 .1 0"/> <site name="tip" pos=".2 0 0"/>
            <body pos=".3 0 0"> <joint name="slide" type="slide" axis="1 0 0" {at["slide"]}/> <geom/> </body>
          </body>
        </body>
        <body name="c" pos="1 0 1">
          <freejoint/> <geom type="box" size=".1 .2 .3"/> <site name="on_c" pos=".1 0 0"/>
          <body name="d" pos=".3 0 0"> <joint axis="0 0 1"/> <geom pos=".1 0 0"/> </body>
        </body>
      </worldbody>
      <tendon>
        <spatial name="spatial" {at["tendon"]}> <site site="anchor"/> <site site="tip"/> </spatial>
        <fixed name="fixed" {at["fixed"]}> <joint joint="hinge" coef="1"/> <joint joint="slide" coef="-2"/> </fixed>
      </tendon>
      <actuator>
        <general joint="hinge" {at["motor"]}/> <general tendon="spatial" {at["servo"]}/>
      </actuator>
    </mujoco>"""


def arm(inside: str = "", outside: str = "", assets: str = "", option: str = "", flag: str = "") -> str:
    """A hinge with a body, and what else a case needs."""
    return f"""
    <mujoco>
      {assets}<option timestep=".01" {option}><flag {flag}/></option>
      <default><geom contype="0" conaffinity="0"/></default>
      <worldbody>
        <site name="crank" pos="0 0 .5"/>
        <body name="arm">
          <joint name="hinge" axis="0 1 0"/> <geom size=".1" pos=".2 .1 0" mass="1"/> <site name="tip" pos=".3 0 0"/>
          {inside}
        </body>
      </worldbody>
      {outside}
    </mujoco>"""


def actuator(words: str) -> str:
    return arm(outside=f"<actuator><{words}/></actuator>")


SHAPES = {
    "plane": 'type="plane" size="1 1 .1"',
    "sphere": 'type="sphere" size=".12"',
    "capsule": 'type="capsule" size=".08 .15"',
    "ellipsoid": 'type="ellipsoid" size=".1 .15 .2"',
    "cylinder": 'type="cylinder" size=".1 .15"',
    "box": 'type="box" size=".1 .12 .15"',
    "mesh": 'type="mesh" mesh="tetrahedron"',
    "hfield": 'type="hfield" hfield="hills"',
    "sdf": 'type="sdf" mesh="tetrahedron"',
}
ASSETS = """<asset>
  <mesh name="tetrahedron" vertex="0 0 .2  .2 0 -.1  -.1 .2 -.1  -.1 -.2 -.1"/>
  <hfield name="hills" nrow="3" ncol="3" size="1 1 .2 .1" elevation="0 0 .1 .2 .1 .3 .2 .1 0"/>
</asset>"""


def touching(
    below: str = "plane",
    above: str = "sphere",
    option: str = "",
    low: str = "",
    high: str = "",
    more: str = "",
    flag: str = "",
) -> str:
    """A free body over a geom that does not move."""
    return f"""
    <mujoco>
      <option timestep=".01" {option}><flag {flag}/></option>{ASSETS}
      <worldbody>
        <geom name="below" {SHAPES[below]} {low}/>
        <body pos="0 0 .3"> <freejoint/> <geom name="above" {SHAPES[above]} mass="1" {high}/> </body>
      </worldbody>
      {more}
    </mujoco>"""


def pair(parameters: str) -> str:
    return f'<contact><pair geom1="below" geom2="above" {parameters}/></contact>'


SPRINGS = joints(
    ball='stiffness="2" damping=".1" armature=".1" range="0 .2" limited="true"',
    hinge="""stiffness="3" springref=".2" damping=".2" frictionloss=".3" range="-.05 .05" limited="true"
      actuatorfrcrange="-.1 .1" """,
    slide='armature=".2" range="-.02 .02" limited="true" solreflimit="-100 -10" solimplimit=".8 .95 .1 .4 3"',
    motor='gear="10"',
)
TENDONS = joints(
    tendon="""stiffness="5" springlength=".1" damping="1" frictionloss=".2" range="0 .3" limited="true"
      actuatorfrcrange="-.1 .1" """,
    fixed='stiffness="2" damping="3" frictionloss=".1" range="-.1 .1" limited="true" armature=".5"',
    servo='gear="7"',
)
FINGERS = arm(
    inside="""<body pos=".5 0 0"> <joint name="one" axis="0 1 0"/> <geom size=".1" mass="1" pos=".1 0 0"/> </body>
      <body pos=".5 .3 0"> <joint name="two" axis="0 1 0"/> <geom size=".1" mass="1" pos=".1 0 0"/> </body>""",
    outside="""<tendon>
      <fixed armature=".5"> <joint joint="one" coef="1"/> <joint joint="two" coef="-2"/> </fixed>
    </tendon>""",
)
ACTUATORS = arm(
    inside='<body pos=".4 0 0"> <joint name="ball" type="ball"/> <geom size=".1" mass="1" pos=".1 0 0"/> </body>',
    outside="""<actuator>
      <motor joint="hinge" ctrlrange="-.1 .1" nsample="3"/> <position joint="hinge" kp="9" kv="2" forcerange="-1 1"/>
      <general joint="hinge" gaintype="affine" gainprm="1 2 3" biastype="affine" biasprm="1 2 3"/>
      <general joint="hinge" dyntype="integrator" actlimited="true" actrange="0 .3"/>
      <damper joint="hinge" kv="3" ctrlrange="0 1"/>
      <general joint="hinge" dyntype="filter" dynprm=".1"/> <general joint="hinge" dyntype="filterexact" dynprm=".2"/>
      <muscle joint="hinge" lengthrange="-1 1" force="9"/> <muscle joint="hinge" lengthrange="-1 1" tausmooth=".2"/>
      <motor site="tip" gear="1 2 3 1 2 3"/> <position site="tip" refsite="crank" gear="1 2 3 0 0 0" kp="5"/>
      <motor joint="ball" gear="1 2 3"/> <motor jointinparent="ball" gear="3 2 1"/>
      <position joint="ball" gear="1 2 3" kp="3"/>
    </actuator>""",
)
WRAPPING = arm(
    inside='<geom name="moving" size=".2" pos=".4 0 .35"/> <site name="end" pos=".6 0 0"/>',
    outside="""<worldbody>
      <geom name="ball" size=".15" pos=".7 0 .15"/>
      <geom name="roll" type="cylinder" size=".15 .3" euler="90 0 0" pos=".7 1 .15"/>
      <site name="w" pos="1 0 .3"/> <site name="over" pos=".7 0 .5"/> <site name="inside" pos=".7 .32 .1"/>
      <geom name="hoop" size=".15" pos=".7 .3 .15"/>
    </worldbody>
    <tendon>
      <spatial stiffness="5"> <site site="w"/> <geom geom="ball"/> <site site="end"/> </spatial>
      <spatial stiffness="5"> <site site="w"/> <geom geom="ball" sidesite="over"/> <site site="end"/> </spatial>
      HOOP
      <spatial stiffness="5"> <site site="w"/> <geom geom="roll"/> <site site="end"/> </spatial>
      <spatial stiffness="5"> <site site="w"/> <geom geom="moving"/> <site site="crank"/> </spatial>
      <spatial stiffness="5">
        <site site="w"/> <site site="end"/> <pulley divisor="2"/> <site site="crank"/> <site site="end"/>
      </spatial>
    </tendon>""",
)
HOOP = '<spatial stiffness="5"> <site site="w"/> <geom geom="hoop" sidesite="inside"/> <site site="end"/> </spatial>'
WRAPS, THROUGH = WRAPPING.replace("HOOP", ""), WRAPPING.replace("HOOP", HOOP)
EQUALITIES = joints().replace(
    "</mujoco>",
    """<equality>
      <joint joint1="hinge" joint2="slide" polycoef=".1 1 .2 .3 .4"/> <joint joint1="slide" solref="-50 -5"/>
      <tendon tendon1="spatial" tendon2="fixed" polycoef=".1 1 .2 .3 .4"/>
      <tendon tendon1="spatial" polycoef=".1 1 .2 .3 .4"/>
    </equality></mujoco>""",
)
MOCAP = arm(
    outside="""<worldbody>
      <body name="hand" mocap="true" pos="0 0 .3"> <site name="grip" pos="0 .1 0"/> </body>
    </worldbody>
    <tendon><spatial stiffness="5"> <site site="grip"/> <site site="tip"/> </spatial></tendon>"""
)
COMPENSATED = arm(
    inside="""<body gravcomp="1" pos=".5 0 0"> <joint axis="0 1 0" actuatorgravcomp="true"/> <geom size=".1" mass="1"/>
      <body gravcomp=".5" pos=".5 0 0"> <joint axis="1 0 0"/> <geom size=".1" mass="1" pos="0 .2 0"/> </body></body>""",
    outside='<actuator><motor joint="hinge"/></actuator>',
)
MEDIUM = joints(option='density="1000" viscosity=".1" wind="1 2 3"')
FALLING = """<mujoco>
  <option timestep=".01" integrator="implicitfast"/>
  <worldbody> <body><freejoint/><geom type="box" size=".1 .2 .3"/></body> </worldbody>
</mujoco>"""
RESTING = touching(above="box", flag='sleep="{}"', option='sleep_tolerance="10"')
SECOND = '<worldbody><geom type="plane" size="1 1 .1"/></worldbody>'
PICKED = '<custom><numeric name="max_contact_points" data="1"/></custom>'

MODELS: dict[str, list[Case]] = {
    "joint springs and dampers": [Case(SPRINGS)],
    "joint armature": [Case(SPRINGS)],
    "dry friction of joints": [Case(SPRINGS)],
    "limits of slides, hinges and balls": [Case(SPRINGS)],
    "gravity compensation": [Case(COMPENSATED)],
    "limits of a joint's actuator force": [Case(SPRINGS)],
    "nonlinear joint stiffness": [Case(joints(hinge='stiffness="3 1 2"'))],
    "nonlinear joint damping": [Case(joints(hinge='damping="3 1 2"'))],
    "plastic springs": [
        Case(joints(**{where: 'stiffness="90" springyield=".01"'}), without=joints(**{where: 'stiffness="90"'}))
        for where in ("hinge", "tendon")
    ],
    "limits narrower than twice their margin": [
        Case(joints(hinge='range="-.1 .1" limited="true" margin="3"')),
        Case(joints(fixed='range="-.1 .1" limited="true" margin="3"')),
    ],
    "fixed tendons": [Case(TENDONS)],
    "spatial tendons, pulleys": [Case(TENDONS), Case(WRAPS)],
    "tendons around spheres and cylinders": [Case(WRAPS)],
    "tendons through spheres and cylinders": [Case(THROUGH)],
    "tendon springs and dampers": [Case(TENDONS)],
    "tendon limits": [Case(TENDONS)],
    "dry friction of tendons": [Case(TENDONS)],
    "limits of a tendon's actuator force": [Case(TENDONS)],
    "armature of fixed tendons": [Case(TENDONS)],
    "armature of fixed tendons between branches": [Case(FINGERS)],
    "armature of spatial tendons": [Case(joints(tendon='armature="1"'))],
    "nonlinear tendon stiffness": [Case(joints(tendon='stiffness="3 1 2"'))],
    "nonlinear tendon damping": [Case(joints(tendon='damping="3 1 2"'))],
    "activations": [Case(ACTUATORS)],
    "affine gain and bias": [Case(ACTUATORS)],
    "muscles": [Case(ACTUATORS)],
    "limits of ctrl, force and activation": [Case(ACTUATORS)],
    "forces at sites": [Case(ACTUATORS)],
    "forces on joints, in the parent's frame too": [Case(ACTUATORS)],
    "history without delay": [Case(ACTUATORS)],
    "adhesion actuators": [Case(actuator('adhesion body="arm" ctrlrange="0 1"'))],
    "slider-cranks": [Case(actuator('motor cranksite="tip" slidersite="crank" cranklength="1"'))],
    "orientation actuators": [Case(actuator('orientation site="tip" refsite="crank" kp="3"'))],
    "DC motors": [Case(actuator('dcmotor joint="hinge" motorconst="1" resistance="1"'))],
    "PID controllers": [Case(actuator('pid joint="hinge" kp="3" ki="1"'))],
    "actuators of the user's own": [
        Case(actuator(f'general joint="hinge" {kind}="user"')) for kind in ("dyntype", "gaintype", "biastype")
    ],
    "delayed actuators": [Case(joints(motor='delay=".02" nsample="4"'))],
    "actuator damping": [Case(joints(motor='damping="2"')), Case(joints(servo='damping="0 2"'))],
    "actuator armature": [Case(joints(motor='armature="2"')), Case(joints(servo='armature="2"'))],
    "activations stepped before their force": [
        Case(actuator('general joint="hinge" dyntype="filter" dynprm=".1" actearly="true"'))
    ],
    "disabled actuator groups": [Case(joints(option='actuatorgroupdisable="1"', motor='group="1"'))],
    "equality of joints": [Case(EQUALITIES)],
    "equality of tendons": [Case(EQUALITIES)],
    "connect and weld": [
        Case(joints().replace("</mujoco>", f"<equality>{words}</equality></mujoco>"))
        for words in ('<connect body1="b" body2="c" anchor="0 .1 .2"/>', '<weld site1="tip" site2="on_c"/>')
    ],
    "solref of two signs, solimp without width or with dmin above dmax": [
        Case(touching(low=words, high=words), contact=True)
        for words in ('solref="-100 1"', 'solimp=".5 .9 0"', 'solimp=".9 .5 .01"')
    ],
    "mocap bodies": [Case(MOCAP)],
    "noslip iterations": [Case(touching(option='noslip_iterations="5"'), contact=True, without=touching())],
    "condim 1, 3, 4 and 6 on pyramids": [
        Case(touching(high=f'condim="{dim}" friction=".5 .1 .2"'), contact=True) for dim in (1, 3, 4, 6)
    ],
    "condim 3, 4 and 6 on elliptic cones": [
        Case(touching(option='cone="elliptic" impratio="5"', high=f'condim="{dim}" friction=".5 .1 .2"'), contact=True)
        for dim in (3, 4, 6)
    ],
    "priority, solmix, solref and solimp of geoms": [
        Case(touching(low=words, high='solmix="3" solref=".01 1"'), contact=True)
        for words in ('priority="1" friction=".3" solref=".05 1" solimp=".8 .9 .1 .5 3"', 'solref="-100 -10"')
    ],
    "margin and gap": [Case(touching(low='margin=".05" gap=".04"', high='margin=".02"'), contact=True)],
    "parameters of pairs": [
        Case(touching(more=pair(f'{words} condim="6" solref=".05 1" margin=".1" gap=".04"')), contact=True)
        for words in ('friction=".3 .4 .1 .2 .3"', 'friction="1 1 .1 .1 .1" solimp=".8 .9 .1 .5 3"')
    ],
    "planes with spheres, ellipsoids, cylinders, boxes; spheres": [
        *(Case(touching(above=shape), contact=True) for shape in ("sphere", "ellipsoid", "cylinder", "box")),
        Case(touching("sphere"), contact=True),
    ],
    "planes with capsules": [Case(touching(above="capsule"), contact=True)],
    "capsules with spheres and capsules": [
        Case(touching("capsule", shape, low='euler="90 0 0"'), contact=True) for shape in ("sphere", "capsule")
    ],
    "other pairs that MJX has a function for": [
        Case(touching(*shapes), contact=True) for shapes in (("box", "box"), ("cylinder", "sphere"), ("hfield", "box"))
    ],
    "pairs that MJX has no function for": [
        *(
            Case(touching(*shapes))
            for shapes in (("box", "cylinder"), ("box", "ellipsoid"), ("mesh", "cylinder"), ("hfield", "cylinder"))
        ),
        Case(touching("mesh", "sdf"), contact=True),
    ],
    "margins of meshes and height fields": [Case(touching("plane", "mesh", low='margin=".1"'))],
    "surface velocities": [Case(touching(low='surfacevel="1 0 0 0 0 0"'), contact=True)],
    "adhesive contacts": [
        Case(touching(low='adhesion="3"'), contact=True),
        Case(touching(more=pair('adhesion="3"')), contact=True),
    ],
    "solreffriction on elliptic cones": [
        Case(touching(option='cone="elliptic"', more=pair('solreffriction=".3 1"')), contact=True)
    ],
    "contacts picked by MJX": [Case(touching(more=SECOND + PICKED), contact=True)],
    "Euler, Runge-Kutta, implicit and implicitfast": [
        Case(joints(option=f'integrator="{name}"')) for name in ("Euler", "RK4", "implicit", "implicitfast")
    ],
    "Newton, CG and PGS": [Case(joints(option=f'solver="{name}"')) for name in ("Newton", "CG", "PGS")],
    "a medium (box model)": [Case(MEDIUM.replace(' wind="1 2 3"', ""))],
    "wind": [Case(MEDIUM)],
    "disable flags": [
        # several at once, none of which hides another
        Case(SPRINGS.replace("<flag ", "<flag " + " ".join(f'{name}="disable"' for name in names.split()) + " "))
        for names in (
            "constraint clampctrl", "frictionloss gravity actuation refsafe",
            "limit eulerdamp filterparent nativeccd island",
        )
    ] + [Case(EQUALITIES.replace("<flag ", '<flag equality="disable" '))],
    "springs disabled and dampers not, or dampers alone": [
        Case(SPRINGS.replace("<flag ", f'<flag {name}="disable" ')) for name in ("spring", "damper")
    ],
    "invdiscrete": [Case(joints(flag='invdiscrete="enable"'))],
    "bodies with a free joint and no children, by implicitfast": [Case(FALLING, integrates=True)],
    "a medium, by implicit or implicitfast": [Case(joints(option='density="9" integrator="implicitfast"'))],
    "ellipsoid model of a medium": [
        Case(joints(option='density="1000" viscosity=".1"', geom='fluidshape="ellipsoid"'))
    ],
    "the discrete integrator": [Case(SPRINGS.replace("<option", '<option integrator="discrete"'), without=SPRINGS)],
    "sleep": [Case(RESTING.format("enable"), contact=True, without=RESTING.format("disable"))],
    "override, diagexact, speculative": [
        Case(joints(flag=f'{name}="enable"')) for name in ("override", "diagexact", "speculative")
    ],
    "energy and fwdinv": [Case(joints(flag=f'{name}="enable"')) for name in ("energy", "fwdinv")],
    "sensors that MJX lacks": [Case(arm(outside="<sensor><user dim='2'/><e_kinetic/></sensor>"))],
    "flexes": [
        Case(
            '<mujoco><worldbody><flexcomp name="cloth" type="grid" count="3 3 1" spacing=".1 .1 .1" dim="2" mass="1"/>'
            "</worldbody></mujoco>"
        )
    ],
}  # fmt: skip
