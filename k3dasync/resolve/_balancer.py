"""The load balancer's files: what it forwards, by address or, where those change, by name. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    """What a load balancer knows; without *addresses* it goes by names."""

    cluster: str
    servers: Sequence[str]
    addresses: Mapping[str, str]
    proxied: Sequence[ProxiedPort]
    settings: BalancerSettings
    ipv6: bool = False

    def files(self, api: nginx.Forward) -> tuple[File, ...]:
        """Return its files: the API as it is, every other port to all its nodes."""
        forwards = [api, *map(self._forward, self.proxied)]
        nodes = {f"{API_PORT}.tcp": self.servers} | {one.key: one.nodes for one in self.proxied}
        return nginx.files(
            nginx.config(forwards, self.settings, ipv6=self.ipv6),
            nginx.values(nodes, self.settings),
        )

    def _forward(self, one: ProxiedPort) -> nginx.Forward:
        hosts = tuple(self.addresses[name] for name in one.nodes) if self.addresses else ()
        name = "" if self.addresses else port_alias(self.cluster, one)
        return nginx.Forward(port=one.port, protocol=one.protocol, hosts=hosts, name=name)


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
    )
    if not balancer.addresses:
        is_all = set(servers) <= set(answering)
        name = servers_alias(cluster.name) if is_all else answering[0]
        return balancer.files(nginx.Forward(port=API_PORT, name=name))
    hosts = tuple(balancer.addresses[name] for name in servers)
    standby = frozenset(balancer.addresses[name] for name in servers if name not in answering)
    return balancer.files(nginx.Forward(port=API_PORT, hosts=hosts, standby=standby))


def _addresses(cluster: Cluster) -> Mapping[str, str]:
    if not cluster.has_fixed_addresses:
        return {}
    return {node.name: node.container.address or "" for node in cluster.nodes}
