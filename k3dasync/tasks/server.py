"""The servers: the first one, and those which join it one after the other, or all at once."""

from collections.abc import Iterator
from dataclasses import dataclass

from k3dasync.cluster import ApiChoice, Cluster, Node
from k3dasync.graph import TaskId
from k3dasync.spec import WaitLevel
from k3dasync.tasks import _ids, _node
from k3dasync.tasks._context import ClusterTask, Context
from k3dasync.tasks.kubeconfig import read_credentials
from k3dasync.undo import NOTHING, Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitSupervisor:
    """Wait until `/cacerts` answers: from that moment nodes make progress, before they crash."""

    api: ApiChoice
    server: str
    involved: tuple[str, ...]
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.supervisor(self.server)

    @property
    def does(self) -> str:
        return "wait until nodes can join"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        context.report.waiting(f"{self.api.url}/cacerts")
        async with context.kubernetes(self.api.connect_host, self.api.port, None) as kubernetes:
            await context.watch.poll(kubernetes.supervisor_answers, involved=self.involved)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitApi:
    """Wait until `/readyz` answers through the published port, then let Nodes be watched."""

    api: ApiChoice
    cluster: str
    server: str
    involved: tuple[str, ...]
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.api(self.cluster)

    @property
    def does(self) -> str:
        return f"wait until the API is ready at {self.api.url}"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        credentials = await read_credentials(context, self.server, self.involved)
        context.report.waiting(f"{self.api.url}/readyz")
        connect = context.kubernetes
        async with connect(self.api.connect_host, self.api.port, credentials) as kubernetes:
            await context.watch.poll(kubernetes.is_ready, involved=self.involved)
        context.watch.authenticate(credentials)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitJoined:
    """Wait until a joining server has registered: k3s does so when it is a voting member.

    Etcd takes one new member at a time, so the next server starts after this. Whoever promotes
    learners from outside ends this task earlier.
    """

    node: Node
    involved: tuple[str, ...]
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.join(self.node.name)

    @property
    def does(self) -> str:
        return "wait until it is a member"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        watch, name = context.watch, self.node.name
        await watch.until(
            lambda: watch.node(name) is not None,
            involved=self.involved,
            waiting=lambda: context.report.waiting("etcd to make it a member"),
        )


def tasks(cluster: Cluster) -> Iterator[ClusterTask]:
    """Yield the servers' tasks: the init server first, then the chain of joins."""
    first = cluster.servers[0]
    published = cluster.loadbalancer or first
    involved = _node.way_to_api(cluster)
    for node in cluster.servers:
        yield _node.create(cluster, node)
    yield _node.StartContainer(node=first, needs=frozenset({_ids.container(first.name)}))
    yield AwaitSupervisor(
        api=cluster.api,
        server=first.name,
        involved=involved,
        needs=frozenset({_ids.start(first.name), _ids.start(published.name)}),
    )
    joining = cluster.servers[1:]
    are_gated = bool(joining) and not cluster.has_external_datastore
    if cluster.wait is not WaitLevel.NONE or are_gated:
        yield AwaitApi(
            api=cluster.api,
            cluster=cluster.name,
            server=first.name,
            involved=involved,
            needs=frozenset({_ids.supervisor(first.name)}),
        )
    yield from _joins(cluster, joining) if are_gated else _starts(joining)
    for node in cluster.servers:
        yield from _node.ready(cluster, node)


def _starts(servers: tuple[Node, ...]) -> Iterator[ClusterTask]:
    """Yield the starts of servers that share a datastore outside: none has to join another."""
    for node in servers:
        yield _node.StartContainer(node=node, needs=frozenset({_ids.container(node.name)}))


def _joins(cluster: Cluster, joining: tuple[Node, ...]) -> Iterator[ClusterTask]:
    previous = _ids.supervisor(cluster.servers[0].name)
    for index, node in enumerate(joining):
        needs = frozenset({_ids.container(node.name), previous})
        yield _node.StartContainer(node=node, needs=needs)
        if index + 1 < len(joining):
            previous = _ids.join(node.name)
            yield AwaitJoined(
                node=node,
                involved=(node.name, *_node.way_to_api(cluster)),
                needs=frozenset({_ids.start(node.name), _ids.api(cluster.name)}),
            )
