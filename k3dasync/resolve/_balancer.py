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

    def files(self, api: nginx.Forward) -> tuple[File, ...]:
        """Return its files: the API as it is, every other port to all its nodes."""
        forwards = [api, *map(self._forward, self.proxied)]
        nodes = {f"{API_PORT}.tcp": self.servers} | {one.key: one.nodes for one in self.proxied}
        return nginx.files(
            nginx.config(forwards, self.settings), nginx.values(nodes, self.settings)
        )

    def _forward(self, one: ProxiedPort) -> nginx.Forward:
        hosts = tuple(self.addresses[name] for name in one.nodes) if self.addresses else ()
        name = "" if self.addresses else port_alias(self.cluster, one)
        return nginx.Forward(port=one.port, protocol=one.protocol, hosts=hosts, name=name)


def balancer_files(cluster: Cluster, *, balanced: bool) -> tuple[File, ...]:
    """Return the load balancer's configuration with every server, on fixed addresses.

    *balanced* is for the time when every server can answer; before, all but the first stand by.
    """
    addresses = {node.name: node.container.address or node.name for node in cluster.nodes}
    servers = [server.name for server in cluster.servers]
    hosts = tuple(addresses[name] for name in servers)
    api = nginx.Forward(port=API_PORT, hosts=hosts, is_balanced=balanced)
    return Balancer(
        cluster=cluster.name,
        servers=servers,
        addresses=addresses,
        proxied=cluster.proxied,
        settings=cluster.balancer,
    ).files(api)
