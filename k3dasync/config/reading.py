"""From a valid document of the current version to a spec. Pure but for `text_of`.

What the schema cannot say, grammars and limits, is checked here, and all that is wrong is told.
"""

import os.path
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from k3dasync import registries_yaml
from k3dasync.config.fields import ENTRIES, FIELDS, Entries
from k3dasync.config.places import Path, Places, Violation
from k3dasync.config.pruning import besides
from k3dasync.errors import SpecError
from k3dasync.grammar import exposure, filters, registries, volumes
from k3dasync.grammar.exposure import Exposure
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.filters import NodeFilter
from k3dasync.grammar.node_files import NodeFile, parse_destination
from k3dasync.grammar.words import HostAlias, Ulimit, parse_host_alias, parse_ulimit
from k3dasync.spec import ApiPort, ClusterSpec, Datastore, RegistryProxy, RegistrySpec, check

ValueT = TypeVar("ValueT")
ReadText = Callable[[str], str]
_ABSENT = object()
_FLAG = re.compile(r"\A--[a-z-]+[:=]? ?")
"""How errors about flags begin; in a file the place says it."""


def spec_of(
    document: object,
    places: Places,
    *,
    folder: str = "/",
    text_of: ReadText = registries_yaml.text_of,
    known: Sequence[Violation] = (),
) -> ClusterSpec:
    """Return what a document asks for; paths in it start from *folder*.

    *text_of* returns the text of a registries.yaml, given itself or by its path. Origins in the
    spec name the places in the file.

    Raises ConfigInvalid, with all that is wrong, if it cannot be understood, or if something is
    *known* to be wrong with what the document was made of.
    """
    reading = _Reading(document, places, folder, text_of)
    found = {
        **dict(reading.fields()),
        **{entries.name: reading.entries(entries) for entries in ENTRIES},
        "api_port": reading.api_port(),
        "datastore": reading.datastore(),
        "ulimits": tuple(reading.ulimits()),
        "host_aliases": tuple(reading.host_aliases()),
        "files": tuple(reading.files()),
        "registry": reading.registry(),
        "registries": tuple(reading.registries()),
        "registry_config": reading.registry_config(),
    }
    places.refuse([*known, *besides(reading.violations, known, places)])
    return ClusterSpec(**found)


@dataclass(slots=True)
class _Reading:
    """One document that is being read, and what was wrong with it so far."""

    document: object
    places: Places
    folder: str
    text_of: ReadText
    violations: list[Violation] = field(default_factory=list)

    def get(self, path: Path, default: Any = None) -> Any:
        """Return what stands at a path."""
        found: Any = self.document
        for part in path:
            if isinstance(found, list) and isinstance(part, int):
                found = found[part]
            else:
                found = found.get(part, _ABSENT) if isinstance(found, dict) else _ABSENT
        return default if found is _ABSENT else found

    def parsed(self, path: Path, parse: Callable[[Any], ValueT], value: Any) -> ValueT | None:
        """Return what a value means, None if it means nothing, which is noted."""
        try:
            return parse(value)
        except SpecError as error:
            self.violations.append(Violation(path, _FLAG.sub("", str(error))))
            return None

    def fields(self) -> Iterator[tuple[str, Any]]:
        """Yield the fields that stand in one place."""
        for one in FIELDS:
            value = self.get(one.path, _ABSENT)
            if value is _ABSENT:
                continue
            if isinstance(value, list):
                value = [self.get(path) for path in self.each(one.path)]
            before = len(self.violations)
            found = self.parsed(one.path, one.read, value)
            if len(self.violations) == before:
                # Whatever else holds for it, too: the rest of an empty spec is right.
                self.parsed(one.path, partial(_checked_alone, one.name), found)
            if len(self.violations) == before:
                yield one.name, found

    def each(self, path: Path) -> Iterator[Path]:
        """Yield the paths of a list's entries, but of those that were wrong: they are None."""
        for index, one in enumerate(self.get(path, ())):
            if one is not None:
                yield (*path, index)

    def entries(self, entries: Entries) -> tuple[Filtered, ...]:
        """Return the entries of a list with filters."""
        return tuple(one for path in self.each(entries.path) for one in self._entry(entries, path))

    def _entry(self, entries: Entries, path: Path) -> Iterator[Filtered]:
        at = (*path, entries.key)
        value = self.get(at)
        if value is None:
            self.violations.append(Violation(path, f"{entries.key} is missing"))
            return
        self.parsed(at, entries.check, value)
        if entries.name == "volumes":
            value = self._volume(value)
        yield Filtered(value, self._filters(path), self.places.at(at))

    def _filters(self, path: Path) -> tuple[NodeFilter, ...]:
        at = (*path, "nodeFilters")
        # An empty one is k3d's way to say: none.
        found = [
            self.parsed((*at, index), filters.parse, text)
            for index, text in enumerate(self.get(at, ()))
            if text
        ]
        return tuple(one for one in found if one is not None)

    def _volume(self, text: str) -> str:
        try:
            mapping = volumes.parse(text)
        except SpecError:
            return text  # it has been told already
        found = volumes.from_folder(mapping, self.folder)
        return text if found is mapping else str(found)

    def api_port(self) -> ApiPort:
        """Return where the API is published."""
        api: dict[str, str] = self.get(("kubeAPI",), {})
        port = self.parsed(("kubeAPI", "hostPort"), exposure.parse, api.get("hostPort") or "random")
        if port is not None and port.host:
            self.violations.append(Violation(("kubeAPI", "hostPort"), "expected a port alone"))
        return ApiPort(
            host=api.get("host") or None,
            port=port.port if port else None,
            host_ip=api.get("hostIP") or None,
        )

    def datastore(self) -> Datastore | None:
        """Return the datastore outside the cluster, the paths of its files absolute."""
        asked: dict[str, str] = {
            key: one for key, one in self.get(("datastore",), {}).items() if one
        }
        if not asked:
            return None
        files = {
            name: self._path(("datastore", name), path)
            for name, path in asked.items()
            if name != "endpoint"
        }
        found = Datastore(endpoint=asked.get("endpoint", ""), **files)
        self.parsed(("datastore",), lambda one: check(ClusterSpec(datastore=one)), found)
        return found

    def ulimits(self) -> Iterator[Ulimit]:
        """Yield the kernel's limits."""
        for path in self.each(("options", "runtime", "ulimits")):
            one = self.get(path)
            soft, hard = (int(one.get(name, 0)) for name in ("soft", "hard"))
            found = self.parsed(path, parse_ulimit, f"{one.get('name', '')}={soft}:{hard}")
            if found is not None:
                yield found

    def host_aliases(self) -> Iterator[HostAlias]:
        """Yield the names that the file gives to addresses."""
        for path in self.each(("hostAliases",)):
            one = self.get(path)
            address = one.get("ip", "")
            address = f"[{address}]" if ":" in address else address
            names = [self.get(name) for name in self.each((*path, "hostnames"))]
            text = f"{address}:{','.join(names)}"
            found = self.parsed(path, parse_host_alias, text)
            if found is not None:
                yield found

    def files(self) -> Iterator[NodeFile]:
        """Yield the files for nodes, their paths absolute."""
        for path in self.each(("files",)):
            one = self.get(path)
            at = (*path, "destination")
            destination = self.parsed(at, parse_destination, one["destination"])
            source = one["source"]
            if "\n" not in source:
                source = self._path((*path, "source"), source)
            yield NodeFile(
                source=source,
                destination=destination or "",
                filters=self._filters(path),
                description=one.get("description", ""),
                origin=self.places.at((*path, "source")),
            )

    def _path(self, at: Path, text: str) -> str:
        if not text or "\0" in text:
            self.violations.append(Violation(at, "expected a path, or a text of several lines"))
        home = text if not text.startswith("~") else os.path.expanduser(text)  # noqa: PTH111
        return os.path.normpath(os.path.join(self.folder, home))  # noqa: PTH118 - a text

    def registry(self) -> RegistrySpec | None:
        """Return the registry to be made; one without any name or place is none, as with k3d."""
        asked: dict[str, Any] = self.get(("registries", "create"), {})
        if not any(asked.get(name) for name in ("name", "host", "hostPort", "image")):
            return None
        path = ("registries", "create")
        host, port = asked.get("host", ""), asked.get("hostPort") or "random"
        host = f"[{host}]" if ":" in host else host
        place = f"{host}:{port}" if host else port
        proxy: dict[str, str] = asked.get("proxy", {})
        new = RegistrySpec(
            name=asked.get("name") or None,
            exposure=self.parsed((*path, "hostPort"), exposure.parse, place) or Exposure(),
            image=asked.get("image") or None,
            proxy=_proxy(proxy) if proxy.get("remoteURL") else None,
            volumes=tuple(self._volume(self.get(one)) for one in self.each((*path, "volumes"))),
            enforce_port_match=asked.get("enforcePortMatch", False),
        )
        self.parsed(path, lambda one: check(ClusterSpec(registry=one)), new)
        return new

    def registries(self) -> Iterator[registries.RegistryReference]:
        """Yield the registries that are there already."""
        for path in self.each(("registries", "use")):
            found = self.parsed(path, registries.parse_reference, self.get(path))
            if found is not None:
                yield found

    def registry_config(self) -> str:
        """Return the text of the registries.yaml."""
        path = ("registries", "config")
        text = self.parsed(path, self.text_of, self.get(path, ""))
        self.parsed(path, registries_yaml.check, text or "")
        return text or ""


def _checked_alone(name: str, value: object) -> None:
    check(ClusterSpec(**{name: value}))  # type: ignore[arg-type]


def _proxy(asked: dict[str, str]) -> RegistryProxy:
    return RegistryProxy(asked["remoteURL"], asked.get("username", ""), asked.get("password", ""))
