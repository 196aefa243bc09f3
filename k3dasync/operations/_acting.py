"""What the tasks of one run may touch, and how each of them is done."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from k3dasync.backend import Backend
from k3dasync.tasks import SILENT, ClusterTask, Context, TaskReport
from k3dasync.watch import ClusterWatch

Act = Callable[[ClusterTask, TaskReport], Awaitable[None]]


def context_of(watch: ClusterWatch, backend: Backend) -> Context:
    """Return the backend's seams and the run's watch, for tasks that are not known yet."""
    return Context(
        runtime=backend.runtime,
        kubernetes=backend.kubernetes,
        etcd=backend.etcd,
        watch=watch,
        report=SILENT,
        registry_answers=backend.registry_answers,
    )


def acting(context: Context) -> Act:
    """Return what does a task in that context, with the task's own voice."""

    async def act(task: ClusterTask, report: TaskReport) -> None:
        await task.run(replace(context, report=report))

    return act
