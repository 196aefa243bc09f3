"""A run that goes one way: its first line, the walk, its last line, and what went wrong.

Only what its tasks say can be taken back is, if it does not get through.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import anyio

from k3dasync import events
from k3dasync.backend import Backend
from k3dasync.errors import (
    EngineUnavailable,
    Interrupted,
    K3dAsyncError,
    RollbackIncomplete,
    TaskFailed,
)
from k3dasync.events import Outputs
from k3dasync.graph import Graph
from k3dasync.operations._backward import take_back
from k3dasync.operations._deadline import deadline_exceeded
from k3dasync.operations._forward import Cut, Forward, StepT, planned
from k3dasync.operations._recover import rollback_command
from k3dasync.operations._run import Run
from k3dasync.scheduler import Report
from k3dasync.tasks import TaskReport


def first_failure(report: Report) -> K3dAsyncError | None:
    """Return the error of a walk of which something failed: the first one's."""
    for id, error in report.failed.items():
        failed = TaskFailed(id, error)
        failed.__cause__ = error
        return failed
    return None


@dataclass(frozen=True, kw_only=True)
class OneWay(Generic[StepT]):
    """A graph that is walked once, within *seconds* (None: no limit); *act* does one task.

    With *keep_going* what does not depend on a failed task is done all the same, and *judge* says
    what the failures mean. *left* names, for people, what stays as it was without a task.
    *beside* runs meanwhile, *finish* when all is done. *told* are warnings. With a *backend*, what
    can be taken back is when something goes wrong.
    """

    graph: Graph[StepT]
    act: Callable[[StepT, TaskReport], Awaitable[None]]
    seconds: float | None = None
    keep_going: bool = False
    judge: Callable[[Report], K3dAsyncError | None] = first_failure
    left: Callable[[StepT], str] | None = None
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None
    finish: Callable[[], None] | None = None
    told: Sequence[str] = ()
    outputs: Callable[[], Outputs] | None = None
    backend: Backend | None = None

    async def perform(self, run: Run) -> Report:
        """Walk the graph, told in the events of *run*, and return what became of each task.

        Raises what *judge* returns, TaskFailed or DeadlineExceeded; cancelled, it writes the last
        line of the log before it ends.
        """
        run.start(planned(self.graph))
        for text in self.told:
            run.emitter.emit(events.Warned, text=text)
        forward = Forward(self.graph, self.act, run.emitter)
        report: Report | None = None
        failure: K3dAsyncError | None = None
        deadline = anyio.CancelScope()
        try:
            with anyio.move_on_after(self.seconds) as deadline:
                report = await forward.walk(keep_going=self.keep_going, beside=self.beside)
                failure = self._finish()
        except K3dAsyncError as error:
            failure = error
        except BaseException:
            await self._fail(run, forward, Interrupted("stopped"))
            raise
        if failure is None and report is None and deadline.cancelled_caught:
            # Calls to the engine are not cut, so that the last ones may have ended well, but late.
            if rest := [task for task in self.graph.ids if task not in forward.ends]:
                cut = forward.cut or [Cut(task=task) for task in rest]
                failure = deadline_exceeded(self.seconds, cut)
            else:
                report = Report(done=list(self.graph.ids))
                failure = self._finish()
        if failure is None and report is not None:
            failure = self.judge(report)
        if failure is not None or report is None:
            failure = failure or Interrupted("stopped")
            raise await self._fail(run, forward, failure)
        run.emitter.emit(
            events.RunDone,
            seconds=round(run.emitter.now(), 6),
            critical_path=run.critical_path,
            **({"outputs": self.outputs()} if self.outputs else {}),
        )
        return report

    def _finish(self) -> K3dAsyncError | None:
        try:
            if self.finish is not None:
                self.finish()
        except K3dAsyncError as error:
            return error
        return None

    async def _fail(self, run: Run, forward: Forward[StepT], error: K3dAsyncError) -> K3dAsyncError:
        """Take back what can be, write the last line, and return the error to be raised."""
        kept: tuple[str, ...] = ()
        if self.backend is not None:
            kept = await take_back(run.plan, run.pending, backend=self.backend, emitter=run.emitter)
        run.emitter.emit(
            events.RunFailed,
            seconds=round(run.emitter.now(), 6),
            code=error.code,
            cause=str(_first_cause(error)),
            rolled_back=self.backend is not None,
            critical_path=run.critical_path,
            left=(*self._left(forward), *kept),
            hint=error.hint,
            log=error.log,
        )
        return _with_rest(error, kept, run.cluster or "") if kept else error

    def _left(self, forward: Forward[StepT]) -> tuple[str, ...]:
        if self.left is None:
            return ()
        undone = (task for task in self.graph if task.id not in forward.ends)
        return tuple(filter(None, map(self.left, undone)))


def _with_rest(error: K3dAsyncError, kept: Sequence[str], cluster: str) -> K3dAsyncError:
    """Return the error with what should have been taken back, and was not."""
    command = rollback_command(cluster)
    if error.exit_code in {EngineUnavailable.exit_code, RollbackIncomplete.exit_code}:
        error.add_note(f"left behind: {', '.join(kept)}; finish with: {command}")
        return error
    incomplete = RollbackIncomplete(kept, command)
    incomplete.__cause__ = error
    return incomplete


def _first_cause(error: K3dAsyncError) -> BaseException:
    """Return why something is left, if that is the error."""
    return (isinstance(error, RollbackIncomplete) and error.__cause__) or error
