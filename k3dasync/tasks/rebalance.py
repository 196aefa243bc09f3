"""The load balancer of a cluster that changes: it forwards to who is there then."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from k3dasync import nginx
from k3dasync.cluster import API_PORT, Cluster
from k3dasync.graph import TaskId
from k3dasync.member_errors import BalancerStale
from k3dasync.resolve import balancer_files
from k3dasync.runtime import File, Status
from k3dasync.tasks import _ids
from k3dasync.tasks._context import Context
from k3dasync.tasks.taking import takes
from k3dasync.undo import NOTHING, Undo

RELOAD = "SIGHUP"
TAKEN_SECONDS = 20.0
"""For k3d's load balancer to take its new file: a watch of its own tells it, it renders, checks and
loads at once, and k3d itself gives it ten seconds."""
_UPSTREAM = re.compile(rb"^\s*server\s+([^\s:;{]+):(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebalance:
    """Let the load balancer forward to a cluster's nodes, the API to those that are *answering*.

    The others stand by. It *is ours*, or k3d's, which makes its configuration of k3d's file.
    Who is *asleep* cannot be resolved by name, and k3d's then keeps what it has until all are up.
    *undo* is what takes it back.
    """

    name: str
    cluster: Cluster
    answering: tuple[str, ...]
    is_ours: bool
    asleep: frozenset[str] = frozenset()
    needs: frozenset[TaskId] = frozenset()
    undo: Undo = NOTHING

    @property
    def id(self) -> TaskId:
        return _ids.balance(self.name)

    @property
    def does(self) -> str:
        return f"forward to {len(self.answering)} servers"

    async def run(self, context: Context) -> None:
        await context.runtime.write_files(self.name, self._files())
        found = await context.runtime.inspect_container(self.name)
        if found.state.status is not Status.RUNNING:
            context.report.progress("it does not run: what is written counts at its next start")
        elif self.is_ours:
            await context.runtime.signal_container(self.name, RELOAD)
        elif self.asleep & {name.decode() for name, _ in self._upstreams()}:
            context.report.progress("it takes what is written when all nodes run")
        else:
            await self._until_taken(context)

    def _files(self) -> Sequence[File]:
        if self.is_ours:
            return balancer_files(self.cluster, self.answering)
        ports = {f"{API_PORT}.tcp": self.answering}
        ports |= {one.key: one.nodes for one in self.cluster.proxied}
        text = nginx.values(ports, self.cluster.balancer)
        return [File(path=nginx.VALUES_PATH, content=text.encode(), mode=0o744)]

    async def _until_taken(self, context: Context) -> None:
        """Return when its own image has made nginx's file of what was written."""
        wanted = set(self._upstreams())
        context.report.waiting(f"{self.name} to take its new configuration")

        def is_taken(found: bytes) -> bool:
            return set(_UPSTREAM.findall(found)) == wanted

        if not await takes(context.runtime, self.name, is_taken, seconds=TAKEN_SECONDS):
            raise BalancerStale(self.name, TAKEN_SECONDS)

    def _upstreams(self) -> Iterable[tuple[bytes, bytes]]:
        for name in self.answering:
            yield name.encode(), str(API_PORT).encode()
        for one in self.cluster.proxied:
            for name in one.nodes:
                yield name.encode(), str(one.port).encode()


def without(cluster: Cluster, names: Collection[str]) -> Cluster:
    """Return the cluster without these nodes; a port that led to them alone is let go."""
    nodes = tuple(node for node in cluster.nodes if node.name not in names)
    proxied = tuple(
        replace(port, nodes=kept)
        for port in cluster.proxied
        if (kept := tuple(name for name in port.nodes if name not in names))
    )
    return replace(cluster, nodes=nodes, proxied=proxied)
