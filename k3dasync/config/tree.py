"""YAML with line numbers, its plain scalars read as YAML 1.2 says. Pure.

YAML 1.1, which PyYAML reads by itself, takes `8080:53` for the number 484853 and `no` for false.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from k3dasync.config.places import Path, Violation
from k3dasync.errors import ConfigInvalid

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, ScalarNode

_CORE = "tag:yaml.org,2002:"
_MERGE = f"{_CORE}merge"
SCALARS = {
    f"{_CORE}null": r"(?:~|null|Null|NULL|)\Z",
    f"{_CORE}bool": r"(?:true|True|TRUE|false|False|FALSE)\Z",
    f"{_CORE}int": r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z",
    f"{_CORE}float": r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
}
"""What a scalar without quotes is, by tag: the core schema of YAML 1.2, chapter 10.3."""
DEEPEST = 100
"""Levels of a document; k3d's formats have nine, and what is read here recurses."""
MOST_VALUES = 100_000
"""Values of a document, aliases written out: a few lines of those can mean billions."""

TWICE = "the field is there already"
"""Of these the first one is in the document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A document, the line on which each of its paths begins, and what is wrong with it so far."""

    value: Any
    lines: Mapping[Path, int]
    violations: tuple[Violation, ...] = ()
    has_more: bool = False


def parse(text: str, origin: str) -> Tree:
    """Read the first document. Raises ConfigInvalid if it is not YAML."""
    import yaml

    loader = _loader()(text)
    try:
        root = loader.get_node() if loader.check_node() else None
        has_more = loader.check_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{origin}:{mark.line + 1}" if mark else origin
        words = error.problem or error.context
        raise ConfigInvalid(origin, [f"{where}: not YAML: {words}"]) from None
    except yaml.YAMLError as error:
        raise ConfigInvalid(
            origin, [f"{origin}: not YAML: {' '.join(str(error).split())}"]
        ) from None
    except RecursionError:  # of the loader in Python, where there is none in C
        raise ConfigInvalid(origin, [f"{origin}: not YAML: too deep"]) from None
    finally:
        loader.dispose()
    builder = _Builder()
    value = None if root is None else builder.value(root, ())
    return Tree(
        value=value,
        lines=builder.lines,
        violations=tuple(builder.violations),
        has_more=has_more,
    )


@cache
def _loader() -> Any:
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader: Any = type("Loader", (base,), {"yaml_implicit_resolvers": {}})
    for tag, pattern in SCALARS.items():
        loader.add_implicit_resolver(tag, re.compile(pattern), None)
    loader.add_implicit_resolver(_MERGE, re.compile(r"<<\Z"), ["<"])
    return loader


@dataclass(slots=True)
class _Builder:
    """Makes values of nodes, and notes their lines."""

    lines: dict[Path, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    count: int = 0

    def value(self, node: Any, path: Path) -> object:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if not self._has_room():
            return None
        if len(path) > DEEPEST:  # as an alias inside its own anchor is
            self._wrong(path[:3], f"more than {DEEPEST} levels")
            return None
        if node.id == "mapping":
            return self._mapping(node, path)
        if node.id == "sequence":
            return [self.value(one, (*path, index)) for index, one in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: "MappingNode", path: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in self._entries(node, path, within=()):
            self.lines.setdefault((*path, key.value), key.start_mark.line + 1)
            found[key.value] = self.value(value, (*path, key.value))
        return found

    def _entries(
        self, node: "MappingNode", path: Path, *, within: tuple[Any, ...]
    ) -> Iterator[tuple["ScalarNode", Any]]:
        """Yield the entries of a mapping, then those of the ones that are merged into it."""
        seen: dict[str, None] = {}
        merged: list[Any] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                merged += value.value if value.id == "sequence" else [value]
            elif key.id != "scalar":
                self._wrong(path, "a key that is no text")
            elif key.value in seen:
                self.lines[*path, key.value] = key.start_mark.line + 1
                self._wrong((*path, key.value), TWICE)
            else:
                seen[key.value] = None
                yield key, value
        for one in merged:
            if not self._has_room():
                return
            if one.id != "mapping" or one in within or len(within) > DEEPEST:
                self._wrong(path, "what << merges has to be another mapping")
                continue
            for key, value in self._entries(one, path, within=(*within, node)):
                if key.value not in seen:
                    seen[key.value] = None
                    yield key, value

    def _scalar(self, node: "ScalarNode", path: Path) -> object:
        kind = node.tag.removeprefix(_CORE)
        try:
            match kind:
                case "str" | "merge":
                    return node.value
                case "null":
                    return None
                case "bool":
                    return _BOOLEANS[node.value.lower()]
                case "int":
                    return _integer(node.value)
                case "float":
                    return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))
                case _:
                    self._wrong(path, f"unknown tag {node.tag}")
        except (ValueError, KeyError):
            self._wrong(path, f"not what its tag !!{kind} says")
        return None

    def _has_room(self) -> bool:
        """Count a value, and say whether it is still one of those that are read."""
        self.count += 1
        if self.count == MOST_VALUES + 1:
            self._wrong((), f"more than {MOST_VALUES} values")
        return self.count <= MOST_VALUES

    def _wrong(self, path: Path, text: str) -> None:
        self.violations.append(Violation(path, text))


_BOOLEANS = {"true": True, "false": False}


def _integer(text: str) -> int:
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text[2:] if base != 10 else text, base)
