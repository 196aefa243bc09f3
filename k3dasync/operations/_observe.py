"""What is there before anything is made: the engine's facts, names, subnets and ports."""

import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from k3dasync.cluster import (
    LABEL_API_PORT,
    LABEL_CLUSTER,
    LABEL_ROLE,
    Role,
    image_volume_name,
    network_name,
    node_names,
    volume_name,
)
from k3dasync.errors import ClusterExists, NameTaken, NotFound
from k3dasync.operations._existing import everything
from k3dasync.operations._inspect import INSPECTIONS, inspect_present
from k3dasync.runtime import (
    ContainerState,
    EngineFacts,
    NetworkState,
    Runtime,
    Status,
    VolumeState,
)
from k3dasync.spec import ClusterSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A snapshot of the engine, parsed once; no call is made after it."""

    facts: EngineFacts
    containers: tuple[ContainerState, ...]
    networks: tuple[NetworkState, ...]
    volumes: tuple[VolumeState, ...]
    bound_ports: frozenset[int]
    routes: tuple[str, ...]

    def network(self, name: str) -> NetworkState | None:
        """Return the network of that name; raises NameTaken if there are several."""
        found = [network for network in self.networks if network.name == name]
        if len(found) > 1:
            raise NameTaken("network", name, f"{len(found)} networks at once; remove all but one")
        return found[0] if found else None

    @property
    def subnets(self) -> tuple[str, ...]:
        """Every range that is taken: of networks, and on a local engine of routes."""
        return (*self.routes, *(cidr for network in self.networks for cidr in network.subnets))


async def observe(runtime: Runtime, facts: EngineFacts) -> World:
    """Ask the engine once for everything a plan depends on."""
    containers, networks, volumes = await everything(runtime)
    return World(
        facts=facts,
        containers=tuple(containers),
        networks=tuple(networks),
        volumes=tuple(volumes),
        bound_ports=await _bound_ports(runtime, containers),
        routes=local_routes() if facts.is_local else (),
    )


async def _bound_ports(runtime: Runtime, containers: Collection[ContainerState]) -> frozenset[int]:
    """Return every host port in a container's configuration, running or not."""
    ports = {port for container in containers for port in container.bound_ports}
    ports |= {
        int(text)
        for container in containers
        if (text := container.labels.get(LABEL_API_PORT, "")).isdigit()
    }

    stopped = [one.name for one in containers if one.status is not Status.RUNNING]
    details = await inspect_present(runtime, stopped, at_once=INSPECTIONS)
    bindings = [binding for detail in details.values() for binding in detail.bindings]
    return frozenset(ports.union(*(binding.candidates for binding in bindings)))


def refuse_if_taken(world: World, spec: ClusterSpec) -> None:
    """Make sure that every name of the cluster is free.

    Raises ClusterExists if the cluster is there, NameTaken if something foreign has a name.
    """
    members = [
        container.name
        for container in world.containers
        if container.labels.get(LABEL_CLUSTER) == spec.name
        # Of a deleted cluster a registry can be left that others use.
        and container.labels.get(LABEL_ROLE) != Role.REGISTRY
    ]
    if members:
        raise ClusterExists(spec.name, sorted(members))
    taken = {container.name: container for container in world.containers}
    for name in node_names(spec):
        if name in taken:
            raise NameTaken("container", name, _owner(taken[name]))
    external = spec.external_image_volume
    if external is not None and external not in {volume.name for volume in world.volumes}:
        words = "there is no such volume"
        raise NotFound("use", f"volume {external}", words, hint=f"docker volume create {external}")
    for volume in world.volumes:
        if volume.name == volume_name(spec.name) == image_volume_name(spec) != external:
            if volume.labels.get(LABEL_CLUSTER) == spec.name:
                raise ClusterExists(spec.name, [f"volume {volume.name}, or it is just being made"])
            raise NameTaken("volume", volume.name, "a volume that is not ours")
    if spec.network is None and world.network(network_name(spec)) is not None:
        raise NameTaken(
            "network",
            network_name(spec),
            f"a network that is not ours; remove it, or use it with --network {network_name(spec)}",
        )


def _owner(container: ContainerState) -> str:
    if container.labels.get(LABEL_ROLE) == Role.REGISTRY:
        return f"a registry that is there already; use it with --registry-use {container.name}"
    cluster = container.labels.get(LABEL_CLUSTER)
    return (
        f"a node of cluster {cluster}" if cluster else "a container that is not part of a cluster"
    )


def local_routes(table: Path = Path("/proc/net/route")) -> tuple[str, ...]:
    """Return the ranges this machine has routes to, without the default one (Linux only).

    The format is proc_pid_net(5)'s: addresses and masks in hexadecimal, in host byte order.
    """
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return ()
    found = []
    for line in lines:
        columns = line.split()
        if len(columns) < 8 or columns[7] == "00000000":
            continue
        address, mask = (
            socket.inet_ntoa(struct.pack("=I", int(columns[index], 16))) for index in (1, 7)
        )
        found.append(f"{address}/{mask}")
    return tuple(found)


def is_port_free(host_ip: str, port: int) -> bool:
    """Say whether nothing on this machine listens there; a hint, the claim is made at start."""
    family = socket.AF_INET6 if ":" in host_ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the engine's proxy does: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host_ip, port))
        except OSError:
            return False
    return True
