"""The quorum: most servers Ready, and of the others known that they will come."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import anyio

from k3dasync.cluster import Cluster
from k3dasync.graph import TaskId
from k3dasync.kubernetes import NodeStatus
from k3dasync.spec import WaitLevel
from k3dasync.tasks import _ids, _node
from k3dasync.tasks._context import Context
from k3dasync.undo import NOTHING, Undo
from k3dasync.watch import SETTLED_AFTER, ClusterWatch

Known = Callable[[str], NodeStatus | None]


def ready_servers(watch: ClusterWatch, known: Known, servers: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the servers that run and whose Nodes are Ready."""

    def is_ready(name: str) -> bool:
        status = known(name)
        return status is not None and status.is_ready and watch.running_since(name) is not None

    return tuple(name for name in servers if is_ready(name))


def settles_at(watch: ClusterWatch, name: str) -> float | None:
    """Return when a container that runs will be known not to crash-loop; None if it does not run.

    The past, if that is known now: that it has registered proves nothing, nodes crash then, too.
    """
    since = watch.running_since(name)
    return None if since is None else since + SETTLED_AFTER


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitQuorum:
    """Wait until a majority of the servers is Ready while each of the rest runs for good."""

    cluster: str
    servers: tuple[str, ...]
    involved: tuple[str, ...]
    needs: frozenset[TaskId]
    may_be_old: bool = False

    @property
    def id(self) -> TaskId:
        return _ids.quorum(self.cluster)

    @property
    def does(self) -> str:
        rest = ", the rest up" if self._majority < len(self.servers) else ""
        return f"wait until {self._majority} of {len(self.servers)} servers are Ready{rest}"

    @property
    def undo(self) -> Undo:
        return NOTHING

    @property
    def _majority(self) -> int:
        return len(self.servers) // 2 + 1

    async def run(self, context: Context) -> None:
        watch = context.watch
        known = await _node.known_nodes(context, self.servers, may_be_old=self.may_be_old)

        def waiting() -> None:
            lacking = "; ".join(self._lacking(watch, known))
            context.report.waiting(watch.with_trouble(lacking, self.involved))

        await watch.until(
            lambda: not self._lacking(watch, known),
            involved=self.involved,
            waiting=waiting,
            again=lambda: self._again(watch),
        )

    def _lacking(self, watch: ClusterWatch, known: Known) -> list[str]:
        """Return what is to come, in words; raises DiskPressure if one of them is full."""
        for name in self.servers:
            _node.raise_if_full(known(name))
        ready = ready_servers(watch, known, self.servers)
        rest = [name for name in self.servers if name not in ready]
        if len(ready) < self._majority:
            return [f"{name}: {_node.what_node_lacks(known(name))}" for name in rest]
        return [
            f"{name} to run for {SETTLED_AFTER:g} s without an exit"
            for name in rest
            if not self._is_settled(watch, name)
        ]

    @staticmethod
    def _is_settled(watch: ClusterWatch, name: str) -> bool:
        moment = settles_at(watch, name)
        return moment is not None and moment <= anyio.current_time()

    def _again(self, watch: ClusterWatch) -> float:
        """Return when the next one of the servers will have settled without another change."""
        moments = (settles_at(watch, name) for name in self.servers)
        now = anyio.current_time()
        return min((one for one in moments if one is not None and one > now), default=float("inf"))


def tasks(cluster: Cluster) -> Iterator[AwaitQuorum]:
    """Yield the wait, if the level asks for it."""
    if cluster.wait is not WaitLevel.QUORUM:
        return
    servers = tuple(server.name for server in cluster.servers)
    yield AwaitQuorum(
        cluster=cluster.name,
        servers=servers,
        involved=tuple(dict.fromkeys((*servers, *_node.way_to_api(cluster)))),
        needs=frozenset({_ids.api(cluster.name), *map(_ids.start, servers)}),
        may_be_old=cluster.may_have_known_nodes,
    )
