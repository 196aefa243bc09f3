"""Registries: one that is made with the cluster, and those that are there and become reachable."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from k3dasync.cluster import LABEL_RUN, Cluster, Connection, Node, Registry
from k3dasync.graph import Graph, TaskId
from k3dasync.runtime import VolumeSpec
from k3dasync.tasks import _ids, _node
from k3dasync.tasks._context import ClusterTask, Context
from k3dasync.tasks.again import Resume
from k3dasync.tasks.image import EnsureImage
from k3dasync.tasks.volume import CreateVolume
from k3dasync.undo import NOTHING, DisconnectContainer, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRegistry:
    """Put a registry that others use too into the cluster's network."""

    connection: Connection
    run_id: str
    has_own_network: bool
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.connect(self.connection.registry)

    @property
    def does(self) -> str:
        address = self.connection.address
        return f"connect to {self.connection.network}" + (f", address {address}" if address else "")

    @property
    def undo(self) -> Undo:
        return DisconnectContainer(self.connection.registry, self.connection.network)

    async def run(self, context: Context) -> None:
        one = self.connection
        run_id = self.run_id if self.has_own_network else None
        network = await _node.network_of(context, one.network, run_id)
        # It need not run any more: then it gets its address when it does.
        await context.runtime.connect_network(
            one.registry, network.id, address=one.address, labels={LABEL_RUN: self.run_id}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitRegistry:
    """Wait until a registry answers where it is published."""

    registry: Registry
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.answer(self.registry.name)

    @property
    def does(self) -> str:
        return f"wait until it answers at {self.registry.published}"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        host, port = self.registry.connect_host, self.registry.host_port
        involved = (self.registry.name,)

        async def does_answer() -> bool:
            return await context.registry_answers(host, port)

        waiting = context.waiting(f"http://{self.registry.published}/v2/", involved)
        await context.watch.poll(does_answer, involved=involved, waiting=waiting)


def alone(
    node: Node, registry: Registry, volumes: Sequence[VolumeSpec], run: str
) -> Graph[ClusterTask]:
    """Return what makes a registry that belongs to no cluster, and *volumes*, until it answers."""
    name, image = node.name, node.container.image
    needs = frozenset({_ids.image(image), *(_ids.volume(one.name) for one in volumes)})
    made = _node.CreateContainer(node=node, run_id=run, has_own_network=False, needs=needs)
    started = _node.StartContainer(node=node, needs=frozenset({_ids.container(name)}))
    answered = AwaitRegistry(registry=registry, needs=frozenset({_ids.start(name)}))
    mounted = [CreateVolume(spec=one) for one in volumes]
    return Graph([EnsureImage(image=image), *mounted, made, started, answered])


def starts(node: Node, registry: Registry, *, is_paused: bool) -> Graph[ClusterTask]:
    """Return what starts a registry that is there, until it answers."""
    started: ClusterTask = _node.StartContainer(node=node, needs=frozenset())
    if is_paused:
        started = Resume(node=node)
    answered = AwaitRegistry(registry=registry, needs=frozenset({_ids.start(node.name)}))
    return Graph([started, answered])


def tasks(cluster: Cluster) -> Iterator[ClusterTask]:
    """Yield the tasks of registries; nothing waits for them, as nodes need no image of theirs."""
    if (node := cluster.registry) is not None:
        yield _node.create(cluster, node)
        yield _node.StartContainer(node=node, needs=frozenset({_ids.container(node.name)}))
    # Not before the cluster's name is claimed: whoever loses it must not have touched them.
    first = _ids.container(cluster.nodes[0].name)
    for one in cluster.connections:
        yield ConnectRegistry(
            connection=one,
            run_id=cluster.run,
            has_own_network=cluster.network is not None,
            needs=frozenset({first}),
        )
