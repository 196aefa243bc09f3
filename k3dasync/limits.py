"""How many calls of one kind the engine is asked to do at a time.

The limits sit round single calls, are shared by everything in a process, and are never held while
something else is waited for. Where calls queue, the one goes first on which most of what is to come
depends. The time a task spends in a queue is told to whoever listens.
"""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

import anyio

from k3dasync.adaptive import Adaptive, Constant
from k3dasync.invalid import InvalidSetting

on_queued: ContextVar[Callable[[float], None] | None] = ContextVar("on_queued", default=None)
"""Told the seconds that the current task has just waited in a queue."""
urgency: ContextVar[int] = ContextVar("urgency", default=0)
"""How many tasks, one after the other, wait for the current one."""


ADAPTIVE = "adaptive"
"""A limit that follows what is seen; see `adaptive`."""
LEAST_FITTED = 2
"""On an engine of one CPU: while one call waits for the disk, another can go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Calls of one kind at a time; 0 means no limit. `K3DASYNC_LIMITS` (`start=2,pull=3`).

    None means as many as the engine has CPUs, for calls that are bound by them. More would take
    as long together, but each of them longer; and some are waited for by everything else. ADAPTIVE
    follows the time that calls take.
    """

    # A pull is bound by the line and unpacks on one core each; the engine's own default is 3.
    pull: int = 3
    create: int | None = None
    # Seconds of creates on two cores, medians of 3 interleaved runs (docs/limits.md):
    #   start limit           1     2     4     8     none  adaptive   spread of each
    #   3+10, without etcd    6.47  5.68  5.49  5.34  5.34  5.45       0.1 to 0.7
    #   3+10, a real etcd     9.80  10.6  10.9  11.0  11.3  10.5       0.4 to 1.0
    #   12 x (1+1)            12.6  9.78  9.67  9.65  9.56  9.80       0.3 to 0.6
    # Two are the engine's CPUs there: the joins gain, each waits for one start.
    start: int | str | None = None
    # Delete of 3+10, medians of 6: one at a time 2.48 s, four 1.62 s, no limit 1.64 s.
    remove: int = 0
    # A command in a container: two round trips to the engine and a process, 0.1 s alone. What it
    # does then, an import say, is not limited: only its start is a call.
    execute: int = 0
    # A tar that a helper process of the engine unpacks in a container: work, 10-20 ms of it alone.
    write: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Limits":
        """Read `kind=number,…`; raises SpecError if a kind or number is none."""
        kinds = [field.name for field in fields(cls)]
        values: dict[str, Any] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            kind, equals, number = part.partition("=")
            is_number = number.isdecimal() or number == ADAPTIVE
            if kind not in kinds or not equals or not is_number:
                words = f"expected one of {', '.join(kinds)}, '=' and a number or {ADAPTIVE}"
                raise InvalidSetting(f"K3DASYNC_LIMITS {part!r}: {words}")
            values[kind] = ADAPTIVE if number == ADAPTIVE else int(number)
        return cls(**values)


class Limiters:
    """The queues of one process, one a kind of call."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._queues: dict[str, _Queue] = {}
        for field in fields(limits):
            if number := getattr(limits, field.name):
                limit = Adaptive() if number == ADAPTIVE else Constant(number)
                self._queues[field.name] = _Queue(limit)

    def fit(self, cpus: int) -> None:
        """Set the limits that are to be as the engine's CPUs; for before the first such call."""
        for field in fields(self._limits):
            if getattr(self._limits, field.name) is None and field.name not in self._queues:
                self._queues[field.name] = _Queue(Constant(max(cpus, LEAST_FITTED)))

    @asynccontextmanager
    async def slot(self, kind: str) -> AsyncIterator[None]:
        """Hold one of the slots of that kind; return at once where there is no limit."""
        queue = self._queues.get(kind)
        if queue is None:
            yield
            return
        asked = anyio.current_time()
        await queue.acquire()
        began, took = anyio.current_time(), None
        try:
            listener = on_queued.get()
            if listener is not None:
                listener(began - asked)
            yield
            took = anyio.current_time() - began
        finally:
            queue.release(took)


class _Limit(Protocol):
    """How many calls at a time, now; it is told what calls take."""

    @property
    def slots(self) -> int: ...
    def note(self, seconds: float, *, is_full: bool) -> None: ...


class _Queue:
    """Slots that go to the most urgent of those who wait, among equals to whoever came first."""

    def __init__(self, limit: _Limit) -> None:
        self._limit = limit
        self._used = 0
        self._waiting: list[tuple[int, int, anyio.Event]] = []
        self._arrivals = itertools.count()

    async def acquire(self) -> None:
        if self._used < self._limit.slots:
            self._used += 1
            return
        turn = anyio.Event()
        entry = (-urgency.get(), next(self._arrivals), turn)
        heappush(self._waiting, entry)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():  # cancelled in the moment in which it was its turn
                self._give_back()
            else:
                self._waiting.remove(entry)
                heapify(self._waiting)
            raise

    def release(self, seconds: float | None) -> None:
        """Give a slot back after a call that took so long, None if it failed or was cut.

        A refusal comes in a millisecond, and a cut one at any time: neither tells what the
        engine's work takes.
        """
        if seconds is not None:
            self._limit.note(seconds, is_full=self._used >= self._limit.slots)
        self._give_back()

    def _give_back(self) -> None:
        self._used -= 1
        while self._waiting and self._used < self._limit.slots:
            self._used += 1
            heappop(self._waiting)[-1].set()
