"""Running an operation from a command line: signals, the display, exit codes."""

import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import anyio

from k3dasync import backend, verbosity
from k3dasync.backend import Backend
from k3dasync.errors import K3dAsyncError
from k3dasync.events import EventSink
from k3dasync.operations._run import Stop
from k3dasync.streams import say
from k3dasync.verbosity import Level

ResultT = TypeVar("ResultT")


class Display(EventSink, Protocol):
    """A sink that has something to give back at the end."""

    def close(self) -> None:
        """Give back what it holds; harmless when repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What an operation gets from the command line."""

    backend: Backend
    sinks: Sequence[EventSink]
    stop: Stop


Operation = Callable[[Session], Coroutine[Any, Any, ResultT]]


def run(
    operation: Operation[ResultT],
    *,
    runtime: str = backend.DEFAULT,
    events: str | None = None,
    shows_progress: bool = False,
    to_finish: str = "",
) -> ResultT:
    """Run an operation to its end and return its result.

    The first SIGINT, SIGTERM or SIGHUP asks it to stop, which takes everything back; the second
    one ends the process at once and prints *to_finish*, the command that does the rest.
    """
    opener = backend.find(runtime)
    displays: list[Display] = []
    try:
        if events is not None:
            from k3dasync.sinks import jsonl

            displays.append(jsonl.open_sink(events))
        if shows_progress:
            displays.append(progress_display())
        return anyio.run(_main, operation, opener, displays, to_finish)
    finally:
        # The live view first: what others have to say at their end must not be drawn over.
        for display in reversed(displays):
            display.close()


def progress_display() -> Display:
    """Return a live view if standard error is a terminal, plain lines if not.

    Whoever asks for more or less than usual wants lines.
    """
    wished = verbosity.current.get()
    is_usual = wished.level is Level.INFO and not wished.timestamps
    if is_usual and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from k3dasync.sinks.tty import Tty

        return Tty(colors=wished.colors)
    from k3dasync.sinks.plain import Plain

    return Plain(level=wished.level, timestamps=wished.timestamps)


async def _main(
    operation: Operation[ResultT],
    opener: backend.OpenBackend,
    displays: Sequence[Display],
    to_finish: str,
) -> ResultT:
    stop = Stop()
    results: list[ResultT] = []
    failure: K3dAsyncError | None = None
    opened: Backend | None = None

    def rest() -> str:
        return "" if opened is not None and opened.is_rehearsal else to_finish

    async with anyio.create_task_group() as group:
        group.start_soon(_listen, stop, displays, rest)
        try:
            async with AsyncExitStack() as stack:
                opened = await stack.enter_async_context(opener())
                session = Session(backend=opened, sinks=displays, stop=stop)
                results.append(await operation(session))
        except K3dAsyncError as error:
            failure = error  # out of the group, so that it stays one error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return results[0]


def _stop_signals() -> list[signal.Signals]:
    """Return the signals that ask us to stop: a lost terminal too, unless nohup was used."""
    asked = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asked.append(signal.SIGHUP)
    return asked


async def _listen(stop: Stop, displays: Sequence[Display], rest: Callable[[], str]) -> None:
    with anyio.open_signal_receiver(*_stop_signals()) as signals:
        async for number in signals:
            name = signal.Signals(number).name
            if not stop.because:
                say(f"{name}: stopping and taking everything back; once more to stop at once")
                stop.request(f"stopped by {name}")
                continue
            for display in displays:
                display.close()
            say(f"{name}: stopped at once" + (f"; finish with: {rest()}" if rest() else ""))
            os._exit(130)
