"""Reading on in the logs of nodes that stop, start again, come and go."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from k3dasync.cluster import LABEL_ROLE
from k3dasync.errors import EngineUnavailable, NotFound
from k3dasync.loglines import LogLine
from k3dasync.operations._existing import OTHER_ROLES
from k3dasync.pauses import growing
from k3dasync.runtime import ContainerEvent, Runtime, Status

WAITING = 256
"""Lines that wait to be written. When it is full nodes are not read on: what they write stays
with the engine."""
_ALIVE = frozenset({Status.RUNNING, Status.PAUSED})

Told = tuple[str, LogLine]
Send = MemoryObjectSendStream[Told]
Write = Callable[[list[Told]], Awaitable[None]]
Spawn = Callable[[Callable[[], Awaitable[None]]], None]
"""Lets something run beside."""


@dataclass(slots=True)
class _Place:
    """How far a node's log is read; *again*: it was started while its last life was read."""

    since: int
    is_read: bool = False
    again: bool = False


@dataclass(kw_only=True)
class Follow:
    """Follows the containers which carry *labels*; *only* these, or whichever come (None)."""

    runtime: Runtime
    labels: Mapping[str, str]
    only: frozenset[str] | None
    tell: Callable[[str], None]
    _places: dict[str, _Place] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    async def run(self, last: Mapping[str, int], write: Write, *, since: int) -> None:
        """Hand lines to *write* as they come, each node's behind its *last* one.

        Of a node without any line yet, 0, those not older than *since*. Returns when no node is
        there any more.
        """
        for name, at in last.items():
            self._places[name] = _Place(at + 1 if at else since)
        send, receive = anyio.create_memory_object_stream[Told](WAITING)
        failures: list[Exception] = []

        async def guarded(call: Callable[[], Awaitable[None]]) -> None:
            try:
                await call()
            except Exception as error:  # noqa: BLE001 - raised below, as it is and not in a group
                failures.append(error)
                group.cancel_scope.cancel()

        async def write_all() -> None:
            async for told in receive:
                await write(_ready(told, receive))

        def spawn(call: Callable[[], Awaitable[None]]) -> None:
            group.start_soon(guarded, call)

        with receive:
            async with anyio.create_task_group() as group:
                spawn(partial(self._watch, send, spawn))
                spawn(write_all)
        if failures:
            raise failures[0]

    async def _watch(self, send: Send, spawn: Spawn) -> None:
        """Read whatever starts, until all are gone; the stream's end proves nothing."""
        pauses = growing()
        with send:
            while not await self._watch_once(send, spawn):
                await anyio.sleep(next(pauses))
                # An engine that restarts is away for a while: this question waits for it.
                await self.runtime.containers(self.labels)

    async def _watch_once(self, send: Send, spawn: Spawn) -> bool:
        """Read whatever starts until all are gone; says whether they are, else it was cut."""
        try:
            async with self.runtime.container_events(self.labels) as events:
                await self._look(send, spawn)
                while self._places:
                    event = await anext(events, None)
                    if event is None:
                        return False
                    self._hear(event, send, spawn)
        except EngineUnavailable as error:
            if not error.is_passing:
                raise
            return False
        return True

    def _hear(self, event: ContainerEvent, send: Send, spawn: Spawn) -> None:
        if event.action == "destroy":
            self._places.pop(event.name, None)
        if event.action == "start" and (self.only is None or event.name in self._places):
            self._start(event.name, send, spawn)

    async def _look(self, send: Send, spawn: Spawn) -> None:
        found = {one.name: one for one in await self.runtime.containers(self.labels)}
        for name in [name for name in self._places if name not in found]:
            del self._places[name]
        for name, one in found.items():
            is_node = one.labels.get(LABEL_ROLE) not in OTHER_ROLES
            if name not in self._places and not (self.only is None and is_node):
                continue
            if one.status in _ALIVE:
                self._start(name, send, spawn)
            else:
                self._places.setdefault(name, _Place(0))
                self._tell_stopped(name)

    def _start(self, name: str, send: Send, spawn: Spawn) -> None:
        place = self._places.setdefault(name, _Place(0))
        if place.is_read:
            place.again = True
            return
        place.is_read = True
        self._told.discard(name)
        spawn(partial(self._read, name, place, send.clone()))

    async def _read(self, name: str, place: _Place, send: Send) -> None:
        """Read a node's log from life to life; ends when it does not run."""
        pauses = growing()
        with send:
            while True:
                place.again = False
                if await self._read_once(name, place, send):
                    pauses = growing()
                status = await self._status(name)
                if place.again:
                    continue
                if status not in _ALIVE:
                    break
                # It runs, and yet its log has ended: there is no event to wait for.
                await anyio.sleep(next(pauses))
            place.is_read = False
            if status is not None and status is not Status.RESTARTING:
                self._tell_stopped(name)

    async def _read_once(self, name: str, place: _Place, send: Send) -> bool:
        """Read until the stream ends, and say whether there was anything."""
        found = False
        try:
            async with self.runtime.follow_logs(name, since=place.since) as lines:
                async for line in lines:
                    # Lines of one moment are told once: the engine's clock has nanoseconds.
                    place.since, found = line.at + 1, True
                    await send.send((name, line))
        except NotFound:
            return found
        except EngineUnavailable as error:
            if not error.is_passing:
                raise
        return found

    async def _status(self, name: str) -> Status | None:
        try:
            return (await self.runtime.inspect_container(name)).state.status
        except NotFound:
            return None

    def _tell_stopped(self, name: str) -> None:
        if name in self._told:
            return
        self._told.add(name)
        self.tell(f"{name} does not run; its log goes on when it is started")


def _ready(first: Told, receive: MemoryObjectReceiveStream[Told]) -> list[Told]:
    """Return what has arrived, in order of time."""
    some = [first]
    while True:
        try:
            some.append(receive.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            break
    return sorted(some, key=lambda told: told[1].at)
