"""Which node gets which of the things that are asked for with a filter. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from k3dasync.cluster import ProxiedPort
from k3dasync.errors import InvalidFilter
from k3dasync.grammar import filters, volumes
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.filters import Members
from k3dasync.grammar.node_files import NodeFile
from k3dasync.grammar.words import parse_label, parse_runtime_label
from k3dasync.resolve._publish import publish
from k3dasync.runtime import File, PortBinding
from k3dasync.spec import ClusterSpec, read

_OWN_VARIABLES = frozenset({"K3S_TOKEN", "K3S_URL", "K3S_KUBECONFIG_OUTPUT"})
"""Written behind the user's own, so that these win."""


@dataclass(slots=True)
class Extras:
    """What one node gets besides what every node has, each in the order in which it was asked."""

    env: list[str] = field(default_factory=list)
    binds: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    node_labels: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    ports: list[PortBinding] = field(default_factory=list)
    files: list[File] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The extras of every node by name, and what the load balancer forwards besides the API."""

    extras: Mapping[str, Extras]
    proxied: tuple[ProxiedPort, ...]


def assign(spec: ClusterSpec, members: Members) -> Assignment:
    """Decide which node gets what.

    Raises InvalidFilter if a filter means a node that will not be there, or is missing where it
    cannot be guessed; InvalidPort if a port cannot be published as it is asked for.
    """
    extras = {name: Extras() for name in members.all}

    def each(asked: Sequence[Filtered]) -> Iterator[tuple[str, Extras]]:
        for one in asked:
            for name in _chosen(one, members):
                yield one.value, extras[name]

    for value, extra in each(spec.env):
        extra.env.append(value)
    for value, extra in each(spec.k3s_args):
        extra.arguments.append(value)
    for value, extra in each(spec.node_labels):
        key, text = parse_label(value)
        extra.node_labels.append(f"{key}={text}")
    for value, extra in each(spec.runtime_labels):
        extra.labels.update([parse_runtime_label(value)])
    for one in spec.volumes:
        # A volume is for all nodes unless it says otherwise: so it is with k3d.
        chosen = _select(one, members) if one.filters else members.all
        for name in chosen:
            extras[name].binds.append(str(volumes.parse(one.value)))
    for file in spec.files:
        assert file.content is not None, "files are read before anything is decided"
        for name in _select(file, members) if file.filters else members.all:
            extras[name].files.append(File(path=file.destination, content=file.content))
    proxied = publish(spec.ports, members)
    for name, binding in proxied.bindings:
        extras[name].ports.append(binding)
    return Assignment(extras, proxied.ports)


def _chosen(one: Filtered, members: Members) -> Sequence[str]:
    if one.filters:
        return _select(one, members)
    if len(members.all) > 1:
        text = str(one)
        expected = f"a node filter, as in {text}@all: there are {len(members.all)} nodes"
        raise InvalidFilter(text, len(text), expected, origin=one.origin)
    return members.all


def _select(one: Filtered | NodeFile, members: Members) -> Sequence[str]:
    for each in one.filters:
        if each.suffix:
            text = str(one)
            at = text.rindex(f":{each.suffix}")
            raise InvalidFilter(text, at, "no suffix, it is for ports", origin=one.origin)
    return read(one.origin, partial(filters.select, members=members), one.filters)


def overridden(extras: Mapping[str, Extras]) -> Iterator[str]:
    """Yield a sentence for each variable that is asked for and means something else here."""
    for name, extra in extras.items():
        for entry in extra.env:
            variable = entry.partition("=")[0]
            if variable in _OWN_VARIABLES:
                yield f"{variable} of {name} is what the cluster needs, not what --env says"
