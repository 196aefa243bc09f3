"""Volume mappings, as docker has them: `[SOURCE:]DESTINATION[:OPTION{,OPTION}]`."""

import os.path
import re
from dataclasses import dataclass, replace

from k3dasync.errors import InvalidVolume
from k3dasync.grammar.text import Text

SHORTCUTS = {
    "k3s-storage": "/var/lib/rancher/k3s/storage",
    "k3s-manifests": "/var/lib/rancher/k3s/server/manifests",
    "k3s-manifests-custom": "/var/lib/rancher/k3s/server/manifests/custom",
    "k3s-containerd": "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
    "k3s-containerd-tmpl": "/var/lib/rancher/k3s/agent/etc/containerd/config.toml.tmpl",
    "k3s-registry-config": "/etc/rancher/k3s/registries.yaml",
}
"""k3d's words for k3s's paths, as destinations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMapping:
    """A mount; without a source the engine makes an anonymous volume."""

    destination: str
    source: str = ""
    options: str = ""

    @property
    def is_named(self) -> bool:
        """Whether the source is a volume's name, not a path of the engine's host."""
        return bool(self.source) and "/" not in self.source

    def __str__(self) -> str:
        parts = (self.source, self.destination, self.options)
        return ":".join(part for part in parts if part)


def parse(text: str) -> VolumeMapping:
    """Read a mapping; a shortcut as destination becomes its path.

    Raises InvalidVolume if it is none.
    """
    reader = Text(text, error=InvalidVolume)
    source, start = "", reader.at
    destination = reader.need("[^:]+", "a path")
    if reader.take(":"):
        source, start = destination, reader.at
        destination = reader.need("[^:]+", "the path in the node")
    destination = SHORTCUTS.get(destination, destination)
    if not destination.startswith("/"):
        reader.at = start
        reader.fail(f"an absolute path in the node, or one of {', '.join(SHORTCUTS)}")
    options = reader.need("[^:]+", "options, such as ro") if reader.take(":") else ""
    reader.end("the end: a mapping has at most two ':'")
    return VolumeMapping(source=source, destination=destination, options=options)


def from_folder(mapping: VolumeMapping, folder: str) -> VolumeMapping:
    """Return a mapping whose source, if it is a path from a folder or from home, begins at `/`.

    The engine knows no other ones; docker's own command does the same.
    """
    if not re.match(r"(\.{1,2}|~)(/|$)", mapping.source):
        return mapping
    source = os.path.expanduser(mapping.source)  # noqa: PTH111 - a text, which may name nothing
    return replace(mapping, source=os.path.normpath(os.path.join(folder, source)))  # noqa: PTH118
