"""What is known of a cluster's nodes while it comes up, shared by all tasks that wait for them.

One stream of container events and one watch on the Node objects serve a whole run; so does one
on each other kind of object that somebody asks for. Tasks wait here, and a node that keeps
exiting fails whoever waits for it, with its last words; so does one that somebody else has stopped
or removed.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import inf
from typing import TypeVar

import anyio

from k3dasync.cluster import LABEL_ROLE, LABEL_RUN, Role
from k3dasync.errors import K3dAsyncError, NodeCrashed, NodeGone
from k3dasync.kubernetes import Credentials, KubernetesConnect, Nodes, NodeStatus
from k3dasync.masks import MASK
from k3dasync.runtime import ContainerEvent, Runtime, Status
from k3dasync.workloads import Kind, Workloads

SnapshotT = TypeVar("SnapshotT")

CRASH_LIMIT = 3
"""Exits of one container that are no accident any more: the engine's restart policy brings it
back after 0.1, 0.2 and 0.4 s, so this takes about a second."""
JOINER_CRASH_LIMIT = 8
"""Older k3s exits when etcd refuses it as a member, and comes back by itself: up to 5 times with
two joiners at once. Joins are gated here, so this is hardly ever reached."""
_REFUSAL = "etcdserver: "
"""How etcd's refusals begin in k3s's fatal line: `too many learner members in cluster`, `unhealthy
cluster`. Whatever else makes a joiner exit will not pass."""
SETTLED_AFTER = 10.0
"""Seconds without an exit that are no crash-loop: the engine's own rule, after which its restart
policy begins with the shortest delay again (moby, restartmanager). A k3s that cannot start exits
within a fraction of that."""
LAST_WORDS = 5
"""Log lines of a crashed node that go into the error."""
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.1
"""Between two probes of a port, for which no event exists: a probe costs 2-4 ms of CPU, so at
the longest pause this is 4 % of a core, and adds at most 0.1 s to a start of several seconds."""
RECONNECT_PAUSE = 0.25
"""Before a broken stream is opened again: shorter than anybody notices, long enough for an engine
or API that is restarting not to be hammered."""


@dataclass(slots=True)
class _Exits:
    count: int = 0
    exit_code: int = 0
    is_oom: bool = False
    is_killed: bool = False
    running_since: float | None = None


def _never() -> float:
    return inf


class ClusterWatch:
    """Knows the nodes of one run; `follow` must run beside whoever waits."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        kubernetes: KubernetesConnect,
        host: str,
        port: int,
        run: str,
        joiners: Collection[str] = (),
        secrets: Collection[str] = (),
    ) -> None:
        self._runtime, self._connect = runtime, kubernetes
        self._host, self._port, self._run = host, port, run
        self._joiners = frozenset(joiners)
        # The longest first: one may be a part of another.
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)
        self._exits: dict[str, _Exits] = {}
        self._lost: dict[str, NodeCrashed | NodeGone] = {}
        self._told: set[str] = set()
        self._waiting: Counter[str] = Counter()
        self._nodes: Nodes = {}
        self._workloads: dict[Kind, Workloads] = {}
        self._wanted = {kind: anyio.Event() for kind in Kind}
        self._credentials: Credentials | None = None
        self._has_credentials = anyio.Event()
        self._changed = anyio.Event()

    async def follow(self) -> None:
        """Keep what is known up to date until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow_containers)
            group.start_soon(self._follow_nodes)
            for kind in Kind:
                group.start_soon(self._follow_workloads, kind)

    def authenticate(self, credentials: Credentials) -> None:
        """Let the Node objects be followed from now on."""
        self._credentials = credentials
        self._has_credentials.set()

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
        exits = self._exits.get(name)
        return exits.running_since if exits else None

    def exits(self, name: str) -> int:
        """Return how often a container has exited."""
        return self._exits[name].count if name in self._exits else 0

    def with_trouble(self, on: str, names: Collection[str]) -> str:
        """Return *on*, what is waited for, with what is the matter with those containers."""
        return "; ".join((on, *self._troubles(names)))

    def _troubles(self, names: Collection[str]) -> Iterator[str]:
        for name in names:
            exits = self._exits.get(name)
            if exits is not None and exits.count and exits.running_since is None:
                times = "once" if exits.count == 1 else f"{exits.count} times"
                yield f"{name} is restarting, exited {times}, last with code {exits.exit_code}"

    async def until(
        self,
        condition: Callable[[], bool],
        *,
        involved: Collection[str],
        waiting: Callable[[], None],
        again: Callable[[], float] = _never,
    ) -> None:
        """Return when *condition* holds; ask it again at each change, and tell *waiting*.

        Without a change it is asked at the time that *again* returns: for what becomes true by
        nothing happening.

        Raises NodeCrashed or NodeGone if one of the *involved* containers does not run any more.
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

        Raises NodeCrashed or NodeGone if one of the *involved* containers does not run any more.
        """
        pauses = chain(eager, _growing())
        with self._involving(involved):
            waiting()
            while not await probe():
                self._raise_if_lost(involved)
                waiting()
                with anyio.move_on_after(next(pauses)):
                    await self._changed.wait()

    @contextmanager
    def _involving(self, names: Collection[str]) -> Iterator[None]:
        self._waiting.update(names)
        try:
            yield
        finally:
            self._waiting.subtract(names)

    def raise_if_any_lost(self) -> None:
        """Raise NodeCrashed or NodeGone if a node was lost while nobody waited for it."""
        self._raise_if_lost(self._lost)

    def _raise_if_lost(self, involved: Collection[str]) -> None:
        # One task tells of it, the others are cancelled then: its own, or if nobody waits for the
        # node any more, whichever waits for another one.
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
                async with self._runtime.container_events({LABEL_RUN: self._run}) as stream:
                    await self._catch_up()
                    async for event in stream:
                        await self._note(event)
            except K3dAsyncError:
                pass  # asked again below: the end of a stream proves nothing, nor does its failure
            await anyio.sleep(RECONNECT_PAUSE)

    async def _catch_up(self) -> None:
        """Find out what happened while no stream was open."""
        found = await self._runtime.containers({LABEL_RUN: self._run})
        for name in self._exits.keys() - {state.name for state in found}:
            self._lose(name, NodeGone(name, "removed"))
        for state in found:
            if state.labels.get(LABEL_ROLE) in set(Role):
                detail = await self._runtime.inspect_container(state.name)
                exits = self._exits.setdefault(state.name, _Exits())
                if state.status is not Status.RUNNING:
                    exits.running_since = None
                elif exits.running_since is None or detail.restarts > exits.count:
                    exits.running_since = anyio.current_time()  # at least since now
                if detail.restarts > exits.count:
                    exits.count, exits.exit_code = detail.restarts, detail.exit_code
                    await self._judge(state.name, exits)
                if state.status is Status.EXITED:  # one that the engine brings back is restarting
                    self._lose(state.name, NodeGone(state.name, "stopped"))

    async def _note(self, event: ContainerEvent) -> None:
        exits = self._exits.setdefault(event.name, _Exits())
        match event.action:
            case "oom":
                exits.is_oom = True
            case "kill":  # the engine sends a signal for somebody; we never ask it to
                exits.is_killed = True
            case "start":
                exits.is_killed = False
                exits.running_since = anyio.current_time()
            case "die" if exits.is_killed:  # and then its restart policy does not count
                self._lose(event.name, NodeGone(event.name, "stopped or removed"))
            case "die":
                exits.count += 1
                exits.exit_code = event.exit_code or 0
                exits.running_since = None
                await self._judge(event.name, exits)
            case "destroy":
                self._lose(event.name, NodeGone(event.name, "removed"))
            case _:
                return
        self._tell()

    async def _judge(self, name: str, exits: _Exits) -> None:
        if name in self._lost or (exits.count < CRASH_LIMIT and not exits.is_oom):
            return
        try:
            log = await self._runtime.logs(name, tail=40)
        except K3dAsyncError:
            log = ()
        words = last_words(log)
        is_refused = name in self._joiners and any(_REFUSAL in line for line in words)
        if is_refused and exits.count < JOINER_CRASH_LIMIT and not exits.is_oom:
            return
        error = NodeCrashed(
            name,
            exits=exits.count,
            exit_code=exits.exit_code,
            oom=exits.is_oom,
            log=[self._without_secrets(line) for line in words],
        )
        self._lose(name, error)

    def _without_secrets(self, line: str) -> str:
        for secret in self._secrets:
            line = line.replace(secret, MASK)
        return line

    def _lose(self, name: str, error: NodeCrashed | NodeGone) -> None:
        self._lost.setdefault(name, error)
        self._tell()

    async def _follow_nodes(self) -> None:
        await self._has_credentials.wait()
        async with self._connect(self._host, self._port, self._credentials) as kubernetes:
            await self._keep(kubernetes.nodes, self._note_nodes)

    def _note_nodes(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def _follow_workloads(self, kind: Kind) -> None:
        await self._has_credentials.wait()
        await self._wanted[kind].wait()

        def note(found: Workloads) -> None:
            self._workloads[kind] = found

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
            await anyio.sleep(RECONNECT_PAUSE)


def _growing() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 1.5, LONGEST_PAUSE)


def last_words(log: Collection[str]) -> tuple[str, ...]:
    """Return what matters most of a crashed node's log: its fatal line, else the last lines.

    k3s says `level=fatal`; a registry that does not reach the one it hands on ends in Go's panic,
    whose words stand before a page of calls.
    """
    lines = [line.rstrip() for line in log if line.strip()]
    fatal = [line for line in lines if "level=fatal" in line or line.startswith("panic: ")]
    return tuple(fatal[-1:] or lines[-LAST_WORDS:])
