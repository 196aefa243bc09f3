"""What all nodes share: the container, its start, its Node object becoming Ready."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime

from k3dasync.addresses import HOST_NETWORK
from k3dasync.cluster import APP, LABEL_CLUSTER, LABEL_NETWORK_ID, LABEL_RUN, Cluster, Node, Role
from k3dasync.entrypoint import DRAINED
from k3dasync.errors import Conflict, K3dAsyncError, NameTaken, NodeGone, NotFound
from k3dasync.graph import TaskId
from k3dasync.kubernetes import NodeStatus
from k3dasync.node_errors import DiskPressure
from k3dasync.runtime import NetworkState
from k3dasync.spec import WaitLevel
from k3dasync.tasks import _ids
from k3dasync.tasks._context import Context
from k3dasync.undo import NOTHING, RemoveContainer, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateContainer:
    """Create a node's container with its files inside. Networks are addressed by id."""

    node: Node
    run_id: str
    has_own_network: bool
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.container(self.node.name)

    @property
    def does(self) -> str:
        address = self.node.container.address
        return "create" + (f", address {address}" if address else "")

    @property
    def undo(self) -> Undo:
        return RemoveContainer(self.node.name)

    async def run(self, context: Context) -> None:
        spec = self.node.container
        run_id = self.run_id if self.has_own_network else None
        network = await network_of(context, spec.network, run_id)
        labels = {**spec.labels, LABEL_NETWORK_ID: network.id}
        where = spec.network if spec.network == HOST_NETWORK else network.id
        try:
            await context.runtime.create_container(replace(spec, network=where, labels=labels))
        except Conflict as error:
            detail = await _owner(context, spec.name)
            raise NameTaken("container", spec.name, detail) from error


async def network_of(context: Context, name: str, run_id: str | None) -> NetworkState:
    """Return the network of that name, of those which a run has made if one is given.

    Raises NameTaken if it is not the only one.
    """
    labels = {LABEL_RUN: run_id} if run_id else None
    found = [net for net in await context.runtime.networks(labels) if net.name == name]
    if len(found) != 1:
        raise NameTaken("network", name, f"{len(found)} networks, expected one")
    return found[0]


async def _owner(context: Context, name: str) -> str:
    try:
        labels = (await context.runtime.inspect_container(name)).state.labels
    except K3dAsyncError:
        return "another container"  # gone again, or not to be seen: the conflict stands
    if labels.get("app") != APP["app"]:
        return "a container that is not part of a cluster"
    run = labels.get(LABEL_RUN)
    whose = f", made by run {run} at the same time" if run else ""
    return f"a node of cluster {labels.get(LABEL_CLUSTER)}{whose}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer:
    """Start a node's container, and claim its address and host ports by doing so.

    *undo*: what else a start does where others live on, that is known there then.
    """

    node: Node
    needs: frozenset[TaskId]
    undo: Undo = NOTHING  # the container goes as a whole, running or not

    @property
    def id(self) -> TaskId:
        return _ids.start(self.node.name)

    @property
    def does(self) -> str:
        bindings = self.node.container.ports
        ports = [f"{one.host_ip or '*'}:{one.host_ports or 'any'}" for one in bindings]
        return "start" + (f", host port {', '.join(ports)}" if ports else "")

    async def run(self, context: Context) -> None:
        try:
            await context.runtime.start_container(self.node.name)
        except NotFound as error:  # it has been there: the task needs its create
            raise NodeGone(self.node.name, "removed") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitReady:
    """Wait until the node's Node object is Ready, as the Kubernetes API says.

    One that *may be old* counts only if the node has said so since its container has started: a
    datastore that outlives clusters may know a Node of that name, Ready as long as nobody looks.
    """

    node: Node
    involved: tuple[str, ...]
    needs: frozenset[TaskId]
    may_be_old: bool = False

    @property
    def id(self) -> TaskId:
        return _ids.ready(self.node.name)

    @property
    def does(self) -> str:
        return "wait until the node is Ready"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        watch, name = context.watch, self.node.name
        known = await known_nodes(context, (name,), may_be_old=self.may_be_old)

        def is_ready() -> bool:
            status = known(name)
            raise_if_full(status)
            return status is not None and status.is_ready

        def waiting() -> None:
            lack = what_node_lacks(known(name))
            context.report.waiting(watch.with_trouble(lack, self.involved))

        await watch.until(is_ready, involved=self.involved, waiting=waiting)
        if self.may_be_old and self.node.role is Role.SERVER:
            await self._until_uncordoned(context)

    async def _until_uncordoned(self, context: Context) -> None:
        """Return when its start script has undone what it did before the last stop.

        It does so by itself within seconds of the API's coming, and only the file tells of it: a
        Node may be cordoned by somebody else, too.
        """

        async def is_uncordoned() -> bool:
            try:
                await context.runtime.read_file(self.node.name, DRAINED)
            except NotFound:
                return True
            return False

        waiting = context.waiting(f"{self.node.name} to be uncordoned", self.involved)
        await context.watch.poll(is_uncordoned, involved=self.involved, waiting=waiting)


async def known_nodes(
    context: Context, names: Collection[str], *, may_be_old: bool
) -> Callable[[str], NodeStatus | None]:
    """Return what says how a node is, None while the API does not know it.

    One that *may be old* counts only if the node has said so since its container has started.
    Raises NodeGone if a container is not there any more.
    """
    since = {name: await started(context, name) for name in names} if may_be_old else {}

    def known(name: str) -> NodeStatus | None:
        status = context.watch.node(name)
        if status is None or status.heard is None:
            return status
        return None if status.heard < since.get(name, 0.0) else status

    return known


async def started(context: Context, name: str) -> float:
    """Return when a container has started, in the whole seconds in which Nodes tell the time.

    By the engine's clock, which is that of its nodes. Raises NodeGone if it is not there any more.
    """
    try:
        said = (await context.runtime.inspect_container(name)).started_at
    except NotFound as error:
        raise NodeGone(name, "removed") from error
    return float(int(datetime.fromisoformat(said).timestamp()))


def raise_if_full(status: NodeStatus | None) -> None:
    """Raise DiskPressure if the node takes no pods for want of room: that does not pass by itself.

    For whoever waits for nodes. It may be Ready all the same.
    """
    if status is not None and status.disk_pressure:
        raise DiskPressure(status.name, status.disk_pressure)


def what_node_lacks(status: NodeStatus | None) -> str:
    """Return what a node has to do to be Ready, and the API's words on why it is not."""
    if status is None:
        return "the node to register"
    return f"the node to be Ready: {status.reason or 'no condition yet'}"


def create(cluster: Cluster, node: Node) -> CreateContainer:
    """Return the task that creates a node's container.

    All others wait for the init server's: that create claims the cluster's name, and whoever
    loses the claim must not have taken any other name of the cluster.
    """
    first = cluster.nodes[0]
    needs = {_ids.image(node.container.image)}
    if node is first:
        needs |= {_ids.volume(volume.name) for volume in cluster.volumes}
        if cluster.network is not None:
            needs.add(_ids.network(cluster.network.name))
    else:
        needs.add(_ids.container(first.name))
    return CreateContainer(
        node=node,
        run_id=cluster.run,
        has_own_network=cluster.network is not None,
        needs=frozenset(needs),
    )


def ready(cluster: Cluster, node: Node) -> list[AwaitReady]:
    """Return the waiting task of a node, if the level asks for it.

    Where a majority of the servers is enough, one task waits for them all: see `quorum`.
    """
    is_agent_of_quorum = cluster.wait is WaitLevel.QUORUM and node.role is Role.AGENT
    if not (cluster.wait.waits_for_every_node or is_agent_of_quorum):
        return []
    needs = frozenset({_ids.start(node.name), _ids.api(cluster.name)})
    involved = (node.name, *way_to_api(cluster))
    return [
        AwaitReady(
            node=node,
            involved=tuple(dict.fromkeys(involved)),
            needs=needs,
            may_be_old=cluster.may_have_known_nodes,
        )
    ]


def way_to_api(cluster: Cluster) -> tuple[str, ...]:
    """Return the containers without which the API cannot be reached."""
    first = cluster.servers[0]
    return tuple(dict.fromkeys((first.name, (cluster.loadbalancer or first).name)))
