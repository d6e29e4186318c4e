"""A plan's YAML, read as people mean it, where PyYAML reads YAML 1.1.

In that, 010 is eight, 1:30 ninety, 1e-3 and 2026-01-01 are a text and a date, and of two equal keys the last one holds.
"""

import re
import reprlib
from typing import Any, ClassVar

import yaml

from jacdb.errors import UsageError

_DIGITS = "[0-9]+(?:_[0-9]+)*"
_MERGE = "tag:yaml.org,2002:merge"
# What is written without quotes, and how such a text begins; what is none of these is text
_SCALARS = {
    "merge": ("<<", "<"),
    "null": ("~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (f"[-+]?{_DIGITS}", "-+0123456789"),
    "float": (
        rf"[-+]?(?:\.{_DIGITS}|{_DIGITS}(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
}


class PlanLoader(yaml.SafeLoader):
    """Loads decimal numbers, true, false, null and text; a key that stands twice in a mapping is refused."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {}  # in the place of YAML 1.1's

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Return what a node stands for.

        Raises:
            UsageError: its text is none of its type, for which PyYAML raises whatever its conversion does.
        """
        try:
            return super().construct_object(node, deep)
        except (LookupError, AttributeError, ArithmeticError, TypeError, ValueError) as error:
            kind = node.tag.rpartition(":")[2]
            raise UsageError(
                f"line {node.start_mark.line + 1}: {reprlib.repr(node.value)} can't be read as {kind}: give another"
                " value, or a text in quotes"
            ) from error

    def compose_mapping_node(self, anchor: str | None) -> Any:
        """Return a mapping, whose keys are its own: merged ones (``<<``) come later, and may be replaced.

        Raises:
            UsageError: a key stands twice, be it once with a dash and once with an underscore.
        """
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == _MERGE or not isinstance(key, yaml.ScalarNode):
                continue
            name, line = key.value.replace("-", "_"), key.start_mark.line + 1
            if name in lines:
                raise UsageError(
                    f"line {line}: {key.value} stands twice in an entry, in line {lines[name]} too: give it once, with"
                    " a list if it has several values"
                )
            lines[name] = line
        return node


def _int(loader: PlanLoader, node: Any) -> int:
    return int(loader.construct_scalar(node))


for _kind, (_written, _first) in _SCALARS.items():
    PlanLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_written})$"), _first)
PlanLoader.add_constructor("tag:yaml.org,2002:int", _int)
