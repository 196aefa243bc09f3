"""Nodes that are added to a cluster: made, joined one server at a time, let into its balancer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from k3dasync.cluster import LABEL_RUN, Cluster, Node, Role
from k3dasync.grammar.joins import JoinOrder
from k3dasync.graph import Graph, TaskId
from k3dasync.tasks import _ids, _node
from k3dasync.tasks._context import ClusterTask, Context
from k3dasync.tasks.image import EnsureImage
from k3dasync.tasks.join import Joins
from k3dasync.tasks.leave import LeaveEtcd, Stayers, forget
from k3dasync.tasks.rebalance import Rebalance
from k3dasync.tasks.server import AwaitApi, AwaitSupervisor
from k3dasync.undo import NOTHING, ForgetNode, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Put a node's container into one more network, before its start."""

    node: str
    network: str
    run_id: str
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.attach(self.node, self.network)

    @property
    def does(self) -> str:
        return f"connect to {self.network}"

    @property
    def undo(self) -> Undo:
        return NOTHING  # goes with the container

    async def run(self, context: Context) -> None:
        network = await _node.network_of(context, self.network, None)
        await context.runtime.connect_network(
            self.node, network.id, address=None, labels={LABEL_RUN: self.run_id}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetNamesakes:
    """Let a cluster forget nodes that had these names: all at once, by one connection."""

    cluster: str
    names: tuple[str, ...]
    stayers: Stayers
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.forget(self.cluster)

    @property
    def does(self) -> str:
        return "delete Node objects and passwords of former nodes of these names"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        api = self.stayers.api
        await forget(
            self.names,
            self.stayers.servers,
            host=api.connect_host,
            port=api.port,
            runtime=context.runtime,
            kubernetes=context.kubernetes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A cluster as it is, what is *added*, and the server that is asked, which runs.

    `networks` are further ones of each new node. `waits`: until each is Ready. Servers *join* the
    etcd of those which are there, unless their datastore is outside. `rebalance` is what lets
    them, or ports to them, into the load balancer, if that has to be told.
    """

    cluster: Cluster
    added: Sequence[Node]
    server: str
    servers: tuple[str, ...]
    networks: Mapping[str, tuple[str, ...]]
    waits: bool
    rebalance: Rebalance | None

    def graph(self) -> Graph[ClusterTask]:
        """Return what adds them, each task with what it waits for."""
        return Graph(
            chain(
                self._containers(),
                self._api(),
                self._namesakes(),
                self._starts(),
                self._readiness(),
                self._balance(),
            )
        )

    def _containers(self) -> Iterator[ClusterTask]:
        for image in dict.fromkeys(node.container.image for node in self.added):
            yield EnsureImage(image=image)
        for node in self.added:
            yield _node.CreateContainer(
                node=node,
                run_id=self.cluster.run,
                has_own_network=False,
                needs=frozenset({_ids.image(node.container.image)}),
            )
            created = frozenset({_ids.container(node.name)})
            for network in self.networks[node.name]:
                yield Attach(
                    node=node.name, network=network, run_id=self.cluster.run, needs=created
                )

    def _api(self) -> Iterator[ClusterTask]:
        involved = self._way
        if not self.server:
            return
        yield AwaitSupervisor(
            api=self.cluster.api, server=self.server, involved=involved, needs=frozenset()
        )
        if self.waits:
            yield AwaitApi(
                api=self.cluster.api,
                cluster=self.cluster.name,
                server=self.server,
                involved=involved,
                needs=frozenset({_ids.supervisor(self.server)}),
            )

    @property
    def _has_memory(self) -> bool:
        """Whether its servers are here and nobody else's nodes are in their datastore."""
        return bool(self.server) and not self.cluster.has_external_datastore

    def _namesakes(self) -> Iterator[ClusterTask]:
        """Yield what lets the cluster forget nodes that had these names, if a delete was cut.

        Their containers are gone, as the new ones have their names; a kubelet would be refused for
        having another password, and go on asking for ever.
        """
        if not self._has_memory:
            return
        stayers = Stayers(servers=self.servers, api=self.cluster.api)
        up = _ids.supervisor(self.server)
        joining = [node.name for node in self.added if node.role is Role.SERVER]
        for name in joining:
            needs = frozenset({_ids.container(name), up})
            yield LeaveEtcd(node=name, stayers=stayers, needs=needs)
        names = tuple(node.name for node in self.added)
        yield ForgetNamesakes(
            cluster=self.cluster.name,
            names=names,
            stayers=stayers,
            needs=frozenset({*map(_ids.container, names), *map(_ids.leave, joining), up}),
        )

    @property
    def _way(self) -> tuple[str, ...]:
        published = self.cluster.loadbalancer
        names = (self.server, *([published.name] if published else []))
        return tuple(dict.fromkeys(names))

    def _starts(self) -> Iterator[ClusterTask]:
        """Yield the starts: of agents at once, of servers as etcd takes them."""
        servers = [node for node in self.added if node.role is Role.SERVER]
        are_gated = bool(servers) and not self.cluster.has_external_datastore
        gate = frozenset({_ids.supervisor(self.server)}) if self.server else frozenset[TaskId]()
        if are_gated:
            joins = Joins(
                joining=servers,
                server=self.server,
                involved=self._way,
                order=JoinOrder.PIPELINED,
                supervisor=_ids.supervisor(self.server),
                api=_ids.api(self.cluster.name),
                waits_for_last=True,  # a learner that is left alone keeps others from joining
            )
            for task in joins.tasks():
                yield self._known(task) if isinstance(task, _node.StartContainer) else task
        for node in self.added:
            if node.role is not Role.SERVER or not are_gated:
                needs = frozenset({_ids.container(node.name)}) | gate
                yield self._known(_node.StartContainer(node=node, needs=needs))

    def _known(self, start: _node.StartContainer) -> _node.StartContainer:
        """Return the start with what it waits for besides, and how the cluster forgets the node."""
        name, api = start.node.name, self.cluster.api
        undo = ForgetNode(
            name,
            self.servers,
            api.connect_host,
            api.port,
            start.node.role is Role.SERVER and not self.cluster.has_external_datastore,
        )
        attached = frozenset(_ids.attach(name, network) for network in self.networks[name])
        free = (
            frozenset({_ids.forget(self.cluster.name)}) if self._has_memory else frozenset[TaskId]()
        )
        return replace(
            start,
            needs=start.needs | attached | free,
            undo=undo if self.servers else NOTHING,
        )

    def _readiness(self) -> Iterator[ClusterTask]:
        if not self.waits:
            return
        for node in self.added:
            yield _node.AwaitReady(
                node=node,
                involved=(node.name, *self._way),
                needs=frozenset({_ids.start(node.name), _ids.api(self.cluster.name)}),
                may_be_old=True,
            )

    def _balance(self) -> Iterator[ClusterTask]:
        if self.rebalance is not None:
            reached = _ids.ready if self.waits else _ids.start
            yield replace(
                self.rebalance, needs=frozenset(reached(node.name) for node in self.added)
            )
