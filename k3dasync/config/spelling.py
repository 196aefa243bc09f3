"""Field names in any case, as k3d's reader takes them, to those of the schema. Pure."""

from dataclasses import dataclass, field

from k3dasync.config.places import Path, Violation
from k3dasync.config.schemas import Schema, properties
from k3dasync.config.tree import TWICE, Tree


def spelled(tree: Tree, schema: Schema) -> Tree:
    """Return the document with every known field as the schema spells it."""
    speller = _Speller(tree)
    value = speller.value(tree.value, schema, (), ())
    return Tree(
        value=value,
        lines=speller.lines,
        violations=(*speller.moved_violations(), *speller.violations),
        has_more=tree.has_more,
    )


@dataclass(slots=True)
class _Speller:
    tree: Tree
    lines: dict[Path, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    paths: dict[Path, Path] = field(default_factory=dict)

    def moved_violations(self) -> tuple[Violation, ...]:
        """Return what was wrong before, at the new paths."""
        return tuple(
            Violation(self.paths.get(one.path, one.path), one.text) for one in self.tree.violations
        )

    def value(self, value: object, schema: Schema, before: Path, path: Path) -> object:
        self.paths[before] = path
        if before in self.tree.lines:
            self.lines[path] = self.tree.lines[before]
        if isinstance(value, dict):
            return self._mapping(value, schema, before, path)
        if isinstance(value, list):
            items = schema.get("items", {})
            return [
                self.value(one, items, (*before, index), (*path, index))
                for index, one in enumerate(value)
            ]
        return value

    def _mapping(
        self, value: dict[str, object], schema: Schema, before: Path, path: Path
    ) -> dict[str, object]:
        known = {name.lower(): name for name in properties(schema)}
        found: dict[str, object] = {}
        for key, one in value.items():
            name = known.get(key.lower(), key)
            below = properties(schema).get(name, {})
            if name in found:
                self.violations.append(Violation((*path, name), TWICE))
                continue
            found[name] = self.value(one, below, (*before, key), (*path, name))
        return found
