"""From what is asked for and what is there to a cluster and the graph that makes it."""

import socket
from dataclasses import dataclass

import anyio

from k3dasync import events, kubeconfig, tasks
from k3dasync.backend import Backend
from k3dasync.cluster import Cluster, network_name
from k3dasync.errors import SpecError
from k3dasync.graph import Graph
from k3dasync.images import loadbalancer_image
from k3dasync.operations._choose import (
    Refused,
    choose_api,
    choose_network,
    choose_registry,
    default_host_ip,
    is_address,
)
from k3dasync.operations._forward import planned
from k3dasync.operations._observe import World
from k3dasync.operations._registries import used_registries
from k3dasync.resolve import resolve
from k3dasync.spec import ClusterSpec, check_image
from k3dasync.tasks import ClusterTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A cluster, and the graph that makes it."""

    cluster: Cluster
    graph: Graph[ClusterTask]

    @property
    def plan(self) -> tuple[events.PlannedTask, ...]:
        """The graph as it stands in the log."""
        return planned(self.graph)


async def decide(
    spec: ClusterSpec,
    *,
    backend: Backend,
    world: World,
    run: str,
    token: str,
    target: kubeconfig.Target | None,
    refused: Refused,
) -> Decision:
    """Decide everything about a cluster for the world as it was seen.

    Raises SpecError if there is no room for it.
    """
    name, in_use = network_name(spec), frozenset[str]()
    if world.network(name) is not None:
        in_use = await backend.runtime.addresses_in_use(name)
    used = await used_registries(spec, world, backend.runtime)
    connected = sum(not one.is_connected for one in used)
    network = choose_network(spec, world, in_use, refused, connected=connected)
    api = choose_api(spec, world, await _api_address(spec, world), refused)
    facts = world.facts
    cluster = resolve(
        spec,
        run=run,
        token=token,
        network=network,
        api=api,
        loadbalancer_image=check_image(loadbalancer_image(), "K3D_IMAGE_LOADBALANCER"),
        # Where the engine is in a virtual machine, the network's gateway is not the user's host.
        host_alias="host-gateway" if facts.is_desktop or not network.gateway else network.gateway,
        present_volumes={volume.name for volume in world.volumes},
        registry=choose_registry(spec, world, await _registry_address(spec, world), refused, api),
        used=used,
    )
    return Decision(cluster=cluster, graph=tasks.plan(cluster, target))


async def _api_address(spec: ClusterSpec, world: World) -> str:
    return await _host_ip(spec.api_port.host, world, "--api-port")


async def _registry_address(spec: ClusterSpec, world: World) -> str:
    host = spec.registry.exposure.host if spec.registry else None
    return await _host_ip(host, world, "the registry")


async def _host_ip(host: str | None, world: World, origin: str) -> str:
    if host is None:
        return default_host_ip(world)
    if is_address(host):
        return host
    try:
        found = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SpecError(f"{origin}: cannot look up {host}: {error.strerror}") from error
    return str(found[0][4][0])
