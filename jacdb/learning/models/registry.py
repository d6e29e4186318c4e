"""Find a model by its name, by an entry point, or as FILE.py:Class. Nothing here imports JAX."""

import dataclasses
import importlib
import importlib.metadata
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jacdb import file_module
from jacdb.checksum import sha256_of
from jacdb.errors import UsageError, first_line, suggestion

if TYPE_CHECKING:
    from jacdb.learning.models.model import WorldModel

GROUP = "jacdb.learning.models"  # of entry points: a package that is installed adds models
BUILT_IN = {
    "cdl": "jacdb.learning.models.cdl:CDL",
    "fcdl": "jacdb.learning.models.fcdl:FCDL",
    "graph_network": "jacdb.learning.models.graph_network:GraphNetwork",
    "locally_linear": "jacdb.learning.models.locally_linear:LocallyLinear",
    "mlp": "jacdb.learning.models.mlp:MLP",
    "spartan": "jacdb.learning.models.spartan:Spartan",
}
_METHODS = ("init", "predict")
_FROM_0 = ("depth", "rounds")  # whole numbers of the built-in models that may be 0; all others are at least 1


def names() -> list[str]:
    """Return the names of models, sorted: jacdb's own, and those of installed packages."""
    return sorted({*BUILT_IN, *(point.name for point in importlib.metadata.entry_points(group=GROUP))})


def check_name(name: str) -> None:
    """Refuse a name that no model has, before JAX is imported.

    Raises:
        UsageError: there is no such model, or no such file.
    """
    path, colon, class_name = name.rpartition(":")
    if colon:
        if not path.endswith(".py") or not class_name.isidentifier():
            raise UsageError(f"--model {name}: give a model's name, or FILE.py:Class")
        if not Path(path).is_file():
            raise UsageError(f"--model {name}: there is no file {path}")
    elif name not in names():
        raise UsageError(f"no model {name!r}: {suggestion(name, names())}; or give FILE.py:Class")


def settings_of(words: Sequence[str]) -> dict[str, Any]:
    """Return settings that were typed as NAME=VALUE, the values read as JSON, or else as text.

    Raises:
        UsageError: a word has no `=`, or a name comes twice.
    """
    settings: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--set {word}: give NAME=VALUE, such as width=256")
        if name in settings:
            raise UsageError(f"--set {name} is given twice: it takes one value")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    return settings


def make(name: str, settings: Mapping[str, Any]) -> "WorldModel":
    """Return a model with its settings.

    Raises:
        UsageError: there is no such model, it lacks a method, it has no such setting, or a value is of the wrong kind.
    """
    check_name(name)
    kind = _class(name)
    known = inspect.signature(kind).parameters
    for setting in settings:
        if setting not in known:
            raise UsageError(f"--set {setting}: {name} has no such setting; {suggestion(setting, known)}")
        _check_value(setting, settings[setting], known[setting].annotation, bounded=name in BUILT_IN)
    try:
        model: WorldModel = kind(**_as_annotated(kind, settings))
    except (TypeError, ValueError) as error:
        raise UsageError(f"--model {name}: {first_line(error)}") from error
    if missing := [method for method in _METHODS if not callable(getattr(model, method, None))]:
        raise UsageError(f"--model {name}: it has no method {missing[0]}; docs/learning.md shows a whole model")
    return model


def has_setting(name: str, setting: str) -> bool:
    """Return whether a model has a setting of this name.

    Raises:
        UsageError: there is no such model.
    """
    return setting in inspect.signature(_class(name)).parameters


def described(name: str, model: "WorldModel", settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what determines a model: its name, all its settings, and of a file its checksum.

    Those of modules beside the file that it imports come too, where it imports any.
    """
    if dataclasses.is_dataclass(model) and not isinstance(model, type):
        settings = {field.name: getattr(model, field.name) for field in dataclasses.fields(model) if field.init}
    about: dict[str, Any] = {"model": name, "settings": _as_annotated(type(model), settings)}
    if path := name.rpartition(":")[0]:
        about |= {"model": f"{Path(path).name}:{name.rpartition(':')[2]}"}
        about["source_sha256"] = sha256_of(Path(path))
        if imported := file_module.imports(Path(path)):
            about["imports_sha256"] = {module: sha256_of(file) for module, file in imported.items()}
    return about


def _as_annotated(kind: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with numbers as the class takes them: a weight that is typed as 1 is 1.0, the same model."""
    floats = {name for name, one in inspect.signature(kind).parameters.items() if one.annotation in (float, "float")}
    return {key: float(value) if key in floats and type(value) is int else value for key, value in settings.items()}


def _check_value(setting: str, value: Any, kind: Any, *, bounded: bool) -> None:
    """Refuse a value that is not of the setting's kind, if that is a number.

    Args:
        setting: its name.
        value: its value.
        kind: its annotation.
        bounded: whether it is a built-in model's, and so counts or weighs something; others may be of any sign.

    Raises:
        UsageError: it is not.
    """
    wanted = ""
    if kind in (int, "int"):
        least = 0 if setting in _FROM_0 else 1
        if type(value) is not int or (bounded and value < least):
            wanted = f"a whole number, {least} or more" if bounded else "a whole number"
    elif kind in (float, "float") and (not _is_finite(value) or (bounded and value < 0)):
        wanted = "a number, 0 or more" if bounded else "a number"
    if wanted:
        raise UsageError(f"--set {setting}={value}: give {wanted}")


def _is_finite(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _class(name: str) -> Any:
    path, colon, class_name = name.rpartition(":")
    if colon:
        return _class_of_file(Path(path), class_name)
    if name in BUILT_IN:
        module, _, class_name = BUILT_IN[name].partition(":")
        return getattr(importlib.import_module(module), class_name)
    [point] = [point for point in importlib.metadata.entry_points(group=GROUP) if point.name == name][:1]
    try:
        return point.load()
    except Exception as error:  # whatever a package of somebody else's raises
        raise UsageError(f"--model {name}: {point.value} can't be loaded: {first_line(error)}") from error


def _class_of_file(path: Path, class_name: str) -> Any:
    try:
        module = file_module.load(path)
    except Exception as error:  # whatever somebody's file raises
        raise UsageError(f"--model {path}: it can't be loaded: {type(error).__name__}: {first_line(error)}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise UsageError(f"{path} has no class {class_name!r}: {suggestion(class_name, classes)}")
    return found
