"""`start`, `stop`, `restart`, `pause` and `resume`, also as `cluster start` and so on."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from k3dasync.commands._clusters import AllFlag, TimeoutFlag, WaitFlag, limit, start_options, wanted
from k3dasync.commands._create_flags import EventsFlag, RuntimeFlag

if TYPE_CHECKING:
    from k3dasync.commands._run import Session
    from k3dasync.operations._several import Ends
    from k3dasync.operations.start import StartOptions

Names = Annotated[str, Parameter(help="Clusters; k3s-default if none is given.", negative="")]


def start(
    *names: Names,
    all: AllFlag = False,
    wait: WaitFlag = None,
    timeout: TimeoutFlag = None,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Start clusters that are stopped, and wait until they are ready."""
    options = start_options(wait, timeout, operation="start")
    _up(names, options, done="started", is_all=all, events=events, runtime=runtime)


def resume(
    *names: Names,
    all: AllFlag = False,
    wait: WaitFlag = None,
    timeout: TimeoutFlag = None,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Let paused clusters go on, and wait until they are ready."""
    options = start_options(wait, timeout, operation="resume")
    _up(names, options, done="resumed", is_all=all, events=events, runtime=runtime)


def restart(
    *names: Names,
    all: AllFlag = False,
    wait: WaitFlag = None,
    timeout: TimeoutFlag = None,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Stop clusters, start them again, and wait until they are ready."""
    options = start_options(wait, timeout, operation="start")
    _up(names, options, done="restarted", is_all=all, events=events, runtime=runtime)


def stop(
    *names: Names,
    all: AllFlag = False,
    timeout: TimeoutFlag = None,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Stop clusters: all their nodes at once, and nothing is lost."""
    seconds = limit(timeout)
    _down("stop", names, seconds, is_all=all, events=events, runtime=runtime)


def pause(
    *names: Names,
    all: AllFlag = False,
    timeout: TimeoutFlag = None,
    events: EventsFlag = None,
    runtime: RuntimeFlag = "docker",
) -> None:
    """Freeze clusters where they are: they keep their memory and take no CPU."""
    seconds = limit(timeout)
    _down("pause", names, seconds, is_all=all, events=events, runtime=runtime)


def _up(
    names: tuple[str, ...],
    options: "StartOptions",
    *,
    done: str,
    is_all: bool,
    events: str | None,
    runtime: str,
) -> None:
    from k3dasync.commands._run import run
    from k3dasync.operations import start as starting
    from k3dasync.operations import stop as stopping
    from k3dasync.verbosity import inform

    clusters = wanted(names, is_all=is_all)
    operation = stopping.restart if done == "restarted" else starting.start

    async def perform(session: "Session") -> tuple[str, ...]:
        return await operation(
            clusters, options, backend=session.backend, sinks=session.sinks, stop=session.stop
        )

    for name in (found := run(perform, runtime=runtime, events=events, shows_progress=True)):
        inform(f"cluster {name} {done}")
    if not found:
        inform("no clusters found")


def _down(
    operation: str,
    names: tuple[str, ...],
    seconds: float | None,
    *,
    is_all: bool,
    events: str | None,
    runtime: str,
) -> None:
    from k3dasync.commands._run import run
    from k3dasync.operations import stop as stopping
    from k3dasync.verbosity import inform

    clusters = wanted(names, is_all=is_all)
    halt, done = stopping.stop_clusters, "stopped"
    if operation == "pause":
        halt, done = stopping.pause, "paused"

    async def perform(session: "Session") -> "Ends":
        return await halt(
            clusters,
            backend=session.backend,
            seconds=seconds,
            sinks=session.sinks,
            stop=session.stop,
        )

    ends = run(perform, runtime=runtime, events=events, shows_progress=True)
    for name in ends.done:
        inform(f"cluster {name} {done}")
    for name in ends.absent:
        inform(f"cluster {name}: nothing of it runs")
    if not (ends.done or ends.absent):
        inform("no clusters found")
