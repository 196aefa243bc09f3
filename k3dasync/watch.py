"""What is known of a cluster's nodes while it comes up, shared by all tasks that wait for them.

One stream of container events and one watch on the Node objects serve a whole run; so does one
on each other kind of object that somebody asks for. Tasks wait here, and a node that keeps
exiting fails whoever waits for it, with its last words; so does one that somebody else has stopped
or removed, one that cannot join (see `stalls`), and an engine that stays away.
"""

from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from itertools import chain
from math import inf
from typing import TypeVar

import anyio

from k3dasync import diagnosis, masks, pauses
from k3dasync.cluster import LABEL_ROLE, Role
from k3dasync.errors import EngineUnavailable, K3dAsyncError, NodeGone
from k3dasync.exits import KILLED, Exits
from k3dasync.kubernetes import Credentials, KubernetesConnect, Nodes, NodeStatus
from k3dasync.node_errors import NodeCrashed, NodeStuck
from k3dasync.runtime import ContainerDetail, ContainerEvent, Runtime
from k3dasync.stalls import FIRST_LOOK, Stalls
from k3dasync.workloads import Kind, Workloads

SnapshotT = TypeVar("SnapshotT")

SETTLED_AFTER = 10.0
"""Seconds without an exit that are no crash-loop: the engine's own rule, after which its restart
policy begins with the shortest delay again (moby, restartmanager). A k3s that cannot start exits
within a fraction of that."""
CRASH_TAIL = 40
"""Log lines that are read of a crashed node: k3s's fatal line is the last but its children's."""
ENGINE_AWAY = 15.0
"""Seconds without an engine after which it counts as gone. One that restarts while containers live
on (`live-restore`) is away for some seconds, and longer with many containers."""


class ClusterWatch:
    """Knows the nodes of one run, the containers with those *labels*, and how they were *before*.

    `follow` must run beside whoever waits. Whether their cluster *is elsewhere*: see `stalls`.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        kubernetes: KubernetesConnect,
        host: str,
        port: int,
        labels: Mapping[str, str],
        before: Iterable[ContainerDetail] = (),
        first: str = "",
        joiners: Collection[str] = (),
        agents: Collection[str] = (),
        secrets: Collection[str] = (),
        is_elsewhere: bool = False,
    ) -> None:
        self._runtime, self._connect = runtime, kubernetes
        self._host, self._port, self._labels = host, port, labels
        self._first, self._joiners, self._agents = first, frozenset(joiners), frozenset(agents)
        self._mask = masks.hiding(secrets)
        self._exits = {one.state.name: Exits.of(one) for one in before}
        self._lost: dict[str, NodeCrashed | NodeGone | NodeStuck] = {}
        is_up = None if is_elsewhere else self._supervisor_answers
        self._stalls = Stalls(runtime, mask=self._mask, is_server_up=is_up)
        self._away_since: float | None = None
        self._away: EngineUnavailable | None = None
        self._told: set[str] = set()
        self._waiting: Counter[str] = Counter()
        self._nodes: Nodes = {}
        self._workloads: dict[Kind, Workloads] = {}
        self._wanted = {kind: anyio.Event() for kind in Kind}
        self._credentials: Credentials | None = None
        self._authenticated_at = -inf
        self._has_credentials = anyio.Event()
        self._changed = anyio.Event()

    async def follow(self) -> None:
        """Keep what is known up to date until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow_containers)
            group.start_soon(self._follow_stalls)
            group.start_soon(self._follow_nodes)
            for kind in Kind:
                group.start_soon(self._follow_workloads, kind)

    def authenticate(self, credentials: Credentials) -> None:
        """Let the Node objects be followed from now on."""
        self._credentials = credentials
        self._authenticated_at = anyio.current_time()
        self._has_credentials.set()

    def note(self, status: NodeStatus) -> None:
        """Take in what a node was told of itself, where nobody else can ask."""
        self._nodes = {**self._nodes, status.name: status}

    def node(self, name: str) -> NodeStatus | None:
        """Return what the API last said of a node, None if it does not know it."""
        return self._nodes.get(name)

    def workloads(self, kind: Kind) -> Workloads | None:
        """Return what the API last said of a kind; None while it has not been asked.

        It is followed from the first call on, so that the first answer is later than that.
        """
        self._wanted[kind].set()
        return self._workloads.get(kind)

    def running_since(self, name: str) -> float | None:
        """Return the time since which a container has run without an exit; None: it does not."""
        return self._of(name).running_since

    def expect_stop(self, name: str) -> None:
        """Take the next end of a container for ours: it is to be stopped, and started again."""
        self._of(name).stops_expected += 1

    def exits(self, name: str) -> int:
        """Return how often a container has exited."""
        return self._of(name).count

    def _of(self, name: str) -> Exits:
        return self._exits.setdefault(name, Exits())

    def with_trouble(self, on: str, names: Collection[str]) -> str:
        """Return *on*, what is waited for, with what is the matter with those containers."""
        return "; ".join((on, *self._troubles(names)))

    def _troubles(self, names: Collection[str]) -> Iterator[str]:
        if self._away_since is not None:
            yield "the engine does not answer"
        for name in names:
            yield from self._of(name).troubles(name)
            since = self._stalled_since(name)
            if since is not None and (said := self._stalls.said(name, since)):
                yield f"{name} says: {said}"

    async def until(
        self,
        condition: Callable[[], bool],
        *,
        involved: Collection[str],
        waiting: Callable[[], None],
        again: Callable[[], float] = lambda: inf,
    ) -> None:
        """Return when *condition* holds; ask it again at each change, and tell *waiting*.

        Without a change it is asked at the time that *again* returns: for what becomes true by
        nothing happening.

        Raises NodeCrashed or NodeGone if one of the *involved* containers does not run any more,
        NodeStuck if it will never join, EngineUnavailable if the engine has gone.
        """
        with self._involving(involved):
            while True:
                deadline = again()  # before the condition: a moment between the two is not missed
                if condition():
                    return
                self._raise_if_lost(involved)
                waiting()
                with anyio.CancelScope(deadline=deadline):
                    await self._changed.wait()

    async def poll(
        self,
        probe: Callable[[], Awaitable[bool]],
        *,
        involved: Collection[str],
        waiting: Callable[[], None],
        eager: Iterable[float] = (),
    ) -> None:
        """Return when *probe* says yes, and tell *waiting*; for what can only be asked.

        Between two probes pass the *eager* pauses, in seconds, and then the usual ones.

        Raises NodeCrashed or NodeGone if one of the *involved* containers does not run any more,
        NodeStuck if it will never join, EngineUnavailable if the engine has gone.
        """
        between = chain(eager, pauses.growing())
        with self._involving(involved):
            waiting()
            while not await probe():
                self._raise_if_lost(involved)
                waiting()
                with anyio.move_on_after(next(between)):
                    await self._changed.wait()

    @contextmanager
    def _involving(self, names: Collection[str]) -> Iterator[None]:
        self._waiting.update(names)
        try:
            yield
        finally:
            self._waiting.subtract(names)

    def raise_if_any_lost(self) -> None:
        """Raise what `until` raises if a node was lost while nobody waited for it."""
        self._raise_if_lost(self._lost)

    def _raise_if_lost(self, involved: Collection[str]) -> None:
        # One task tells of it, the others are cancelled then: its own, or if nobody waits for the
        # node any more, whichever waits for another one.
        if self._away is not None and "" not in self._told:
            self._told.add("")
            raise self._away
        for name, error in self._lost.items():
            is_concerned = name in involved or not self._waiting[name]
            if is_concerned and name not in self._told:
                self._told.add(name)
                raise error

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _follow_containers(self) -> None:
        while True:
            try:
                async with self._runtime.container_events(self._labels) as stream:
                    await self._catch_up()
                    if self._away_since is not None:
                        self._away_since = None
                        self._tell()
                    async for event in stream:
                        await self._note(event)
            except EngineUnavailable as error:
                self._note_away(error)
            except K3dAsyncError:
                pass  # asked again below: the end of a stream proves nothing, nor does its failure
            await anyio.sleep(pauses.RECONNECT)

    def _note_away(self, error: EngineUnavailable) -> None:
        now = anyio.current_time()
        if self._away_since is None:
            self._away_since = now
        elif now - self._away_since < ENGINE_AWAY:
            return
        else:
            self._away = EngineUnavailable(f"no answer for {ENGINE_AWAY:g} s: {error}")
        self._tell()

    async def _catch_up(self) -> None:
        """Find out what happened while no stream was open."""
        found = await self._runtime.containers(self._labels)
        ran = {name for name, exits in self._exits.items() if exits.has_run}
        for name in ran - {state.name for state in found}:
            self._lose(name, NodeGone(name, "removed"))
        for state in found:
            if state.labels.get(LABEL_ROLE) in set(Role):
                # Later than the listing: what has been started meanwhile is seen as started.
                detail = await self._runtime.inspect_container(state.name)
                exits = self._of(state.name)
                if exits.catch_up(detail):
                    await self._judge(state.name, exits)
                if exits.is_stopped(detail):
                    self._lose(state.name, NodeGone(state.name, "stopped"))

    async def _note(self, event: ContainerEvent) -> None:
        exits = self._of(event.name)
        match event.action:
            case "oom":  # of any process in it: told before the container ends, or without that
                exits.is_oom = True
            case "health_status: unhealthy":  # readiness is the API's, so this is only told
                exits.is_unhealthy = True
            case "health_status: healthy":
                exits.is_unhealthy = False
            case "kill":  # a signal that somebody sends; ours, which lets nginx reload, too
                exits.is_killed = True
            case "start" | "unpause":
                exits.begin()
            case "pause":  # nobody answers from there, and no stream of its ends
                exits.pause()
            case "die" if exits.stops_expected:
                exits.stops_expected -= 1
                exits.running_since = None
            case "die" if exits.is_killed:  # then its restart policy does not count (tried: 20.10)
                self._lose(event.name, NodeGone(event.name, "stopped or removed"))
            case "die":
                exits.count += 1
                exits.exit_code = event.exit_code or 0
                exits.running_since = None
                await self._judge(event.name, exits)
            case "destroy" if exits.has_run:
                self._lose(event.name, NodeGone(event.name, "removed"))
            case _:
                return
        self._tell()

    async def _judge(self, name: str, exits: Exits) -> None:
        if exits.exit_code == KILLED and not exits.is_oom:
            exits.is_oom = await self._was_out_of_memory(name)
        if name in self._lost or not exits.are_suspect:
            return
        try:
            log = await self._runtime.logs(name, tail=CRASH_TAIL)
        except K3dAsyncError:
            log = ()
        words = [self._mask(line) for line in diagnosis.last_words(log)]
        is_refused = name in self._joiners and diagnosis.is_refusal_of_etcd(words)
        if not (is_refused and exits.may_pass):
            self._lose(name, exits.crash(name, words))

    async def _was_out_of_memory(self, name: str) -> bool:
        """Ask the engine: its event of that may be late, or have been missed."""
        try:
            return (await self._runtime.inspect_container(name)).oom_killed
        except K3dAsyncError:
            return False

    def _lose(self, name: str, error: NodeCrashed | NodeGone | NodeStuck) -> None:
        self._lost.setdefault(name, error)
        self._tell()

    async def _follow_stalls(self) -> None:
        """Look at nodes that have not registered in time, as long as somebody waits for them."""
        while True:
            now = anyio.current_time()
            suspects = {name: self._stalls.due(name, since) for name, since in self._suspects()}
            due = [name for name, moment in suspects.items() if moment <= now]
            waited_for = [name for name in due if self._waiting[name]]
            for name in waited_for:
                await self._look(name, now)
            if not waited_for:
                moments = (now + FIRST_LOOK if name in due else suspects[name] for name in suspects)
                with anyio.CancelScope(deadline=min(moments, default=inf)):
                    await self._changed.wait()

    def _suspects(self) -> Iterator[tuple[str, float]]:
        """Yield the nodes which run and have not joined yet, and since when they run."""
        for name in (self._first, *self._joiners, *self._agents):
            since = self._stalled_since(name)
            if since is not None and name not in self._lost:
                yield name, since

    def _stalled_since(self, name: str) -> float | None:
        """Return since when a node runs without being registered, or the API with it, if later."""
        since = self.running_since(name)
        has_got_on = self._credentials is not None if name == self._first else name in self._nodes
        if since is None or has_got_on:
            return None
        return max(since, self._authenticated_at)

    async def _look(self, name: str, now: float) -> None:
        if (since := self._stalled_since(name)) is None:
            return
        if name == self._first:
            await self._stalls.listen(name, since, now)
        else:
            error = await self._stalls.look(name, since, now)
            if error is not None and self._stalled_since(name) == since:
                self._lose(name, error)
        self._tell()

    async def _supervisor_answers(self) -> bool:
        async with self._connect(self._host, self._port, None) as kubernetes:
            return await kubernetes.supervisor_answers()

    async def _follow_nodes(self) -> None:
        await self._has_credentials.wait()
        async with self._connect(self._host, self._port, self._credentials) as kubernetes:
            await self._keep(kubernetes.nodes, self._note_nodes)

    def _note_nodes(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def _follow_workloads(self, kind: Kind) -> None:
        await self._has_credentials.wait()
        await self._wanted[kind].wait()

        note = partial(self._workloads.__setitem__, kind)
        async with self._connect(self._host, self._port, self._credentials) as kubernetes:
            await self._keep(partial(kubernetes.workloads, kind), note)

    async def _keep(
        self,
        follow: Callable[[], AbstractAsyncContextManager[AsyncIterator[SnapshotT]]],
        note: Callable[[SnapshotT], None],
    ) -> None:
        """Follow something for ever."""
        while True:
            try:
                async with follow() as snapshots:
                    async for snapshot in snapshots:
                        note(snapshot)
                        self._tell()
            except K3dAsyncError:
                pass  # an API that is coming up refuses now and then; asked again below
            await anyio.sleep(pauses.RECONNECT)
