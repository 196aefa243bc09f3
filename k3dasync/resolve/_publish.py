"""How a port that is asked for reaches its nodes: through the load balancer, or directly. Pure.

The table in docs/ports.md says it for each spelling.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from k3dasync.cluster import API_PORT, ProxiedPort
from k3dasync.errors import InvalidPort
from k3dasync.grammar import filters, ports
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.filters import EVERY, Group, Members, NodeFilter, Suffix
from k3dasync.grammar.ports import PortMapping, Protocol, Publication
from k3dasync.runtime import PortBinding
from k3dasync.spec import read

_EVERY_NODE = (
    NodeFilter(group=Group.SERVERS, subset=EVERY, suffix=Suffix.PROXY),
    NodeFilter(group=Group.AGENTS, subset=EVERY, suffix=Suffix.PROXY),
)


@dataclass(slots=True)
class Published:
    """What each node publishes, in order, and what the load balancer forwards."""

    bindings: list[tuple[str, PortBinding]] = field(default_factory=list)
    forwards: dict[tuple[int, Protocol], dict[str, None]] = field(default_factory=dict)

    @property
    def ports(self) -> tuple[ProxiedPort, ...]:
        """The ports that are forwarded, the API's left out: that one goes to every server."""
        return tuple(
            ProxiedPort(port=port, protocol=protocol, nodes=tuple(nodes))
            for (port, protocol), nodes in self.forwards.items()
            if (port, protocol) != (API_PORT, Protocol.TCP)
        )


def publish(asked: Sequence[Filtered], members: Members) -> Published:
    """Decide where each port is published.

    Raises InvalidFilter if a filter means a node that will not be there; InvalidPort if a port
    cannot be published on several nodes, or needs a load balancer and there is none.
    """
    published, bound = Published(), _Bound()
    for one in asked:
        before = len(published.bindings)
        mapping = ports.parse(one.value)
        for suffix, names in reached(one, members):
            if suffix is Suffix.PROXY:
                _through_balancer(one, mapping, names, members, published)
            else:
                _directly(one, mapping, names, published)
        for _, binding in published.bindings[before:]:
            bound.add(one, binding)
    return published


class _Bound:
    """The host ports that are published so far, by number: ranges have thousands of them."""

    def __init__(self) -> None:
        self._by_port: dict[tuple[int, str], list[PortBinding]] = {}

    def add(self, one: Filtered, binding: PortBinding) -> None:
        """Take one more in; raises InvalidPort if the engine could not bind it too."""
        if not binding.host_port or binding.last_host_port:
            return  # the engine's choice
        others = self._by_port.setdefault((binding.host_port, binding.protocol), [])
        if any(map(binding.shares_address, others)):
            expected = f"another host port: {binding.host_ports} is published twice"
            raise InvalidPort(str(one), 0, expected, origin=one.origin)
        others.append(binding)


def reached(one: Filtered, members: Members) -> Iterator[tuple[Suffix, Sequence[str]]]:
    """Yield the ways in which a port is reached, each with its nodes."""
    chosen = one.filters
    if not chosen and members.loadbalancer is None and len(members.all) == 1:
        yield Suffix.DIRECT, members.all
        return
    # To publish on the load balancer is to forward: so k3d reads both of these.
    if not chosen or any(_is_balancer(each, members) for each in chosen):
        chosen = _EVERY_NODE
    for suffix in Suffix:
        meant = [each for each in chosen if _suffix(each) is suffix]
        names = read(one.origin, partial(filters.select, members=members), meant)
        # Of everything, what a port can lead to: the load balancer would forward to itself.
        nodes = [name for name in names if name != members.loadbalancer]
        if nodes:
            yield suffix, nodes


def _is_balancer(one: NodeFilter, members: Members) -> bool:
    by_name = bool(one.name) and one.name == members.loadbalancer
    return one.group is Group.LOADBALANCER or by_name


def _suffix(one: NodeFilter) -> Suffix:
    """Return how a filter without a suffix is meant: the older spelling meant the node itself."""
    if one.suffix is not None:
        return one.suffix
    return Suffix.DIRECT if one.is_bracket or one.name else Suffix.PROXY


def _through_balancer(
    one: Filtered,
    mapping: PortMapping,
    names: Sequence[str],
    members: Members,
    published: Published,
) -> None:
    if members.loadbalancer is None:
        text = str(one)
        expected = "':direct' behind the filter: the cluster has no load balancer"
        raise InvalidPort(text, len(text), expected, origin=one.origin)
    for each in mapping.publications():
        published.bindings.append((members.loadbalancer, _binding(each)))
        nodes = published.forwards.setdefault((each.container, each.protocol), {})
        nodes.update(dict.fromkeys(names))


def _directly(
    one: Filtered, mapping: PortMapping, names: Sequence[str], published: Published
) -> None:
    host, single = mapping.host, len(mapping.container) == 1
    if host is not None and len(names) > 1 and not (single and len(host) >= len(names)):
        expected = f"one node, or {len(names)} host ports, or none: so many nodes are meant"
        raise InvalidPort(str(one), 0, expected, origin=one.origin)
    for name in names:
        published.bindings += [(name, _binding(each)) for each in mapping.publications()]


def _binding(one: Publication) -> PortBinding:
    # Bound twice under two texts, `6443` and `6443/tcp`, a port would lose one of its bindings.
    is_api = (one.container, one.protocol) == (API_PORT, Protocol.TCP)
    first, last = (one.host.first, one.host.last) if one.host else (0, 0)
    return PortBinding(
        port=str(API_PORT) if is_api else one.port,
        host_ip=one.host_ip,
        host_port=first,
        last_host_port=last if last != first else 0,
    )
