"""Which platform of an image to export, where the engine has only some of them. Pure.

An engine with containerd's image store keeps an image's whole index and the platforms that were
pulled. It exports both, and no containerd imports what an index names and the archive has not
(https://github.com/kubernetes-sigs/kind/issues/3795). Asked for one platform, it exports that.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

SINCE = (1, 48)
"""The API with which an export takes a platform; listings show manifests since 1.47."""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
"""What kernels call them, and what images do."""
Platform = Mapping[str, Any]


def knows_platforms(api_version: str) -> bool:
    """Say whether an engine that speaks that version, `v1.48`, can be asked for one platform."""
    parts = api_version.removeprefix("v").split(".")
    return all(part.isdecimal() for part in parts) and tuple(map(int, parts)) >= SINCE


def wanted_platform(
    images: Sequence[Mapping[str, Any]], tags: Sequence[str], architecture: str
) -> str | None:
    """Return the platform to export all of *tags* for, as the API wants it, None for everything.

    *images* is the engine's listing with manifests, *architecture* the engine's own, which is that
    of the nodes: it is preferred.
    """
    asked = [one for one in images if set(tags) & set(one.get("RepoTags") or ())]
    partial = [one for one in asked if not all(map(_is_there, one.get("Manifests") or ()))]
    if not partial:
        return None
    common = _platforms(partial[0])
    for image in asked:
        if image.get("Manifests"):
            has = _platforms(image)
            common = [one for one in common if one in has]
    own = _ARCHITECTURES.get(architecture, architecture)
    chosen = sorted(common, key=lambda one: one.get("architecture") != own)[:1]
    return json.dumps(chosen[0]) if chosen else None


def _is_there(manifest: Mapping[str, Any]) -> bool:
    return bool(manifest.get("Available"))


def _platforms(image: Mapping[str, Any]) -> list[Platform]:
    """Return the platforms of an image that are there; attestations and the like are none."""
    return [
        manifest["ImageData"]["Platform"]
        for manifest in image.get("Manifests") or ()
        if _is_there(manifest) and manifest.get("Kind") == "image" and manifest.get("ImageData")
    ]
