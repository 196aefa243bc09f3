"""What clusters, nodes and registries are called."""

import re
from collections.abc import Mapping
from typing import TypeVar

from k3dasync.invalid import InvalidName

FoundT = TypeVar("FoundT")

PREFIX = "k3d-"
"""Of the names of nodes and registries; whoever types one may leave it out."""
DEFAULT_NAME = "k3s-default"
MAX_NAME = 32
"""k3d's limit: with prefix and suffix a node's name stays below a hostname's 63 characters."""
_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"


def check_given(name: str) -> str:
    """Return the name of a cluster that is looked for; raises SpecError if that is empty.

    No rule else: k3d's clusters may be called what ours may not, and one that no cluster can have
    is not found.
    """
    if not name:
        raise InvalidName("the cluster name is empty; is a variable not set?")
    return name


def check_name(name: str) -> str:
    """Return *name* if a cluster can be called so; raises SpecError if it cannot."""
    check_given(name)
    if len(name) > MAX_NAME:
        raise InvalidName(f"cluster name {name} has {len(name)} characters, at most {MAX_NAME}")
    if not re.fullmatch(_NAME, name):
        raise InvalidName(
            f"cluster name {name!r} is not a hostname: expected small letters and digits, "
            "between them also '-' and '.'"
        )
    return name


def spellings(name: str) -> tuple[str, str]:
    """Return the names that a node or registry can have which is called so."""
    return name, f"{PREFIX}{name}"


def called(found: Mapping[str, FoundT], name: str) -> FoundT | None:
    """Return what is called so, by its whole name first; None if nothing is."""
    return next((found[one] for one in spellings(name) if one in found), None)


def with_prefix(name: str) -> str:
    """Return the whole name of a node or registry."""
    return f"{PREFIX}{name.removeprefix(PREFIX)}"
