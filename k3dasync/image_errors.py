"""What goes wrong with images beside their import. Pure.

K3dAsyncError
├── BuildFailed      an image was not built             exit 1
└── ImagesUnknown    nodes do not say what they have    exit 1
"""

from collections.abc import Mapping, Sequence

from k3dasync.errors import K3dAsyncError


class BuildFailed(K3dAsyncError):
    """An image was not built, so nothing was imported."""

    code = "IMAGE_BUILD_FAILED"
    remedy = "The builder's words say what it needs; nothing was imported."

    def __init__(self, tags: Sequence[str], words: str) -> None:
        super().__init__(f"cannot build {', '.join(tags)}: {words}")


class ImagesUnknown(K3dAsyncError):
    """Nodes did not say which images they have."""

    code = "IMAGES_UNKNOWN"
    remedy = "Look at the nodes that are named; what the others have was listed."

    def __init__(self, why: Mapping[str, str]) -> None:
        said = "; ".join(f"{node}: {words}" for node, words in why.items())
        super().__init__(f"cannot list the images of all nodes: {said}")
