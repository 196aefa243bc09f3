"""The versions there are of a component: the tags of its image, chosen and sorted."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from k3dasync import registry_api
from k3dasync.invalid import InvalidValue

REPOSITORIES = {
    "k3d": "ghcr.io/k3d-io/k3d",
    "k3s": "docker.io/rancher/k3s",
    "k3d-proxy": "ghcr.io/k3d-io/k3d-proxy",
    "k3d-tools": "ghcr.io/k3d-io/k3d-tools",
}
"""k3d's components, and where their images are."""
UNUSUAL = r"^sha-|.(rc|engine|dind|alpha|beta|dev|test|arm|arm64|amd64|s390x)"
"""What k3d leaves out if not told otherwise: digests, what is not released, single platforms."""
_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:[-+](.+))?")
Order = Literal["desc", "asc", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which tags are wanted: regular expressions, an order, how many at most (0: all)."""

    include: str = ".*"
    exclude: str = UNUSUAL
    order: Order = "desc"
    limit: int = 0


async def list_tags(component: str, choice: Choice) -> tuple[str, list[str]]:
    """Return the repository of a component and its tags; any repository is a component too.

    Raises SpecError if it is none, or an expression is none; TagsUnavailable.
    """
    from k3dasync.docker import credentials

    name = REPOSITORIES.get(component, component)
    if "/" not in name:
        known = ", ".join(REPOSITORIES)
        raise InvalidValue(f"{component}: expected {known}, or a repository with its registry")
    include, exclude = (
        _expression("include", choice.include),
        _expression("exclude", choice.exclude),
    )
    registry, full = credentials.split_image(name)
    login = await credentials.login(name, os.environ, Path.home())
    found = await registry_api.tags(registry, full.partition("/")[2], login)
    wanted = (tag for tag in found if include.search(tag) and not exclude.search(tag))
    ordered = in_order(wanted, choice.order)
    return name, ordered[: choice.limit or None]


def _expression(flag: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise InvalidValue(f"--{flag} {text!r} is no regular expression: {error}") from None


def in_order(tags: Iterable[str], order: Order) -> list[str]:
    """Return tags by version, whatever is none of them behind; with `off` as they are."""
    if order == "off":
        return list(tags)
    known = list(tags)
    versions = [tag for tag in known if _VERSION.fullmatch(tag)]
    others = [tag for tag in known if not _VERSION.fullmatch(tag)]
    is_descending = order == "desc"
    return [
        *sorted(versions, key=_key, reverse=is_descending),
        *sorted(others, reverse=is_descending),
    ]


def _key(tag: str) -> tuple[tuple[int, ...], bool, list[tuple[bool, int, str]], str]:
    """Return what sorts versions as semver does: what stands behind a dash comes before none."""
    found = _VERSION.fullmatch(tag)
    assert found is not None
    numbers = tuple(int(part or 0) for part in found.groups()[:3])
    parts = re.split(r"(\d+)", found[4] or "")
    words = [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
    return numbers, not found[4], words, tag
