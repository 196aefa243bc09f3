"""Registries for clusters that are there, running or not: used from now on, or no more."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from k3dasync.addresses import HOST_NETWORK
from k3dasync.backend import Backend
from k3dasync.cluster import LABEL_CLUSTER, LABEL_EXTERNAL, Cluster, Connection, Registry
from k3dasync.errors import RegistryUnusable
from k3dasync.events import EventSink
from k3dasync.graph import Graph
from k3dasync.journal import cluster_lock
from k3dasync.operations import _node_registries
from k3dasync.operations._acting import acting, context_of
from k3dasync.operations._existing import ExistingCluster, existing_cluster
from k3dasync.operations._free_addresses import free_addresses
from k3dasync.operations._inspect import inspect_present
from k3dasync.operations._node_registries import NodeState, node_states
from k3dasync.operations._one_way import OneWay
from k3dasync.operations._recall import recall
from k3dasync.operations._registry_look import as_registries, find_registries
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations._several import each, known_names, merged
from k3dasync.operations.start import watch_of
from k3dasync.runtime import (
    ContainerDetail,
    ContainerState,
    EngineFacts,
    EngineReader,
    NetworkState,
    Status,
)
from k3dasync.spec import WaitLevel
from k3dasync.tasks import ClusterTask, registry_use
from k3dasync.tasks.registry import ConnectRegistry

SECONDS = 120.0
"""For connecting and telling the nodes of a cluster: some ten calls a node, of milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """The clusters that use registries now, or no more, and those that learn it at a restart."""

    registries: tuple[str, ...]
    clusters: tuple[str, ...]
    to_restart: tuple[str, ...]


async def refuse_unknown(clusters: Sequence[str], runtime: EngineReader) -> None:
    """Raise ClusterNotFound if one of these is not there."""
    await known_names(clusters, runtime)


async def connect(
    registries: Sequence[str],
    clusters: Sequence[str],
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Connected:
    """Let these clusters use these registries, from now on and after every restart.

    May be done twice. What was done stays if something fails.

    Raises ClusterNotFound, RegistryNotFound or RegistryUnusable before anything is done.
    """
    return await _each(_Connect, registries, clusters, backend=backend, sinks=sinks, stop=stop)


async def disconnect(
    registries: Sequence[str],
    clusters: Sequence[str],
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Connected:
    """Let these clusters use these registries no more; raises as `connect` does."""
    return await _each(_Disconnect, registries, clusters, backend=backend, sinks=sinks, stop=stop)


async def _each(
    kind: "type[_Connect | _Disconnect]",
    registries: Sequence[str],
    clusters: Sequence[str],
    *,
    backend: Backend,
    sinks: Sequence[EventSink],
    stop: Stop | None,
) -> Connected:
    runtime = backend.runtime
    facts = await runtime.facts()
    names = await known_names(clusters, runtime)
    found = await find_registries(registries, runtime)
    kind.refuse(found, names)
    known = await as_registries(found, runtime, facts)
    to_restart: list[str] = []

    async def one(name: str) -> bool:
        with cluster_lock(name, facts.id):
            change = await _look(kind, name, found, known, backend=backend, facts=facts)
            await change.perform(sinks)
        if change.needs_restart:
            to_restart.append(name)
        return True

    ends = await each(names, one, stop=stop or Stop(), undone=kind.undone)
    if ends.failures:
        raise merged(ends.failures)
    return Connected(
        registries=tuple(one.name for one in found),
        clusters=tuple(ends.done),
        to_restart=tuple(name for name in ends.done if name in to_restart),
    )


async def _look(
    kind: "type[_Connect | _Disconnect]",
    name: str,
    found: Sequence[ContainerState],
    known: Sequence[Registry],
    *,
    backend: Backend,
    facts: EngineFacts,
) -> "_Connect | _Disconnect":
    runtime = backend.runtime
    existing = await existing_cluster(runtime, name)
    details = await inspect_present(runtime, [one.name for one in existing.containers])
    cluster = recall(existing, details, run=new_run_id(), wait=WaitLevel.NONE)
    if cluster.network_name == HOST_NETWORK:
        words = f"cluster {name} is on the host's network, to which nothing can be connected"
        raise RegistryUnusable(known[0].name, words, "name it with --registry-config at a create")
    running = {key for key, one in details.items() if one.state.status is Status.RUNNING}
    neighbours = await find_registries(None, runtime)
    there = [one for one in neighbours if cluster.network_name in one.addresses]
    return kind(
        backend=backend,
        facts=facts,
        existing=existing,
        details=details,
        cluster=cluster,
        states=await node_states(cluster, frozenset(running), runtime),
        found=found,
        registries=known,
        others=await as_registries(
            [one for one in there if one.name not in {each.name for each in found}], runtime, facts
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Change(ABC):
    """One cluster as it was found, and the registries in question; `others` are in use besides."""

    backend: Backend
    facts: EngineFacts
    existing: ExistingCluster
    details: dict[str, ContainerDetail]
    cluster: Cluster
    states: tuple[NodeState, ...]
    found: Sequence[ContainerState]
    registries: Sequence[Registry]
    others: Sequence[Registry]

    operation = ""

    @property
    def needs_restart(self) -> bool:
        """Whether k3s somewhere has read what it was told before, and reads it no more."""
        return any(
            one.is_running and not one.reads_hosts and not one.is_mounted for one in self.states
        )

    @abstractmethod
    async def graph(self) -> Graph[ClusterTask]:
        """Return what changes the cluster."""

    async def perform(self, sinks: Sequence[EventSink]) -> None:
        backend = self.backend
        watch = watch_of(self.cluster, self.details, backend)

        graph = await self.graph()
        run = Run(
            id=self.cluster.run,
            operation=self.operation,
            cluster=self.cluster.name,
            facts=self.facts,
            k3s="",
            sinks=sinks,
            is_rehearsal=backend.is_rehearsal,
        )
        try:
            told = tuple(self.warnings())
            await OneWay(
                graph=graph, act=acting(context_of(watch, backend)), seconds=SECONDS, told=told
            ).perform(run)
        finally:
            run.close()

    def warnings(self) -> Iterable[str]:
        """Yield what the user should know."""
        mounted = [one.node.name for one in self.states if one.is_mounted]
        if mounted:
            yield (
                f"{', '.join(mounted)}: a volume is mounted over registries.yaml, write it there "
                "yourself"
            )


class _Connect(_Change):
    operation = "registry-connect"
    undone = "not connected"

    @staticmethod
    def refuse(found: Sequence[ContainerState], names: Sequence[str]) -> None:  # noqa: ARG004
        """Raise RegistryUnusable if one does not run: its address would be another one's soon."""
        for one in found:
            if one.status is not Status.RUNNING:
                what = f"start it: k3dasync registry start {one.name}"
                raise RegistryUnusable(one.name, f"it is {one.status}", what)

    async def graph(self) -> Graph[ClusterTask]:
        network = self.cluster.network_name
        missing = [one.name for one in self.found if network not in one.addresses]
        new = await self._addresses(missing)
        addresses = {**self._present(), **new}
        connections = [
            ConnectRegistry(
                connection=Connection(registry=name, network=network, address=new.get(name)),
                run_id=self.cluster.run,
                has_own_network=False,
                needs=frozenset(),
            )
            for name in missing
        ]
        hosting = None
        if not self.others and self.cluster.servers:
            hosting = _node_registries.pushing_to(self.cluster, self.registries[0])
        told = _node_registries.used(self.states, self.registries, addresses)
        return registry_use.connects(self.cluster.name, connections, told, hosting)

    def _present(self) -> dict[str, str]:
        """Return the addresses of those that are in the network already, where these are fixed."""
        network = self.cluster.network_name
        if not self.cluster.has_fixed_addresses:
            return {}
        return {
            one.name: one.addresses[network] for one in self.found if one.addresses.get(network)
        }

    async def _addresses(self, names: Sequence[str]) -> dict[str, str]:
        """Return fixed addresses for these, where nodes have such."""
        if not names or not self.cluster.has_fixed_addresses:
            return {}
        found = await self.backend.runtime.networks()
        network: NetworkState = next(one for one in found if one.name == self.cluster.network_name)
        # Divided into halves, for fixed addresses and for others.
        is_ours = bool({LABEL_CLUSTER, LABEL_EXTERNAL} & network.labels.keys())
        chosen = await free_addresses(network, len(names), self.backend.runtime, is_ours=is_ours)
        return dict(zip(names, chosen, strict=True))

    def warnings(self) -> Iterable[str]:
        yield from super().warnings()
        if self.others:
            yield f"tools are told to push to {self.others[0].name} as before"


class _Disconnect(_Change):
    operation = "registry-disconnect"
    undone = "not disconnected"

    @staticmethod
    def refuse(found: Sequence[ContainerState], names: Sequence[str]) -> None:
        """Raise RegistryUnusable if one was made with such a cluster, and lives in its network."""
        for one in found:
            if (owner := one.labels.get(LABEL_CLUSTER)) and owner in names:
                what = f"delete it instead: k3dasync registry delete {one.name}"
                raise RegistryUnusable(one.name, f"it is a part of cluster {owner}", what)

    @property
    def needs_restart(self) -> bool:
        return bool(self._leaving) and super().needs_restart

    @property
    def _leaving(self) -> list[str]:
        return [one.name for one in self.found if self.cluster.network_name in one.addresses]

    async def graph(self) -> Graph[ClusterTask]:
        network = self.cluster.network_name
        told = _node_registries.forgotten(self.states, self.registries)
        return registry_use.disconnects(
            self.cluster.name, network, self._leaving, told, self._hosting()
        )

    def _hosting(self) -> registry_use.Told | None:
        if self.others:
            return _node_registries.pushing_to(self.cluster, self.others[0])
        return _node_registries.pushing_nowhere(self.cluster) if self._is_first_up else None

    @property
    def _is_first_up(self) -> bool:
        return any(one.is_running and one.node is self.cluster.servers[0] for one in self.states)

    def warnings(self) -> Iterable[str]:
        yield from super().warnings()
        if not self.others and not self._is_first_up:
            yield "its first server does not run: tools are told to push there as before"
