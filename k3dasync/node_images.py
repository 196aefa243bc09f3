"""The images in nodes, from what each node's crictl says. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

NAMELESS = "<none>"
"""What everybody writes in place of a name that an image does not have."""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class NodeImage:
    """An image by one of its names, in containerd's store; `size` in bytes as stored: packed."""

    name: str
    id: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedImage:
    """An image of a cluster: the nodes that have it, and those asked that do not."""

    cluster: str
    name: str
    id: str
    size: int
    nodes: tuple[str, ...]
    lacking: tuple[str, ...]


class _Image(msgspec.Struct, rename="camel"):
    id: str
    size: str | int = 0
    repo_tags: tuple[str, ...] | None = None
    repo_digests: tuple[str, ...] | None = None


class _Images(msgspec.Struct):
    images: tuple[_Image, ...] | None = None


def of_crictl(said: bytes) -> tuple[NodeImage, ...]:
    """Return what `crictl images -o json` lists, an entry a name; raises ValueError for others."""
    try:
        found = msgspec.json.decode(said, type=_Images)
        return tuple(_named(found.images or ()))
    except (msgspec.DecodeError, ValueError) as error:
        raise ValueError(f"what crictl says is no list of images: {error}") from error


def _named(images: Sequence[_Image]) -> Iterator[NodeImage]:
    for image in images:
        names = image.repo_tags or (image.repo_digests or (NAMELESS,))[:1]
        for name in names:
            yield NodeImage(name=name, id=image.id, size=int(image.size))


def merged(cluster: str, by_node: Mapping[str, Sequence[NodeImage]]) -> tuple[ListedImage, ...]:
    """Return the images of a cluster by name; one name with two ids is two images."""
    sizes: dict[tuple[str, str], int] = {}
    nodes: dict[tuple[str, str], list[str]] = {}
    for node, images in by_node.items():
        for image in images:
            key = (image.name, image.id)
            sizes[key] = image.size
            nodes.setdefault(key, []).append(node)
    return tuple(
        ListedImage(
            cluster=cluster,
            name=name,
            id=id,
            size=sizes[name, id],
            nodes=tuple(having),
            lacking=tuple(node for node in by_node if node not in having),
        )
        for (name, id), having in sorted(nodes.items())
    )
