"""From a spec to a document of the current version, and documents as YAML. Pure."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

from k3dasync.config.fields import ENTRIES, FIELDS
from k3dasync.config.migration import Document
from k3dasync.config.schemas import CURRENT, KIND, Schema, api_version, properties, schema
from k3dasync.config.tree import SCALARS
from k3dasync.grammar.filters import NodeFilter
from k3dasync.grammar.node_files import NodeFile
from k3dasync.masks import MASK
from k3dasync.spec import ApiPort, ClusterSpec, Datastore, RegistrySpec


def document_of(spec: ClusterSpec) -> Document:
    """Return the document that asks for a spec, defaults included, in the schema's order."""
    document: Document = {"apiVersion": api_version(CURRENT), "kind": KIND}
    for path, value in _values(spec):
        if value not in (None, [], {}):
            _set(document, path, value)
    return ordered(document)


def ordered(document: Document) -> Document:
    """Return a document with its fields in the schema's order, unknown ones behind them."""
    found = _ordered(document, schema(CURRENT))
    assert isinstance(found, dict)
    return found


def without_secrets(spec: ClusterSpec) -> ClusterSpec:
    """Return a spec in which nothing is secret any more."""
    registry = spec.registry
    if registry is not None and (proxy := registry.proxy) is not None:
        shown = msgspec.structs.replace(
            proxy,
            remote_url=re.sub("(?<=://)[^/]*@", f"{MASK}@", proxy.remote_url),
            password=MASK if proxy.password else "",
        )
        registry = msgspec.structs.replace(registry, proxy=shown)
    store = spec.datastore and msgspec.structs.replace(spec.datastore, endpoint=MASK)
    return msgspec.structs.replace(
        spec,
        datastore=store,
        token=MASK if spec.token else None,
        registry=registry,
        # Credentials are its most usual content, and where in it they stand is k3s's business.
        registry_config=f"# {MASK}\n" if spec.registry_config else "",
    )


def has_secrets(document: Document) -> bool:
    """Say whether a document holds what others are not to read."""
    registries = document.get("registries", {})
    proxy = registries.get("create", {}).get("proxy", {})
    store = document.get("datastore", {})
    found = (document.get("token"), proxy.get("password"), registries.get("config"), store)
    return any(found)


def yaml_of(document: Document) -> str:
    """Return a document as YAML, its fields in their order."""
    import yaml

    return str(
        yaml.dump(
            document,
            Dumper=_dumper(),
            default_flow_style=False,
            sort_keys=False,
            allow_unicode=True,
            width=10_000,  # arguments and paths stay on one line
        )
    )


def _values(spec: ClusterSpec) -> Iterator[tuple[tuple[str, ...], Any]]:
    for one in FIELDS:
        value = getattr(spec, one.name)
        if value is not None or one.name == "timeout":
            yield one.path, one.show(value)
    for entries in ENTRIES:
        yield (
            entries.path,
            [
                {entries.key: entry.value, **_filters(entry.filters)}
                for entry in getattr(spec, entries.name)
            ],
        )
    yield ("kubeAPI",), _api(spec.api_port)
    yield ("datastore",), _datastore(spec.datastore)
    yield (
        ("options", "runtime", "ulimits"),
        [{"name": one.name, "soft": one.soft, "hard": one.hard} for one in spec.ulimits],
    )
    yield (
        ("hostAliases",),
        [{"ip": one.address, "hostnames": list(one.names)} for one in spec.host_aliases],
    )
    yield ("files",), list(map(_file, spec.files))
    yield ("registries", "create"), _registry(spec.registry)
    yield ("registries", "use"), list(map(str, spec.registries))
    # One line would be taken for a path.
    text = spec.registry_config
    yield ("registries", "config"), f"{text}\n" if text and "\n" not in text else text or None


def _filters(asked: Sequence[NodeFilter]) -> Document:
    return {"nodeFilters": [one.text or str(one) for one in asked]} if asked else {}


def _api(api: ApiPort) -> Document:
    port = None if api.port is None else str(api.port)
    return _given(host=api.host, hostIP=api.host_ip, hostPort=port)


def _datastore(store: Datastore | None) -> Document:
    return {} if store is None else _given(**msgspec.structs.asdict(store))


def _file(file: NodeFile) -> Document:
    named = _given(source=file.source, destination=file.destination, description=file.description)
    return {**named, **_filters(file.filters)}


def _registry(new: RegistrySpec | None) -> Document:
    if new is None:
        return {}
    port = new.exposure.port
    proxy = new.proxy and _given(
        remoteURL=new.proxy.remote_url,
        username=new.proxy.username,
        password=new.proxy.password,
    )
    return _given(
        name=new.name,
        host=new.exposure.host,
        hostPort="random" if port is None else str(port),
        image=new.image,
        proxy=proxy,
        volumes=list(new.volumes),
        enforcePortMatch=new.enforce_port_match,
    )


def _given(**fields: Any) -> Document:
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def _set(document: Document, path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        document = document.setdefault(name, {})
    document[path[-1]] = value


def _ordered(value: object, schema: Schema) -> object:
    if isinstance(value, dict):
        known = properties(schema)
        names = [
            *(name for name in known if name in value),
            *(one for one in value if one not in known),
        ]
        return {name: _ordered(value[name], known.get(name, {})) for name in names}
    if isinstance(value, list):
        return [_ordered(one, schema.get("items", {})) for one in value]
    return value


@cache
def _dumper() -> Any:
    """Return a dumper that puts in quotes what is a number in YAML 1.1 or in 1.2."""
    import yaml

    dumper: Any = type("Dumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {})
    for tag, pattern in SCALARS.items():
        dumper.add_implicit_resolver(tag, re.compile(pattern), None)
    dumper.add_representer(str, _represented)
    # Lists stand as they are, wherever they are repeated.
    dumper.ignore_aliases = lambda _dumper, _value: True
    return dumper


def _represented(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
