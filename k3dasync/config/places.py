"""Where something stands in a config file. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from k3dasync.errors import ConfigInvalid

Path = tuple[str | int, ...]
"""Keys and indices from the document's root."""

_LONGEST_KEY = 40
"""Of a key in a message: in a broken file it may be a paragraph."""


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong, and where."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The lines of one file; *moved* says where a path of a migrated document was before."""

    origin: str
    lines: Mapping[Path, int] = field(default_factory=dict)
    moved: Mapping[Path, Path] = field(default_factory=dict)

    def at(self, path: Path) -> str:
        """Return `FILE:LINE: PATH`, as the user wrote it; a document's root has no path."""
        before = self.before(path)
        line = self._line(before)
        where = f"{self.origin}:{line}" if line else self.origin
        return f"{where}: {shown(before)}" if before else where

    def refuse(self, violations: Sequence[Violation]) -> None:
        """Raise ConfigInvalid if there are violations."""
        if violations:
            raise self.invalid(violations)

    def invalid(self, violations: Sequence[Violation]) -> ConfigInvalid:
        """Return the error that tells of violations, in the order of their lines."""
        ordered = sorted(violations, key=lambda one: self._line(self.before(one.path)))
        lines = dict.fromkeys(f"{self.at(one.path)}: {one.text}" for one in ordered)
        return ConfigInvalid(self.origin, tuple(lines))

    def before(self, path: Path) -> Path:
        """Return where a path of the document was in the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.moved:
                return (*self.moved[path[:length]], *path[length:])
        return path

    def _line(self, path: Path) -> int:
        """Return the line of the path, or of the nearest thing round it; 0 if none is known."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 0)


def shown(path: Path) -> str:
    """Return a path as people write it: `options.k3s.extraArgs[0].arg`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        word = part[:_LONGEST_KEY]
        word = word if word.isprintable() and word else repr(word)
        text += f".{word}" if text else word
    return text
