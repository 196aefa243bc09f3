"""Documents of older versions, one step at a time up to the current one. Pure.

As k3d's migration, without what it loses on the way: the token, false in options.kubeconfig, and
the notation of the timeout.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from k3dasync.config.places import Path
from k3dasync.config.schemas import CURRENT, VERSIONS, api_version

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Migrated:
    """A document of the current version, and where its parts stood before."""

    document: Document
    moved: Mapping[Path, Path]
    dropped: tuple[str, ...] = ()


def migrate(document: Document, version: str) -> Migrated:
    """Return a valid document of *version* as one of the current version.

    Entries of lists may be None, where what stood there was wrong.
    """
    work = _Work(deepcopy(document))
    for older in VERSIONS[VERSIONS.index(version) : -1]:
        _STEPS[older](work)
    work.document["apiVersion"] = api_version(CURRENT)
    return Migrated(work.document, work.moved, tuple(work.dropped))


@dataclass(slots=True)
class _Work:
    """A document that is being changed."""

    document: Document
    moved: dict[Path, Path] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)

    def below(self, *path: str) -> Document:
        """Return the mapping at that path, made if it is not there."""
        found = self.document
        for name in path:
            found = found.setdefault(name, {})
        return found

    def within(self, *path: str) -> Document:
        """Return the mapping at that path, an empty one if it is not there."""
        found = self.document
        for name in path:
            found = found.get(name, {})
        return found


def _from_2(work: _Work) -> None:
    for one in _filtered(work.document):
        one["nodeFilters"] = [
            text and text.replace("[", ":").replace("]", "") for text in one["nodeFilters"]
        ]
    if "labels" in work.document:
        work.below("options", "runtime")["labels"] = work.document.pop("labels")
        work.moved["options", "runtime", "labels"] = ("labels",)
    _arguments_from_2(work)
    _registry_from_2(work)
    if work.within("options", "k3d").pop("disableHostIPInjection", False):
        work.dropped.append("options.k3d.disableHostIPInjection")


def _registry_from_2(work: _Work) -> None:
    registries = work.within("registries")
    if registries.pop("create", False):
        # Its name follows from the cluster's; k3d takes the file's, even if another one is given.
        registries["create"] = {"hostPort": "random"}


def _filtered(document: Document) -> Iterator[Document]:
    for name in ("volumes", "ports", "env", "labels"):
        yield from (one for one in document.get(name, ()) if one and "nodeFilters" in one)


def _arguments_from_2(work: _Work) -> None:
    k3s = work.within("options", "k3s")
    found: list[Document] = []
    for name, nodes in (("extraServerArgs", "server:*"), ("extraAgentArgs", "agent:*")):
        for index, argument in enumerate(k3s.pop(name, ())):
            if argument is None:
                continue
            work.moved["options", "k3s", "extraArgs", len(found), "arg"] = (
                *("options", "k3s", name, index),
            )
            found.append({"arg": argument, "nodeFilters": [nodes]})
    if found:
        k3s["extraArgs"] = found


def _from_3(work: _Work) -> None:
    if "name" in work.document:
        work.below("metadata")["name"] = work.document.pop("name")
        work.moved["metadata", "name"] = ("name",)


def _from_4(work: _Work) -> None:
    """Change nothing: version 5 only knows more fields."""


_STEPS: Mapping[str, Callable[[_Work], None]] = {
    "v1alpha2": _from_2,
    "v1alpha3": _from_3,
    "v1alpha4": _from_4,
}
