"""From what is asked for and what is there to a cluster and the graph that makes it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from k3dasync import events, kubeconfig, tasks
from k3dasync.addresses import HOST_NETWORK
from k3dasync.cluster import Cluster, UsedRegistry, network_name
from k3dasync.fixes import fixes
from k3dasync.graph import Graph
from k3dasync.images import loadbalancer_image
from k3dasync.operations._age import expiry
from k3dasync.operations._choose import (
    Refused,
    choose_api,
    choose_network,
    choose_registry,
    host_alias,
    host_ip,
    registry_ip,
)
from k3dasync.operations._forward import planned
from k3dasync.operations._inspect import INSPECTIONS, inspect_present
from k3dasync.operations._observe import World
from k3dasync.operations._registries import used_registries
from k3dasync.resolve import resolve
from k3dasync.runtime import Runtime, Status
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Who else is in the cluster's network: addresses in use, registries that will be used."""

    addresses: frozenset[str] = frozenset()
    registries: tuple[UsedRegistry, ...] = ()


async def neighbours(spec: ClusterSpec, world: World, runtime: Runtime) -> Neighbours:
    """Ask the engine for a cluster's neighbours; raises RegistryUnusable if one cannot be used."""
    name, in_use = network_name(spec), frozenset[str]()
    if name != HOST_NETWORK and world.network(name) is not None:
        in_use = await runtime.addresses_in_use(name) | await _kept(name, world, runtime)
    used = await used_registries(spec, world, runtime)
    return Neighbours(addresses=in_use, registries=used)


async def _kept(network: str, world: World, runtime: Runtime) -> frozenset[str]:
    """Return the addresses of members that do not run and will want them again."""
    names = [
        one.name
        for one in world.containers
        if network in one.addresses and one.status is not Status.RUNNING
    ]
    details = await inspect_present(runtime, names, at_once=INSPECTIONS)
    found = (one.fixed_addresses.get(network) for one in details.values())
    return frozenset(address for address in found if address)


async def decide(
    spec: ClusterSpec,
    *,
    world: World,
    beside: Neighbours,
    run: str,
    token: str,
    target: kubeconfig.Target | None,
    refused: Refused,
    datastore_files: Mapping[str, bytes],
    expires: str | None = None,
) -> Decision:
    """Decide everything about a cluster for the world as it was seen.

    *datastore_files* are the contents of the client's files that the datastore names, by path.
    *expires* None: its time begins now, by the engine's clock.

    Raises SpecError if there is no room for it.
    """
    connected = sum(not one.is_connected for one in beside.registries)
    network = choose_network(spec, world, beside.addresses, refused, connected=connected)
    api = choose_api(spec, world, await host_ip(spec, world), refused)
    facts = world.facts
    cluster = resolve(
        spec,
        run=run,
        token=token,
        network=network,
        api=api,
        loadbalancer_image=check_image(loadbalancer_image(), "K3D_IMAGE_LOADBALANCER"),
        host_alias=host_alias(network, facts),
        present_volumes={volume.name for volume in world.volumes},
        registry=choose_registry(
            spec, world, await registry_ip(spec.registry, world), refused, api
        ),
        used=beside.registries,
        fixes=fixes(os.environ, cgroup_version=facts.cgroup_version, engine=facts.name),
        datastore_files=datastore_files,
        expires=expiry(spec.ttl, facts) if expires is None else expires,
    )
    return Decision(cluster=cluster, graph=tasks.plan(cluster, target))
