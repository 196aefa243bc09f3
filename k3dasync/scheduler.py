"""The walk over a graph: the only place where the order of tasks becomes concurrency."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from k3dasync.errors import TaskFailed
from k3dasync.graph import Graph, MemberT, TaskId


@dataclass(slots=True)
class Report:
    """What became of each task of a walk; every id of the graph is in exactly one of the four."""

    done: list[TaskId] = field(default_factory=list)
    failed: dict[TaskId, Exception] = field(default_factory=dict)
    cancelled: list[TaskId] = field(default_factory=list)
    skipped: list[TaskId] = field(default_factory=list)


async def walk(
    graph: Graph[MemberT],
    visit: Callable[[MemberT], Awaitable[None]],
    *,
    keep_going: bool = False,
) -> Report:
    """Visit every task once, each after all that it needs, as many at a time as can be.

    When this returns or raises, no visit is running any more. Without *keep_going* the first
    failure cancels the other visits and is raised as TaskFailed; with it, what does not depend
    on the failed task goes on, and the failures are in the report. There is no limit here:
    limits sit round single engine calls, where the contention is.

    Raises TaskFailed if a visit raised and *keep_going* is false.
    """
    report = Report()
    sorter, urgency = graph.sorter(), graph.urgency

    async def visit_one(member: MemberT) -> None:
        id = member.id
        try:
            await visit(member)
        except Exception as error:  # noqa: BLE001 - reported or raised below
            report.failed[id] = error
            if not keep_going:
                group.cancel_scope.cancel()
            return
        except BaseException:
            report.cancelled.append(id)
            raise
        report.done.append(id)
        # A task that ended well while the walk is being cancelled must not start its users.
        if not group.cancel_scope.cancel_called:
            sorter.done(id)
            start_ready()

    def start_ready() -> None:
        # Those first on which most depends: calls that queue, queue in this order.
        for id in sorted(sorter.get_ready(), key=urgency.__getitem__, reverse=True):
            group.start_soon(visit_one, graph[id], name=id)

    async with anyio.create_task_group() as group:
        start_ready()
    ended = {*report.done, *report.failed, *report.cancelled}
    report.skipped.extend(id for id in graph.ids if id not in ended)
    if report.failed and not keep_going:
        id, cause = next(iter(report.failed.items()))
        raise TaskFailed(id, cause) from cause
    return report
