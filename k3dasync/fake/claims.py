"""What only the engine can grant: subnets, addresses, host ports. Nothing here takes time."""

import ipaddress
import itertools
from collections.abc import Iterable, Iterator

from k3dasync.addresses import HOST_NETWORK
from k3dasync.errors import (
    AddressesUnsupported,
    AddressTaken,
    EngineError,
    PortTaken,
    SubnetTaken,
)
from k3dasync.fake.state import Container, Inventory, Network
from k3dasync.runtime import NetworkSpec, PortBinding

FIRST_EPHEMERAL_PORT = 32768
"""Where Docker begins when it is left to choose; a new one at each start."""
_ENGINE_POOL = [ipaddress.IPv4Network(f"172.{second}.0.0/16") for second in range(18, 32)]


def network_of(inventory: Inventory, spec: NetworkSpec, id: str) -> Network:
    """Return the network to be added; raises SubnetTaken if its subnet overlaps with another."""
    resource = f"network {spec.name}"
    try:
        subnet = ipaddress.IPv4Network(spec.subnet)
        dynamic = ipaddress.IPv4Network(spec.ip_range or spec.subnet)
        inside = dynamic.subnet_of(subnet) and ipaddress.ip_address(spec.gateway) in subnet
    except ValueError as error:
        raise EngineError("create", resource, f"invalid address: {error}") from error
    if not inside:
        raise EngineError("create", resource, "no matching subnet for range or gateway")
    others = (network.subnet for network in inventory.networks.values())
    if any(other is not None and subnet.overlaps(other) for other in others):
        words = "Pool overlaps with other one on this address space"
        raise SubnetTaken("create", resource, words)
    return Network(id, spec.name, subnet, spec.gateway, dynamic, dict(spec.labels), True)  # noqa: FBT003


def engine_subnet(inventory: Inventory) -> ipaddress.IPv4Network:
    """Return a subnet as the engine chooses it; raises EngineError if its pools are used up."""
    used = [one.subnet for one in inventory.networks.values() if one.subnet is not None]
    for candidate in _ENGINE_POOL:
        if not any(candidate.overlaps(other) for other in used):
            return candidate
    words = "could not find an available, non-overlapping IPv4 address pool"
    raise EngineError("create", "network", words)


def claim_address(inventory: Inventory, container: Container, network: Network) -> str:
    """Return the address that a container which starts gets.

    None on the host's network. Raises AddressesUnsupported or AddressTaken if it is fixed and
    cannot be had.
    """
    if network.subnet is None or network.dynamic is None:
        return ""
    used = {member.address for member in inventory.members(network)} | {network.gateway}
    resource, fixed = f"container {container.name}", container.spec.address
    if fixed is None:
        for host in network.dynamic.hosts():
            if str(host) not in used:
                return str(host)
        raise EngineError("start", resource, "no available IPv4 addresses on this network's pools")
    if not network.has_user_subnet:
        words = (
            "user specified IP address is supported only when connecting to networks with user "
            "configured subnets"
        )
        raise AddressesUnsupported("start", resource, words)
    if ipaddress.ip_address(fixed) not in network.subnet:
        words = f"invalid address {fixed}: it does not belong to any of this network's subnets"
        raise EngineError("start", resource, words)
    if fixed in used:
        raise AddressTaken("start", resource, "Address already in use")
    return fixed


def claim_ports(
    inventory: Inventory, container: Container, ephemeral: Iterator[int]
) -> tuple[PortBinding, ...]:
    """Return the host ports that a container which starts gets; raises PortTaken."""
    taken = [
        binding
        for other in inventory.containers.values()
        if other.is_live and other is not container
        for binding in other.taken
    ]
    claimed: list[PortBinding] = []
    if container.spec.network == HOST_NETWORK:
        return ()  # what is published there, the engine lets go
    for wanted in container.spec.ports:
        numbers: Iterable[int] = wanted.candidates if wanted.host_port else (next(ephemeral),)
        for number in numbers:
            binding = PortBinding(port=wanted.port, host_ip=wanted.host_ip, host_port=number)
            if not any(_collide(binding, other) for other in itertools.chain(taken, claimed)):
                claimed.append(binding)
                break
        else:
            words = (
                f"Bind for {wanted.host_ip or '0.0.0.0'}:{wanted.host_ports} failed: "  # noqa: S104
                "port is already allocated"
            )
            raise PortTaken("start", f"container {container.name}", words)
    return tuple(claimed)


def listen(inventory: Inventory, container: Container, port: int) -> bool:
    """Take a port of the host for a program on the host's network; say whether it was free."""
    wanted = PortBinding(port=str(port), host_ip="", host_port=port)
    others = (one for one in inventory.containers.values() if one.is_live and one is not container)
    if any(_collide(wanted, binding) for other in others for binding in other.taken):
        return False
    container.listens = port
    return True


def _collide(one: PortBinding, other: PortBinding) -> bool:
    if one.host_port != other.host_port or one.protocol != other.protocol:
        return False
    return one.shares_address(other)
