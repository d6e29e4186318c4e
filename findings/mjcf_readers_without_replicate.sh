#!/usr/bin/env bash
# Drake, Newton and Pinocchio leave out what stands in an MJCF <replicate>, and Newton and Pinocchio what is attached, without a word.
#
# Seen with:  drake 1.58.0, newton 1.8.0, pin 4.1.0, mujoco 4.0.0, Python 3.12.
# Expected:   each has MuJoCo's degrees of freedom and mass, warns (as Drake does of <frame> and <attach>), or refuses the file.
# Happens:    bodies in <replicate> are gone in all three; replicated geoms are gone, and the body that they make up weighs
#             nothing. <attach> is passed over in Newton and Pinocchio, <frame> and <include> in Pinocchio, too. Newton reads all
#             of what MuJoCo's MjSpec.to_xml makes of such a file; there are still frames in it, which the other two leave
#             out. So compare degrees of freedom and total mass with MuJoCo's.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.12}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q drake==1.58.0 newton==1.8.0 pin==4.1.0 mujoco==4.0.0 numpy==2.5.5
cat >"$folder/check.py" <<'PYTHON'
import contextlib
import io
import logging
import warnings

import mujoco

ARM = '<body name="{0}" pos="0 {1} 0"><joint name="{0}" axis="0 1 0"/><geom size=".1" pos=".3 0 0" mass="1"/></body>'
SCENE = ('<mujoco model="scene">{first}<worldbody><body name="base">' + ARM.format("arm", 0)
         + "{second}</body></worldbody></mujoco>")
GEOMS = """<mujoco model="scene"><worldbody><body name="arm"><joint name="arm" axis="0 1 0"/>
  <replicate count="3" offset=".3 0 0"><geom size=".1" mass="1"/></replicate></body></worldbody></mujoco>"""
CASES = {
    "plain": SCENE.format(first="", second=ARM.format("b", 1)),
    "replicate": SCENE.format(first="", second=f'<replicate count="3" offset="0 1 0">{ARM.format("b", 1)}</replicate>'),
    "replicate of geoms": GEOMS,
    "attach": SCENE.format(first='<asset><model name="other" file="other.xml"/></asset>',
                           second='<attach model="other" body="other" prefix="b"/>'),
    "frame": SCENE.format(first="", second=f'<frame pos="0 3 0">{ARM.format("b", 1)}</frame>'),
    "include": SCENE.format(first="", second='<include file="part.xml"/>'),
}
MISSING = {  # what is missing without a word
    "drake": {"replicate", "replicate of geoms"},
    "newton": {"replicate", "replicate of geoms", "attach"},
    "pinocchio": {"replicate", "replicate of geoms", "attach", "frame", "include"},
}


def drake(path):
    from pydrake.multibody.parsing import Parser
    from pydrake.multibody.plant import MultibodyPlant

    said = io.StringIO()
    logging.getLogger("drake").handlers = [logging.StreamHandler(said)]
    plant = MultibodyPlant(0.001)
    Parser(plant).AddModels(path)
    plant.Finalize()
    return plant.num_velocities(), plant.CalcTotalMass(plant.CreateDefaultContext()), said.getvalue()


def newton(path):
    import warp

    warp.config.quiet = True
    import newton

    builder, said = newton.ModelBuilder(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        builder.add_mjcf(path)
    return builder.joint_dof_count, sum(builder.body_mass), said.getvalue() + "".join(str(one.message) for one in warned)


def pinocchio(path):
    import pinocchio

    model = pinocchio.buildModelFromMJCF(path)
    return model.nv, sum(inertia.mass for inertia in model.inertias), ""


with open("other.xml", "w") as file:
    file.write(f'<mujoco model="other"><worldbody>{ARM.format("other", 2)}</worldbody></mujoco>')
with open("part.xml", "w") as file:
    file.write(f"<mujoco>{ARM.format('part', 2)}</mujoco>")
for name, xml in CASES.items():
    spec = mujoco.MjSpec.from_string(xml)
    model = spec.compile()
    with open("scene.xml", "w") as file:
        file.write(xml)
    with open("saved.xml", "w") as file:
        file.write(spec.to_xml())
    line = f"{name}: MuJoCo {model.nv} degrees of freedom, {model.body_mass.sum():.0f} kg"
    for read in (drake, newton, pinocchio):
        nv, mass, said = read("scene.xml")
        line += f"; {read.__name__} {nv}, {mass:.0f} kg{', warns' if said else ''}"
        whole = nv == model.nv and abs(mass - model.body_mass.sum()) < 1e-6
        assert (not whole and not said) == (name in MISSING[read.__name__]), "it changed"
    nv, mass, _ = newton("saved.xml")
    print(f"{line}; saved by MuJoCo, newton {nv}, {mass:.0f} kg")
    assert nv == model.nv and abs(mass - model.body_mass.sum()) < 1e-6, "it changed"
PYTHON
cd "$folder"
venv/bin/python check.py 2>/dev/null | grep "MuJoCo"
# Output:
#   plain: MuJoCo 2 degrees of freedom, 2 kg; drake 2, 2 kg; newton 2, 2 kg; pinocchio 2, 2 kg; saved by MuJoCo, newton 2, 2 kg
#   replicate: MuJoCo 4 degrees of freedom, 4 kg; drake 1, 1 kg; newton 1, 1 kg; pinocchio 1, 1 kg; saved by MuJoCo, newton 4, 4 kg
#   replicate of geoms: MuJoCo 1 degrees of freedom, 3 kg; drake 1, 0 kg; newton 1, 0 kg; pinocchio 1, 0 kg; saved by MuJoCo, newton 1, 3 kg
#   attach: MuJoCo 2 degrees of freedom, 2 kg; drake 1, 1 kg, warns; newton 1, 1 kg; pinocchio 1, 1 kg; saved by MuJoCo, newton 2, 2 kg
#   frame: MuJoCo 2 degrees of freedom, 2 kg; drake 1, 1 kg, warns; newton 2, 2 kg; pinocchio 1, 1 kg; saved by MuJoCo, newton 2, 2 kg
#   include: MuJoCo 2 degrees of freedom, 2 kg; drake 2, 2 kg; newton 2, 2 kg; pinocchio 1, 1 kg; saved by MuJoCo, newton 2, 2 kg
