"""The servers: the first one, and those which join it one after the other, or all at once."""

from collections.abc import Iterator
from dataclasses import dataclass

from k3dasync.cluster import ApiChoice, Cluster, Node
from k3dasync.grammar.joins import JoinOrder
from k3dasync.graph import TaskId
from k3dasync.spec import WaitLevel
from k3dasync.tasks import _ids, _node, join
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
        waiting = context.waiting(f"{self.api.url}/cacerts", self.involved)
        async with context.kubernetes(self.api.connect_host, self.api.port, None) as kubernetes:
            await context.watch.poll(
                kubernetes.supervisor_answers, involved=self.involved, waiting=waiting
            )


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
        waiting = context.waiting(f"{self.api.url}/readyz", self.involved)
        connect = context.kubernetes
        async with connect(self.api.connect_host, self.api.port, credentials) as kubernetes:
            await context.watch.poll(kubernetes.is_ready, involved=self.involved, waiting=waiting)
        context.watch.authenticate(credentials)


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
    if cluster.wait is not WaitLevel.NONE or (are_gated and cluster.join is JoinOrder.SERIAL):
        yield AwaitApi(
            api=cluster.api,
            cluster=cluster.name,
            server=first.name,
            involved=involved,
            needs=frozenset({_ids.supervisor(first.name)}),
        )
    yield from _joins(cluster, joining).tasks() if are_gated else _starts(joining)
    for node in cluster.servers:
        yield from _node.ready(cluster, node)


def _starts(servers: tuple[Node, ...]) -> Iterator[ClusterTask]:
    """Yield the starts of servers that share a datastore outside: none has to join another."""
    for node in servers:
        yield _node.StartContainer(node=node, needs=frozenset({_ids.container(node.name)}))


def _joins(cluster: Cluster, joining: tuple[Node, ...]) -> join.Joins:
    first = cluster.servers[0].name
    return join.Joins(
        joining=joining,
        server=first,
        involved=_node.way_to_api(cluster),
        order=cluster.join,
        supervisor=_ids.supervisor(first),
        api=_ids.api(cluster.name),
        waits_for_last=cluster.wait is not WaitLevel.NONE,
    )
