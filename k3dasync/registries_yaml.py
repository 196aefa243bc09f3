"""k3s's registries.yaml: the user's own, and the mirrors that are put into it.

A document is changed as the tree that its text is, not as values: a password such as `0644` or
`no` stays what the user wrote, and keys that we do not know stay too. The format is k3s's
(docs.k3s.io, "Private Registry Configuration").
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from k3dasync.invalid import FileUnreadable, InvalidRegistries

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node

PATH = "/etc/rancher/k3s/registries.yaml"
"""Where k3s reads it."""
_SECTIONS = ("mirrors", "configs", "auths")
_ORIGIN = "--registry-config"


def text_of(given: str) -> str:
    """Return the text of a registries.yaml: that itself if it has several lines, else a file's.

    Raises SpecError if there is no such file, or none that can be read.
    """
    if "\n" in given or not given:
        return given
    try:
        return Path(given).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise FileUnreadable(f"{_ORIGIN}: cannot read {given}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FileUnreadable(f"{_ORIGIN}: cannot read {given}: it is not UTF-8") from error


def check(text: str) -> None:
    """Raise SpecError if that cannot be a registries.yaml."""
    if text:
        _compose(text)


def check_remote(url: str) -> None:
    """Raise SpecError if that is no registry which another one can hand on."""
    _host(url)


def merged(text: str, mirrors: Mapping[str, str]) -> str:
    """Return the user's registries.yaml with *mirrors*, host names of images to endpoints, added.

    What the user says of a host is not touched, unless it names no endpoint. Without mirrors the
    text comes back as it is.
    """
    if not mirrors:
        return text
    import yaml

    root = _compose(text) or _mapping()
    section = _section(root, "mirrors")
    for host, endpoint in mirrors.items():
        known = _section(section, host)
        if _is_empty(_find(known, "endpoint")):
            _set(known, "endpoint", yaml.SequenceNode(_TAG + "seq", [_scalar(endpoint)]))
    return str(yaml.serialize(root, Dumper=yaml.SafeDumper, allow_unicode=True))


def added(text: str, mirrors: Mapping[str, str]) -> dict[str, str]:
    """Return those of *mirrors* that `merged` would add: what is said of a host already stays."""
    root = _compose(text)
    section = _find(root, "mirrors") if root else None
    return {host: endpoint for host, endpoint in mirrors.items() if not _endpoints(section, host)}


def without(text: str, mirrors: Mapping[str, str]) -> str:
    """Return a registries.yaml without those endpoints of *mirrors*; the rest stays as it is.

    A host of which nothing else is said goes with its endpoint.
    """
    import yaml

    root = _compose(text)
    section = _find(root, "mirrors") if root else None
    if root is None or not isinstance(section, yaml.MappingNode):
        return text
    for host, endpoint in mirrors.items():
        _remove(section, host, endpoint)
    if not section.value:
        root.value = [(name, value) for name, value in root.value if name.value != "mirrors"]
    if not root.value:
        return ""
    return str(yaml.serialize(root, Dumper=yaml.SafeDumper, allow_unicode=True))


def _remove(section: "MappingNode", host: str, endpoint: str) -> None:
    if endpoint not in _endpoints(section, host):
        return
    known = _section(section, host)
    listed = _find(known, "endpoint")
    if listed is None:
        return
    listed.value = [one for one in listed.value if one.value != endpoint]
    if not listed.value:
        known.value = [(name, value) for name, value in known.value if name.value != "endpoint"]
    if not known.value:
        section.value = [(name, value) for name, value in section.value if name.value != host]


def _endpoints(section: "Node | None", host: str) -> list[str]:
    """Return where images of a host are fetched, by what a map of mirrors says."""
    import yaml

    known = _find(section, host) if isinstance(section, yaml.MappingNode) else None
    listed = _find(known, "endpoint") if isinstance(known, yaml.MappingNode) else None
    values = listed.value if isinstance(listed, yaml.SequenceNode) else []
    return [str(one.value) for one in values]


def mirrored_host(url: str) -> str:
    """Return the host in the names of the images that the registry at *url* has.

    Images of Docker's registry are named `docker.io/…`, wherever that is reached.
    """
    host = _host(url)
    is_docker = host in {"docker.io", "registry-1.docker.io", "index.docker.io", "hub.docker.com"}
    return "docker.io" if is_docker else host


def _host(url: str) -> str:
    """Return host and port of a registry's address, without what may be secret in it."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if not host or scheme not in {"http", "https"}:
        raise InvalidRegistries(
            "the registry's proxy.remoteURL is no address: expected http(s)://HOST"
        )
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host


_TAG = "tag:yaml.org,2002:"
NodeT = TypeVar("NodeT", bound="Node")


def _compose(text: str) -> "MappingNode | None":
    """Return a document's tree; raises SpecError, without a word of the text, if it is none."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError:
        raise InvalidRegistries(f"{_ORIGIN}: it is nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        what = getattr(error, "problem", None) or "it cannot be read"
        raise InvalidRegistries(f"{_ORIGIN}: it is not YAML: {where}{what}") from None
    if _is_empty(root):
        return None
    if not isinstance(root, yaml.MappingNode):
        raise InvalidRegistries(f"{_ORIGIN}: expected a document with {', '.join(_SECTIONS)}")
    for name in _SECTIONS:
        section = _find(root, name)
        if not _is_empty(section) and not isinstance(section, yaml.MappingNode):
            raise InvalidRegistries(f"{_ORIGIN}: expected a map below {name}")
    return root


def _scalar(text: str) -> "Node":
    import yaml

    return yaml.ScalarNode(_TAG + "str", text)


def _mapping() -> "MappingNode":
    import yaml

    return yaml.MappingNode(_TAG + "map", [], flow_style=False)


def _is_empty(node: "Node | None") -> bool:
    return node is None or node.tag == _TAG + "null" or node.value in ("", [])


def _find(mapping: "MappingNode", key: str) -> "Node | None":
    return next((value for name, value in mapping.value if name.value == key), None)


def _set(mapping: "MappingNode", key: str, node: NodeT) -> NodeT:
    """Set a key to *node*, in its place if it is there already, and return the node."""
    others = [(name, value) for name, value in mapping.value if name.value != key]
    mapping.value = [*others, (_scalar(key), node)]
    return node


def _section(mapping: "MappingNode", key: str) -> "MappingNode":
    """Return the map under a key; an empty one is put there if nothing is."""
    import yaml

    found = _find(mapping, key)
    if isinstance(found, yaml.MappingNode):
        return found
    return _set(mapping, key, _mapping())
