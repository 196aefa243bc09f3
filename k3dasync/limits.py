"""How many calls of one kind the engine is asked to do at a time.

The limits sit round single calls, are shared by everything in a process, and are never held while
something else is waited for. The time a task spends in their queues is told to whoever listens.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields

import anyio

from k3dasync.errors import SpecError

on_queued: ContextVar[Callable[[float], None] | None] = ContextVar("on_queued", default=None)
"""Told the seconds that the current task has just waited in a queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Calls of one kind at a time; 0 means no limit. `K3DASYNC_LIMITS` (`start=2,pull=3`)."""

    # A pull is bound by the line and unpacks on one core each; the engine's own default is 3.
    pull: int = 3
    # Nearly free, see the table in docs/limits.md: 14 at once take 0.1 s.
    create: int = 0
    # Seconds of a create of 3+10 on two cores, medians of 5 interleaved runs (docs/limits.md):
    #   start limit   1     2     4     8     none
    #   create        9.43  8.07  7.73  7.61  7.86    spread of each: 0.3 to 1.1
    # From 4 on it is all the same; a limit would only cost machines with more cores.
    start: int = 0
    # Delete of the same, medians of 8: one at a time 2.63 s, four 1.91 s, no limit 1.91 s.
    remove: int = 0

    @classmethod
    def parse(cls, text: str) -> "Limits":
        """Read `kind=number,…`; raises SpecError if a kind or number is none."""
        kinds = [field.name for field in fields(cls)]
        values: dict[str, int] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            kind, equals, number = part.partition("=")
            if kind not in kinds or not equals or not number.isdigit():
                raise SpecError(f"limit {part!r}: expected one of {', '.join(kinds)}, '=', number")
            values[kind] = int(number)
        return cls(**values)


class Limiters:
    """The queues of one process, one a kind of call."""

    def __init__(self, limits: Limits) -> None:
        self._queues: Mapping[str, anyio.CapacityLimiter] = {
            field.name: anyio.CapacityLimiter(number)
            for field in fields(limits)
            if (number := getattr(limits, field.name))
        }

    @asynccontextmanager
    async def slot(self, kind: str) -> AsyncIterator[None]:
        """Hold one of the slots of that kind; return at once where there is no limit."""
        queue = self._queues.get(kind)
        if queue is None:
            yield
            return
        began = anyio.current_time()
        async with queue:
            listener = on_queued.get()
            if listener is not None:
                listener(anyio.current_time() - began)
            yield
