"""A container's process as the engine sees it: something that runs until it exits or is ended."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio

from k3dasync.fake.changed import Changed

T = TypeVar("T")
KILLED = 137
"""The exit code of a process that was ended by SIGKILL."""


class Exit(Exception):
    """A program raises this to end itself."""

    def __init__(self, code: int, *, is_oom: bool = False) -> None:
        super().__init__(code)
        self.code, self.is_oom = code, is_oom


@dataclass(frozen=True, slots=True)
class Program:
    """What runs in a container, and the code it exits with on SIGTERM."""

    main: Callable[["Process"], Awaitable[None]]
    term_code: int


@dataclass(slots=True)
class Process:
    """One start of a container, its restarts by the engine included.

    `end` is for good; `crash` lets the restart policy bring it back.
    """

    term_code: int
    reload: Changed = field(default_factory=Changed)
    ended: anyio.Event = field(default_factory=anyio.Event)
    whole: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    life: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    died: anyio.Event = field(default_factory=anyio.Event)
    code: int = 0
    last_exit: Exit = field(default_factory=lambda: Exit(0))

    def end(self, code: int) -> None:
        """End it for good."""
        self.code = code
        self.whole.cancel()

    def crash(self, exit: Exit) -> None:
        """End its present life as if it had exited by itself."""
        self.last_exit = exit
        self.life.cancel()

    async def beside(self, call: Callable[[], Awaitable[T]], killed: T) -> T:
        """Return what *call* returns, or *killed* if this life ends first; raises what it does."""
        result, failures = killed, list[Exception]()

        async def end_with(event: anyio.Event) -> None:
            await event.wait()
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for event in (self.ended, self.died):
                group.start_soon(end_with, event)
            try:
                result = await call()
            except Exception as error:  # noqa: BLE001 - raised below, as it is and not in a group
                failures.append(error)
            group.cancel_scope.cancel()
        if failures:
            raise failures[0]
        return result

    async def live(self, main: Callable[["Process"], Awaitable[None]]) -> Exit:
        """Run the program once and return how it ended."""
        with self.life:
            try:
                await main(self)
            except* Exit as group:
                self.last_exit = _first(group)
        exit = self.last_exit
        self.died.set()
        # Made for the next life already now: a crash can be ordered before that has begun.
        self.last_exit, self.life, self.died = Exit(0), anyio.CancelScope(), anyio.Event()
        return exit


def _first(group: BaseExceptionGroup[Exit]) -> Exit:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
