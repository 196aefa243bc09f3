"""What only the engine can grant, chosen optimistically: subnet, addresses, API port.

A choice is claimed by creating it. Whoever loses a claim adds it to what was refused, and chooses
again.
"""

import ipaddress
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace

import anyio

from k3dasync import addresses
from k3dasync.addresses import HOST_NETWORK
from k3dasync.cluster import (
    API_PORT,
    LABEL_EXTERNAL,
    REGISTRY_PORT,
    ApiChoice,
    Cluster,
    NetworkChoice,
    Registry,
    RegistryChoice,
    network_name,
    node_names,
    registry_name,
)
from k3dasync.errors import (
    AddressesUnsupported,
    AddressTaken,
    ClaimLost,
    PoolExhausted,
    PortTaken,
    SpecError,
    SubnetTaken,
)
from k3dasync.grammar.ports import parse as parse_port
from k3dasync.images import registry_image
from k3dasync.invalid import InvalidNetwork
from k3dasync.operations._observe import World, is_port_free
from k3dasync.operations._registries import host_of
from k3dasync.runtime import EngineFacts
from k3dasync.spec import ClusterSpec, RegistrySpec, check_image

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What the engine has refused to grant so far in this run."""

    subnets: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()
    addresses: frozenset[str] = frozenset()
    fixed_addresses: bool = False

    def after(self, lost: ClaimLost, spec: ClusterSpec, cluster: Cluster) -> "Refused | None":
        """Return what is refused now, or None if the user named it and there is no other."""
        match lost:
            case SubnetTaken() if spec.subnet is None and cluster.network is not None:
                return replace(self, subnets=self.subnets | {cluster.network.subnet})
            case PortTaken():
                ours = [port for port in chosen_ports(spec, cluster) if _is_about(lost, port)]
                return replace(self, ports=self.ports | set(ours)) if ours else None
            case AddressesUnsupported() if cluster.network is None:
                return replace(self, fixed_addresses=True)
            case AddressTaken() if cluster.network is None:
                used = {node.container.address for node in cluster.nodes}
                used |= {one.address for one in cluster.connections}
                return replace(self, addresses=self.addresses | {one for one in used if one})
            case _:
                return None


def chosen_ports(spec: ClusterSpec, cluster: Cluster) -> Iterator[int]:
    """Yield the host ports that were our choice."""
    if spec.api_port.port is None:
        yield cluster.api.port
    if cluster.made_registry and spec.registry and spec.registry.exposure.port is None:
        yield cluster.made_registry.host_port


def _is_about(lost: ClaimLost, port: int) -> bool:
    """Say whether the engine's words name that port: it may be another one that is taken."""
    return re.search(rf"\b{port}\b", lost.words) is not None


def choose_network(
    spec: ClusterSpec,
    world: World,
    in_use: frozenset[str],
    refused: Refused,
    *,
    connected: int = 0,
) -> NetworkChoice:
    """Return the network to make or to use; *in_use* are addresses of an existing one's members.

    So many containers besides the nodes will be *connected* to it.

    Raises SubnetTaken, PoolExhausted or SpecError if there is no room, or no IPv4.
    """
    name, count = network_name(spec), len(node_names(spec)) + connected
    existing = world.network(name)
    if name == HOST_NETWORK:
        return _foreign(name)
    if existing is None:
        return _new_network(spec, world, count, refused)
    subnet = next((cidr for cidr in existing.subnets if ":" not in cidr), "")
    if existing.subnets and not subnet:
        raise InvalidNetwork(
            f"--network {name} has no IPv4 range, only {', '.join(existing.subnets)}: k3s takes "
            "IPv4 for pods and services unless it is told otherwise; use a network with both"
        )
    fixed: tuple[str, ...] = ()
    if subnet and not refused.fixed_addresses:
        taken = in_use | refused.addresses | {existing.gateway}
        is_divided = LABEL_EXTERNAL in existing.labels  # by us: its lower half is for nodes
        choose = addresses.addresses_of_own if is_divided else addresses.addresses_of_foreign
        fixed = choose(subnet, count, taken)
    choice = _foreign(name, subnet=subnet, gateway=existing.gateway, fixed=fixed)
    return replace(choice, has_ipv6=any(":" in cidr for cidr in existing.subnets))


def _foreign(
    name: str, *, subnet: str = "", gateway: str = "", fixed: tuple[str, ...] = ()
) -> NetworkChoice:
    return NetworkChoice(
        name=name, is_external=True, subnet=subnet, gateway=gateway, ip_range="", addresses=fixed
    )


def _new_network(spec: ClusterSpec, world: World, count: int, refused: Refused) -> NetworkChoice:
    subnet = spec.subnet
    if subnet is not None:
        refuse_overlap(network_name(spec), subnet, world)
    else:
        taken = [*world.subnets, *refused.subnets]
        subnet = next(addresses.subnets(spec.name, count, taken), None)
        if subnet is None:
            raise no_subnet_left(network_name(spec))
    layout = addresses.layout(subnet)
    return NetworkChoice(
        name=network_name(spec),
        is_external=False,
        subnet=layout.subnet,
        gateway=layout.gateway,
        ip_range=layout.ip_range,
        addresses=addresses.node_addresses(subnet, count),
    )


def no_subnet_left(name: str) -> PoolExhausted:
    """Return the error of network *name*, for which nothing of the pool is free."""
    hint = (
        "remove unused networks (docker network prune), pass --subnet, or set "
        "K3DASYNC_SUBNET_POOL to another range"
    )
    return PoolExhausted("create", f"network {name}", "no subnet of the pool is free", hint=hint)


def refuse_overlap(name: str, subnet: str, world: World) -> None:
    """Raise SubnetTaken if a network has a part of the subnet for network *name* already.

    The engine would say so too, but not always before it has harmed itself: asked for a network
    that overlaps with its default bridge, Docker's bridge driver can take that one for stale and
    drop it, and no container starts on it any more until the engine is started again.
    """
    wanted = ipaddress.ip_network(subnet)
    for network in world.networks:
        for cidr in network.subnets:
            if wanted.overlaps(ipaddress.ip_network(cidr, strict=False)):
                words = f"subnet {subnet} overlaps with {cidr} of network {network.name}"
                hint = "pass another --subnet, or none"
                raise SubnetTaken("create", f"network {name}", words, hint=hint)


def choose_api(spec: ClusterSpec, world: World, host_ip: str, refused: Refused) -> ApiChoice:
    """Return where the API is published; *host_ip* is the address to bind, already resolved.

    Raises PortTaken if every port of the range is taken, or the one that a server on the host's
    network would listen on.
    """
    asked = spec.api_port
    usual = "127.0.0.1" if world.facts.is_local else world.facts.host
    host = asked.host or asked.host_ip or usual
    if host in EVERYWHERE and not world.facts.is_local:
        host = world.facts.host
    if spec.network == HOST_NETWORK:
        return _api_on_host(spec, world, host)
    port = asked.port or _free_port(spec.name, world, host_ip, _asked(spec) | refused.ports)
    if port is None:
        hint = "pass --api-port, or set K3DASYNC_API_PORTS to another range"
        raise PortTaken("publish", "the API", "every port for APIs is taken", hint=hint)
    return ApiChoice(host=host, host_ip=host_ip, port=port)


def _api_on_host(spec: ClusterSpec, world: World, host: str) -> ApiChoice:
    """Return where k3s itself listens, which is at every address: nobody else claims the port."""
    port, everywhere = spec.api_port.port or API_PORT, EVERYWHERE[0]
    is_taken = port in world.bound_ports
    if is_taken or (world.facts.is_local and not is_port_free(everywhere, port)):
        what = f"port {port} of the engine's host"
        hint = "free it, or name another one with --api-port"
        raise PortTaken("use", what, "it is in use", hint=hint)
    return ApiChoice(host=host, host_ip=everywhere, port=port)


def choose_registry(
    spec: ClusterSpec, world: World, host_ip: str, refused: Refused, api: ApiChoice
) -> RegistryChoice | None:
    """Return the registry to be made with a cluster, if one is; as `registry_choice`."""
    name = registry_name(spec)
    if spec.registry is None or name is None:
        return None
    taken = _asked(spec) | refused.ports | {api.port}
    return registry_choice(spec.registry, name, world, host_ip, taken)


def registry_choice(
    asked: RegistrySpec, name: str, world: World, host_ip: str, taken: frozenset[int]
) -> RegistryChoice:
    """Return a registry to be made, published at *host_ip*, already resolved.

    Raises PortTaken if every port of the range, without those *taken*, is in use.
    """
    host_port = asked.exposure.port or _free_port(name, world, host_ip, taken)
    if host_port is None:
        hint = "name one, or set K3DASYNC_API_PORTS to a larger range"
        raise PortTaken("publish", name, "every port for registries is taken", hint=hint)
    registry = Registry(
        name=name,
        port=host_port if asked.enforce_port_match else REGISTRY_PORT,
        host=host_of(asked.exposure.host, host_ip, world.facts),
        host_port=host_port,
        remote=asked.proxy.remote_url if asked.proxy else "",
    )
    image = asked.image or check_image(registry_image(), "K3DASYNC_IMAGE_REGISTRY")
    return RegistryChoice(registry=registry, image=image, host_ip=host_ip)


def _asked(spec: ClusterSpec) -> frozenset[int]:
    """Return the host ports that the user has named."""
    found = {
        port
        for one in spec.ports
        for each in parse_port(one.value).publications()
        if each.host
        for port in range(each.host.first, each.host.last + 1)
    }
    named = (spec.api_port.port, spec.registry.exposure.port if spec.registry else None)
    return frozenset(found.union(port for port in named if port is not None))


def _free_port(name: str, world: World, host_ip: str, taken: frozenset[int]) -> int | None:
    """Return a port of the range, beginning where the name says; None if all are taken."""
    is_free = is_port_free if world.facts.is_local else (lambda _ip, _port: True)
    candidates = addresses.api_ports(name, world.bound_ports | taken)
    return next((number for number in candidates if is_free(host_ip, number)), None)


def host_alias(network: NetworkChoice, facts: EngineFacts) -> str:
    """Return what stands for the engine's host in nodes; nothing where a node is on it."""
    if network.name == HOST_NETWORK:
        return ""
    # Where the engine is in a virtual machine, the network's gateway is not the user's host.
    return "host-gateway" if facts.is_desktop or not network.gateway else network.gateway


async def host_ip(spec: ClusterSpec, world: World) -> str:
    """Return the address the API binds; raises SpecError if its host has none."""
    if spec.api_port.host_ip is not None:
        return spec.api_port.host_ip
    hint = "; kubeAPI.hostIP in a config file names an address"
    return await _host_ip(spec.api_port.host, world, "the API", hint)


async def registry_ip(asked: RegistrySpec | None, world: World) -> str:
    """Return the address that a registry binds; raises SpecError if its host has none."""
    host = asked.exposure.host if asked else None
    return await _host_ip(host, world, "the registry", "")


async def _host_ip(host: str | None, world: World, what: str, hint: str) -> str:
    if host is None:
        return _default_host_ip(world)
    if addresses.is_address(host):
        return host
    try:
        found = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        words = f"cannot look up {host}, where {what} is to be published: {error.strerror}"
        raise SpecError(f"{words}{hint}") from error
    return str(found[0][4][0])


def _default_host_ip(world: World) -> str:
    """Return the address the API binds unless told otherwise: this machine only, if it can be.

    An engine that is reached by an IPv6 address is not reached by what binds IPv4 alone.
    """
    if world.facts.is_local:
        return "127.0.0.1"
    return EVERYWHERE[1] if ":" in world.facts.host else EVERYWHERE[0]
