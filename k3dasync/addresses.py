"""Subnets, node addresses and API ports: what is chosen before the engine is asked. Pure.

Choices start at a place derived from the cluster's name, so that the same cluster gets the same
numbers again and different clusters seldom want the same.
"""

import hashlib
import ipaddress
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from k3dasync.invalid import InvalidNetwork, InvalidSetting, InvalidSubnet

HOST_NETWORK = "host"
"""The engine's network for containers that share addresses and ports with its host."""
SUBNET_POOL = "10.160.0.0/12"
"""Private, outside the engine's own pools (172.17-31, 192.168) and k3s's pods and services
(10.42, 10.43). `K3DASYNC_SUBNET_POOL` replaces it."""
API_PORTS = "26000-29999"
"""Below the ephemeral range (Linux 32768, macOS 49152) and Kubernetes' node ports (30000), so that
no outgoing connection and no service takes a stopped cluster's port. `K3DASYNC_API_PORTS`."""
SMALLEST_PREFIX = 24
"""The subnet of a usual cluster: 126 fixed addresses and as many dynamic ones."""


def is_address(text: str) -> bool:
    """Say whether *text* is an IP address, not a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _setting(variable: str, default: str) -> str:
    return os.environ.get(variable) or default


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])


def _from_seed(size: int, name: str) -> Iterator[int]:
    """Yield every index below *size* once, beginning where the name says."""
    start = _seed(name) % size
    for step in range(size):
        yield (start + step) % size


def _prefix_for(nodes: int) -> int:
    """Return the prefix whose lower half holds that many nodes, the network and the gateway."""
    prefix = SMALLEST_PREFIX
    while 2 ** (32 - prefix - 1) < nodes + 2:
        prefix -= 1
    return prefix


def _pool(nodes: int) -> tuple[ipaddress.IPv4Network, int]:
    """Return the configured pool, and the prefix of a subnet for that many nodes."""
    text = _setting("K3DASYNC_SUBNET_POOL", SUBNET_POOL)
    prefix = _prefix_for(nodes)
    try:
        pool = ipaddress.IPv4Network(text, strict=False)
    except ValueError as error:
        raise InvalidSetting(f"K3DASYNC_SUBNET_POOL: {error}") from None
    refuse_special(pool, "K3DASYNC_SUBNET_POOL")
    if pool.prefixlen > prefix:
        raise InvalidSetting(
            f"K3DASYNC_SUBNET_POOL {pool} is too small: {nodes} nodes need a /{prefix}"
        )
    return pool, prefix


def free_subnets(nodes: int, taken: Collection[str]) -> tuple[int, int, str]:
    """Return how many subnets for that many nodes are free in the pool, of how many, and the pool.

    Raises SpecError if the configured pool is none, or too small for the cluster.
    """
    pool, prefix = _pool(nodes)
    width, first, size = 32 - prefix, int(pool.network_address), 2 ** (prefix - pool.prefixlen)
    covered: set[int] = set()
    for cidr in taken:
        network = ipaddress.ip_network(cidr, strict=False)
        if isinstance(network, ipaddress.IPv4Network) and network.overlaps(pool):
            low = max(int(network.network_address) - first, 0) >> width
            high = min((int(network.broadcast_address) - first) >> width, size - 1)
            covered.update(range(low, high + 1))
    return size - len(covered), size, str(pool)


def subnets(name: str, nodes: int, taken: Collection[str]) -> Iterator[str]:
    """Yield subnets of the pool that overlap with none of *taken*, best first.

    Raises SpecError if the configured pool is none, or too small for the cluster.
    """
    pool, prefix = _pool(nodes)
    used = [ipaddress.ip_network(cidr, strict=False) for cidr in taken]
    used4 = [network for network in used if isinstance(network, ipaddress.IPv4Network)]
    size = 2 ** (prefix - pool.prefixlen)
    for index in _from_seed(size, name):
        base = int(pool.network_address) + (index << (32 - prefix))
        candidate = ipaddress.IPv4Network((base, prefix))
        if not any(candidate.overlaps(network) for network in used4):
            yield str(candidate)


_NOT_FOR_NODES = {
    "0.0.0.0/8": "for addresses of no network",
    "127.0.0.0/8": "for every machine itself",
    "169.254.0.0/16": "for one link only",
    "224.0.0.0/4": "for multicast",
    "240.0.0.0/4": "reserved",
}
"""IANA's special-purpose registry (RFC 6890). An engine takes some of them, and is harmed."""


def refuse_special(network: ipaddress.IPv4Network, origin: str) -> None:
    """Raise SpecError, naming the *origin*, if a range is not for networks of machines."""
    for cidr, what in _NOT_FOR_NODES.items():
        if network.overlaps(ipaddress.IPv4Network(cidr)):
            raise InvalidSubnet(f"{origin} {network} cannot be used: {cidr} is {what}")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a subnet is divided: gateway first, nodes in the lower half, dynamic ones above."""

    subnet: str
    gateway: str
    ip_range: str


def layout(subnet: str) -> Layout:
    """Divide a subnet of ours; dynamic addresses stay in the upper half.

    A stopped node's address is free for the taking by a dynamic one unless they are kept apart.
    """
    network = ipaddress.IPv4Network(subnet)
    _, upper = network.subnets(prefixlen_diff=1)
    return Layout(str(network), str(network[1]), str(upper))


def node_addresses(subnet: str, count: int) -> tuple[str, ...]:
    """Return that many addresses of the lower half, after the gateway.

    Raises SpecError if the subnet is too small.
    """
    room = ipaddress.IPv4Network(subnet).num_addresses // 2 - 2
    if count > room:
        raise InvalidSubnet(f"subnet {subnet} has room for {room} nodes, {count} are asked for")
    return tuple(islice(fixed_addresses(subnet), count))


def fixed_addresses(subnet: str) -> Iterator[str]:
    """Yield the addresses of the lower half, after the gateway."""
    network = ipaddress.IPv4Network(subnet)
    for index in range(2, network.num_addresses // 2):
        yield str(network[index])


def addresses_of_own(subnet: str, count: int, taken: Collection[str]) -> tuple[str, ...]:
    """Return free addresses of the lower half of a network that is laid out by us.

    Raises SpecError if there are too few.
    """
    free = (one for one in fixed_addresses(subnet) if one not in taken)
    found = tuple(islice(free, count))
    if len(found) < count:
        raise InvalidNetwork(
            f"network {subnet} has {len(found)} fixed addresses left, {count} are needed"
        )
    return found


def free_node_addresses(subnet: str, count: int, taken: Collection[str]) -> tuple[str, ...]:
    """Return that many addresses of the lower half, after the gateway, that nobody has.

    Raises SpecError if there are too few.
    """
    network = ipaddress.IPv4Network(subnet)
    free = (str(network[index]) for index in range(2, network.num_addresses // 2))
    found = [address for address in free if address not in taken]
    if len(found) < count:
        raise InvalidSubnet(
            f"subnet {subnet} has room for {len(found)} more nodes, {count} are asked for"
        )
    return tuple(found[:count])


def addresses_of_foreign(subnet: str, count: int, taken: Collection[str]) -> tuple[str, ...]:
    """Return free addresses of a network we did not make, highest first.

    The engine hands out dynamic addresses from the low end, so the high end collides last.
    Raises SpecError if there are too few.
    """
    network = ipaddress.IPv4Network(subnet, strict=False)
    found: list[str] = []
    for index in range(network.num_addresses - 2, 1, -1):
        if len(found) == count:
            break
        if (address := str(network[index])) not in taken:
            found.append(address)
    if len(found) < count:
        raise InvalidNetwork(
            f"network {subnet} has {len(found)} free addresses, {count} are needed"
        )
    return tuple(found)


def api_ports(name: str, taken: Collection[int]) -> Iterator[int]:
    """Yield host ports for the API, those in *taken* left out, best first.

    Raises SpecError if the configured range is none.
    """
    text = _setting("K3DASYNC_API_PORTS", API_PORTS)
    first, _, last = text.partition("-")
    if not (first.isdigit() and last.isdigit() and 0 < int(first) <= int(last) < 65536):
        raise InvalidSetting(
            f"K3DASYNC_API_PORTS {text!r}: expected FIRST-LAST, for example 26000-29999"
        )
    size = int(last) - int(first) + 1
    for index in _from_seed(size, name):
        if (port := int(first) + index) not in taken:
            yield port
