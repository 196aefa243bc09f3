"""One run about one registry by itself, which nothing takes back."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from k3dasync.backend import Backend
from k3dasync.events import EventSink
from k3dasync.graph import Graph
from k3dasync.journal import place_of
from k3dasync.operations._forward import StepT
from k3dasync.operations._one_way import OneWay
from k3dasync.operations._run import Run, new_run_id
from k3dasync.runtime import EngineFacts
from k3dasync.tasks import TaskReport


async def perform(
    operation: str,
    name: str,
    graph: Graph[StepT],
    act: Callable[[StepT, TaskReport], Awaitable[None]],
    *,
    backend: Backend,
    facts: EngineFacts,
    sinks: Sequence[EventSink],
    seconds: float | None = None,
    told: Sequence[str] = (),
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
    finish: Callable[[], None] | None = None,
) -> None:
    """Walk the graph for the registry of that name, whose lock is held; raises as OneWay does."""
    run = Run(
        id=new_run_id(),
        operation=operation,
        cluster=None,
        facts=facts,
        k3s="",
        sinks=sinks,
        is_rehearsal=backend.is_rehearsal,
        place=place_of("registry", name),
    )
    try:
        await OneWay(
            graph=graph, act=act, seconds=seconds, told=told, beside=beside, finish=finish
        ).perform(run)
    finally:
        run.close()
