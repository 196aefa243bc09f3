"""Volume mappings, as docker has them: `[SOURCE:]DESTINATION[:OPTION{,OPTION}]`."""

from dataclasses import dataclass

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
