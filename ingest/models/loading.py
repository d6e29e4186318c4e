"""Loads a MuJoCo model of one's own: MJCF or URDF, MuJoCo's binary MJB, or a Python function that makes one.

What a run keeps of it is the MJB (:meth:`LoadedModel.save`): read back by the same MuJoCo it is the compiled model, bit
for bit. The XML that MuJoCo writes of a model is not: it rounds to a few digits, and bodies of Gymnasium's Cheetah that
is compiled from it have masses that differ by 5e-6 kg.
"""

import contextlib
import hashlib
import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import mujoco
import numpy as np

from jacdb.atomic_file import draft_of
from jacdb.checksum import sha256_of
from jacdb.errors import UsageError
from jacdb.ingest.models.python_file import NAMED, PythonFunction, named

XML, BINARY = (".xml", ".urdf"), ".mjb"
KINDS = "a model as .xml, .urdf or .mjb, or a function that returns one as FILE.py:FUNCTION"


@dataclass(frozen=True)
class LoadedModel:
    """A model, compiled, and what it was made of.

    Attributes:
        model: MuJoCo's compiled model.
        name: what the dataset calls it: letters, digits, ``_``, ``.`` and ``-``.
        source: what a person typed.
        hash: of the compiled model, so of all that determines a step but MuJoCo's version.
        files: SHA-256 of the XML and of all files that it includes and names, by their paths from its folder; of the
            Python file of a function.
    """

    model: mujoco.MjModel
    name: str
    source: str
    hash: str
    files: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the compiled model as MJB, whole or not at all; :func:`load` reads it back."""
        with draft_of(path) as draft:
            draft.write_bytes(binary(self.model))
            draft.replace(path)


def check(text: str) -> None:
    """Refuse what is no model by its name, or is not there, without compiling it.

    Raises:
        UsageError: it is so.
    """
    if NAMED.fullmatch(text):
        named(text)
        return
    path = Path(text)
    if path.suffix.lower() not in (*XML, BINARY):
        raise UsageError(f"{text!r} is no model: give {KINDS}")
    if not path.is_file():
        raise UsageError(f"there is no model file {text}: give {KINDS}")


def load(text: str) -> LoadedModel:
    """Load a model.

    Args:
        text: the path of an MJCF, URDF or MJB file; or ``FILE.py:FUNCTION``, where the function takes nothing and
            returns an ``MjModel`` or an ``MjSpec``.

    Raises:
        UsageError: there is no such file, MuJoCo can't compile it (its message), a mesh or an include is missing, or
            the function raises or returns something else.
    """
    check(text)
    silence_warnings()
    # MuJoCo knows a mesh that it has read by its path and its time to the second, and would not read a newer one
    mujoco.mj_clearCache(mujoco.mj_getCache())
    if NAMED.fullmatch(text):
        function = PythonFunction(text)
        model, files = _returned(function), {function.path.name: function.sha256}
    else:
        path = Path(text)
        model = _compiled(path)
        if path.suffix.lower() in XML:
            model = _wherever_it_lies(model, path)
            files = _files(path, model)
        else:
            files = {path.name: sha256_of(path)}
    return LoadedModel(model, name_of(text), text, hash_of(model), files)


def name_of(text: str) -> str:
    """Return what the dataset calls a model, without loading it.

    Raises:
        UsageError: there is no such Python file.
    """
    name = ".".join((named(text)[0].stem, named(text)[1])) if NAMED.fullmatch(text) else Path(text).stem
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def silence_warnings() -> None:
    """Send MuJoCo's warnings to Python's log: it would print them, and leave a MUJOCO_LOG.TXT in the user's folder."""
    mujoco.set_mju_user_warning(logging.getLogger("mujoco").info)


def binary(model: mujoco.MjModel) -> bytes:
    """Return the compiled model in MuJoCo's binary format."""
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


def hash_of(model: mujoco.MjModel) -> str:
    """Return a hash of the compiled model."""
    return hashlib.blake2b(binary(model), digest_size=16).hexdigest()


def _returned(function: PythonFunction) -> mujoco.MjModel:
    made = function()
    if isinstance(made, mujoco.MjSpec):
        try:
            return made.compile()
        except (ValueError, mujoco.FatalError) as error:
            raise UsageError(f"{function.text} returned a model that does not compile: {_said(error)}") from error
    if not isinstance(made, mujoco.MjModel):
        raise UsageError(f"{function.text} returned a {type(made).__name__}: return a mujoco.MjModel or MjSpec")
    return made


def _compiled(path: Path) -> mujoco.MjModel:
    is_binary = path.suffix.lower() == BINARY
    read = mujoco.MjModel.from_binary_path if is_binary else mujoco.MjModel.from_xml_path
    try:
        return read(str(path))
    except (ValueError, mujoco.FatalError) as error:
        if is_binary:
            raise UsageError(
                f"{path} is broken, or an MJB of another MuJoCo than {mujoco.__version__}: an MJB is for one version"
                " alone; give the XML"
            ) from error
        raise UsageError(f"{path} does not compile: {_said(error)}") from error


def _wherever_it_lies(model: mujoco.MjModel, path: Path) -> mujoco.MjModel:
    """Return a model of an XML file with the paths of its other files (meshes, textures) as its own folder has them.

    A compiled model holds these paths as they were typed, from the root or from the current folder. Its hash, and so
    the ids of its runs, would be another on each machine. So it is compiled once more, in its own folder: the current
    folder of the whole process is that one meanwhile.
    """
    if not model.paths.strip(b"\0"):
        return model
    mujoco.mj_clearCache(mujoco.mj_getCache())
    with contextlib.chdir(path.parent):
        return mujoco.MjModel.from_xml_path(path.name)


def _files(path: Path, model: mujoco.MjModel) -> dict[str, str]:
    """Return the SHA-256 of an XML file and of all files that it depends on, by their paths from its folder.

    A link is the file that it leads to, under the link's own name: MuJoCo finds what a file names beside the link.
    """
    folder = path.parent.resolve()
    # MjSpec tells what a file is by its suffix, and knows none in upper case, which MjModel takes
    called = str(path.with_suffix(path.suffix.lower()))
    meshes = folder / mujoco.MjSpec.from_file(called, include={called: path.read_bytes()}).compiler.meshdir
    listed = [*mujoco.mju_getXMLDependencies(str(folder / path.name))]
    if path.suffix.lower() == ".urdf":  # of which MuJoCo lists no meshes
        listed += [str(folder / read.decode()) for read in model.paths.split(b"\0") if read]
    found = {}
    for name in listed:
        # MuJoCo lists height fields by their names alone, and opens them in meshdir
        there = next((file for file in (Path(name), meshes / Path(name).name) if file.is_file()), None)
        if there:
            found[Path(os.path.relpath(name, folder)).as_posix()] = sha256_of(there)
    return dict(sorted(found.items()))


def _said(error: Exception) -> str:
    """Return MuJoCo's message, which may have several lines, as one."""
    return " ".join(str(error).split())
