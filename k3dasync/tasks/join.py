"""The joins: servers become members of the first one's etcd, one after the other.

Etcd has one learner at a time, and refuses the next member until every voting one has been
connected for five seconds; older k3s exits when it is refused. So a joining server starts when
etcd will take it, and never at the same time as another one. Whoever adds servers to a cluster,
new or running, yields `tasks`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import anyio

from k3dasync.cluster import Node
from k3dasync.etcd import (
    EtcdAbsent,
    EtcdMembership,
    EtcdRefused,
    EtcdUnreachable,
    is_voter,
    learner_of,
)
from k3dasync.grammar.joins import JoinOrder
from k3dasync.graph import TaskId
from k3dasync.tasks import _ids, _node
from k3dasync.tasks._context import ClusterTask, Context
from k3dasync.tasks.kubeconfig import read_kubeconfig
from k3dasync.undo import NOTHING, Undo

HEALTH_INTERVAL = 5.0
"""Etcd's own, of every version: it takes no member while one of the voting ones has been connected
for less (`isConnectedFullySince` in its server). Measured on etcd 3.4 (docs/joins.md): the time
counts from when the learner connected, not from its promotion, whichever member is asked. A learner
can be promoted some 0.1 s after it has connected, so counted from there it is never too early."""

EAGER_PAUSE, EAGER_TRIES = 0.005, 600
"""Between two tries to promote, at first: a server asks its etcd if it is promoted in the moment
when that comes up, and then only 5 s later. Etcd accepts the promotion within milliseconds of that
moment (measured: 5 ms before to 5 ms after), so trying often spares every second server those
5 s. A try costs about 1 ms of CPU; servers are learners 1 to 2 s after their start."""

LOOK_PAUSE = 0.5
"""Between two looks for a file in a server's container while k3s promotes it, which takes seconds:
a look takes 10 to 20 ms of the engine's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote:
    """Make a joining server a voting member of etcd as soon as etcd accepts that.

    Where etcd cannot be reached k3s does it, at a tick every 15 s.
    """

    node: Node
    server: str
    involved: tuple[str, ...]
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.join(self.node.name)

    @property
    def does(self) -> str:
        return "make it a voting member of etcd"

    @property
    def undo(self) -> Undo:
        return NOTHING  # goes with the containers

    async def run(self, context: Context) -> None:
        try:
            async with context.etcd(self.server) as etcd:
                context.report.progress(f"etcd is reached {etcd.way}")
                await self._promote(context, etcd)
        except EtcdAbsent as error:
            context.report.progress(str(error))
            await until_voter(context, self.node, self.involved)
        except EtcdUnreachable as error:
            context.report.progress(f"left to k3s, every 15 s: {error}")
            await until_voter(context, self.node, self.involved)

    async def _promote(self, context: Context, etcd: EtcdMembership) -> None:
        known = on = ""

        async def is_promoted() -> bool:
            nonlocal known, on
            try:
                members = await etcd.members()
                if is_voter(members, self.node.name):
                    context.report.progress("voting member, made one by k3s")
                    return True
                learner = learner_of(members, self.node.name)
                if learner is None:
                    on = "the server to become a learner of etcd"
                    return False
                if not known:
                    known = f"learner {learner.id:x}"
                    context.report.progress(known)
                await etcd.promote(learner.id)
            except EtcdRefused as error:
                on = str(error)
                return False
            context.report.progress("voting member")
            return True

        def waiting() -> None:
            context.waiting(on or "etcd to answer", self.involved)()

        await context.watch.poll(
            is_promoted,
            involved=self.involved,
            waiting=waiting,
            eager=repeat(EAGER_PAUSE, EAGER_TRIES),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Wait until etcd takes another member after one has become a voting one."""

    node: Node
    server: str
    involved: tuple[str, ...]
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.settle(self.node.name)

    @property
    def does(self) -> str:
        return "wait until etcd takes another member"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        moment = anyio.current_time() + HEALTH_INTERVAL
        if not await self._has_etcd(context):
            return
        await context.watch.until(
            lambda: anyio.current_time() >= moment,
            involved=self.involved,
            waiting=context.waiting("the new member to be healthy for etcd", self.involved),
            again=lambda: moment,
        )

    async def _has_etcd(self, context: Context) -> bool:
        """Say whether there is one: a datastore may have been given in k3s's own words."""
        try:
            async with context.etcd(self.server):
                return True
        except EtcdAbsent:
            return False
        except EtcdUnreachable:
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitJoined:
    """Wait until k3s has made a joining server a voting member."""

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
        await until_voter(context, self.node, self.involved)


async def until_voter(context: Context, node: Node, involved: tuple[str, ...]) -> None:
    """Return when k3s has made a joining server a voting member, which may take 15 s and more.

    Then its datastore answers, and k3s goes on and writes the kubeconfig: nothing that can be seen
    from outside comes earlier. Raises NodeCrashed or NodeGone as the watch does.
    """
    on = "k3s to make it a voting member"
    await read_kubeconfig(context, node.name, involved, on=on, pauses=repeat(LOOK_PAUSE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Joins:
    """Servers that are to join: in which order, by which server, and after which tasks.

    `supervisor`: that server takes joining ones. `api`: it is up. The last one need not be waited
    for.
    """

    joining: Sequence[Node]
    server: str
    involved: tuple[str, ...]
    order: JoinOrder
    supervisor: TaskId
    api: TaskId
    waits_for_last: bool

    def tasks(self) -> Iterator[ClusterTask]:
        """Yield start and join of each, the next one after the one before."""
        previous = self.supervisor if self.order is JoinOrder.PIPELINED else self.api
        for index, node in enumerate(self.joining):
            needs = frozenset({_ids.container(node.name), previous})
            yield _node.StartContainer(node=node, needs=needs)
            is_last = index + 1 == len(self.joining)
            if not is_last or self.waits_for_last:
                yield self._join(node)
            if not is_last:
                yield self._settle(node)
                previous = _ids.settle(node.name)

    def _join(self, node: Node) -> ClusterTask:
        involved = (node.name, *self.involved)
        started = _ids.start(node.name)
        if self.order is JoinOrder.SERIAL:
            return AwaitJoined(node=node, involved=involved, needs=frozenset({started}))
        return Promote(node=node, server=self.server, involved=involved, needs=frozenset({started}))

    def _settle(self, node: Node) -> ClusterTask:
        joined = frozenset({_ids.join(node.name)})
        involved = (node.name, *self.involved)
        return Settle(node=node, server=self.server, involved=involved, needs=joined)
