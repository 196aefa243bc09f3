"""Files that nodes get: `source` and `destination`, as config files have them."""

import posixpath
from dataclasses import dataclass, field

from k3dasync.errors import InvalidVolume
from k3dasync.grammar.filters import NodeFilter
from k3dasync.grammar.volumes import SHORTCUTS

_IN_MEMORY = ("/run", "/var/run", "/proc", "/sys", "/dev")
"""Where a node has memory or the kernel's own, so that what lies there is hidden or lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFile:
    """A file that nodes get before their first start; without filters every node gets it.

    `source` is the content if it has more than one line, else an absolute path on this machine;
    `destination` is an absolute path in the node. `content` is None until the path has been read.
    """

    source: str
    destination: str
    filters: tuple[NodeFilter, ...] = ()
    description: str = ""
    content: bytes | None = field(default=None, compare=False, repr=False)
    origin: str = field(default="", compare=False)

    @property
    def is_inline(self) -> bool:
        """Whether the source is the content itself."""
        return "\n" in self.source

    def __str__(self) -> str:
        filters = f"@{';'.join(map(str, self.filters))}" if self.filters else ""
        return f"{self.destination}{filters}"


def parse_destination(text: str) -> str:
    """Return the absolute path in the node; a shortcut as first element becomes its path.

    Raises InvalidVolume if there can be no file.
    """
    first, slash, rest = text.partition("/")
    path = f"{SHORTCUTS[first]}{slash}{rest}" if first in SHORTCUTS else text
    if not path.startswith("/"):
        words = ", ".join(SHORTCUTS)
        raise InvalidVolume(
            text, 0, f"an absolute path in the node, or one that begins with {words}"
        )
    if path.endswith("/") or "\0" in path:
        raise InvalidVolume(text, len(text), "a file's name")
    # Not //etc, which POSIX lets be something else.
    path = posixpath.normpath(f"/{path.lstrip('/')}")
    if path == "/" or any(path == one or path.startswith(f"{one}/") for one in _IN_MEMORY):
        expected = f"a path outside of {', '.join(_IN_MEMORY)}: what lies there does not stay"
        raise InvalidVolume(text, 0, expected)
    return path
