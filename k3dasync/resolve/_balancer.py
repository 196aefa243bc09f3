"""The load balancer's files: what it forwards, by address or, where those change, by name. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from k3dasync import nginx
from k3dasync.cluster import API_PORT, Cluster, ProxiedPort
from k3dasync.grammar.balancer import BalancerSettings
from k3dasync.runtime import File


def servers_alias(cluster: str) -> str:
    return f"k3d-{cluster}-servers"


def port_alias(cluster: str, port: ProxiedPort) -> str:
    return f"k3d-{cluster}-port-{port.port}-{port.protocol}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Balancer:
    """What a load balancer knows; without *addresses* it goes by names.

    `names`: those of a port's nodes, by its key, where they have none in common.
    """

    cluster: str
    servers: Sequence[str]
    addresses: Mapping[str, str]
    proxied: Sequence[ProxiedPort]
    settings: BalancerSettings
    ipv6: bool = False
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def files(self, api: nginx.Forward) -> tuple[File, ...]:
        """Return its files: the API as it is, every other port to all its nodes."""
        forwards = [api, *filter(None, map(self._forward, self.proxied))]
        nodes = {f"{API_PORT}.tcp": self.servers} | {one.key: one.nodes for one in self.proxied}
        return nginx.files(
            nginx.config(forwards, self.settings, ipv6=self.ipv6),
            nginx.values(nodes, self.settings),
        )

    def _forward(self, one: ProxiedPort) -> nginx.Forward | None:
        if self.addresses:
            # A node that somebody has removed may be in the description still.
            hosts = tuple(self.addresses[name] for name in one.nodes if self.addresses.get(name))
            if not hosts:
                return None
            return nginx.Forward(port=one.port, protocol=one.protocol, hosts=hosts)
        name, *more = self.names.get(one.key) or (port_alias(self.cluster, one),)
        return nginx.Forward(
            port=one.port, protocol=one.protocol, name=name, more_names=tuple(more)
        )


def balancer_files(cluster: Cluster, answering: Sequence[str]) -> tuple[File, ...]:
    """Return the load balancer's configuration for when these servers are *answering*.

    The others stand by; where addresses are not fixed, a name is one server's or that of all, and
    until all are answering the first of those which are takes every connection.
    """
    servers = [server.name for server in cluster.servers]
    balancer = Balancer(
        cluster=cluster.name,
        servers=servers,
        addresses=_addresses(cluster),
        proxied=cluster.proxied,
        settings=cluster.balancer,
        ipv6=cluster.has_ipv6,
        names=_names(cluster),
    )
    if not balancer.addresses:
        is_all = set(servers) <= set(answering)
        name = servers_alias(cluster.name) if is_all else answering[0]
        return balancer.files(nginx.Forward(port=API_PORT, name=name))
    hosts = tuple(balancer.addresses[name] for name in servers)
    standby = frozenset(balancer.addresses[name] for name in servers if name not in answering)
    return balancer.files(nginx.Forward(port=API_PORT, hosts=hosts, standby=standby))


def values_file(cluster: Cluster, addresses: Mapping[str, str] | None = None) -> File:
    """Return k3d's description of the load balancer, which is all that k3d's own image reads.

    With the *addresses* of nodes in place of their names; what has none is left out.
    """
    nodes = {f"{API_PORT}.tcp": [server.name for server in cluster.servers]}
    nodes |= {one.key: list(one.nodes) for one in cluster.proxied}
    if addresses is not None:
        known = {
            key: [addresses[name] for name in names if addresses.get(name)]
            for key, names in nodes.items()
        }
        nodes = {key: found for key, found in known.items() if found}
    return nginx.files("", nginx.values(nodes, cluster.balancer))[1]


def _names(cluster: Cluster) -> Mapping[str, Sequence[str]]:
    """Return the names of ports' nodes where the alias for it is not theirs.

    That is part of a node's create call: a port that came later has none, nor has a node that did.
    """
    found: dict[str, Sequence[str]] = {}
    servers, alias = {server.name for server in cluster.servers}, servers_alias(cluster.name)
    for port in cluster.proxied:
        if _known_as(port_alias(cluster.name, port), cluster) != set(port.nodes):
            is_all = set(port.nodes) == servers == _known_as(alias, cluster)
            found[port.key] = (alias,) if is_all else port.nodes
    return found


def _known_as(alias: str, cluster: Cluster) -> set[str]:
    return {node.name for node in cluster.nodes if alias in node.container.aliases}


def _addresses(cluster: Cluster) -> Mapping[str, str]:
    if not cluster.has_fixed_addresses:
        return {}
    return {node.name: node.container.address or "" for node in cluster.nodes}
