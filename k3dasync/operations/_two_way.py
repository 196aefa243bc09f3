"""A run that is taken back when it fails: first line, walk, rollback, last line."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import anyio

from k3dasync import events
from k3dasync.backend import Backend
from k3dasync.errors import EngineUnavailable, Interrupted, K3dAsyncError, RollbackIncomplete
from k3dasync.events import Outputs
from k3dasync.graph import Graph
from k3dasync.operations._backward import take_back
from k3dasync.operations._deadline import deadline_exceeded
from k3dasync.operations._forward import Forward, StepT, planned
from k3dasync.operations._recover import rollback_command
from k3dasync.operations._run import Run, Stop
from k3dasync.tasks import TaskReport


@dataclass(frozen=True, kw_only=True)
class TwoWay(Generic[StepT]):
    """A graph that is walked within *seconds* (None: no limit), or leaves nothing; *act* does one.

    *beside* runs meanwhile, *finish* when all is done. *told* are warnings. *back* says, for
    people, what is so when everything has been taken back.
    """

    graph: Graph[StepT]
    act: Callable[[StepT, TaskReport], Awaitable[None]]
    backend: Backend
    seconds: float | None = None
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None
    finish: Callable[[], None] | None = None
    told: Sequence[str] = ()
    back: str = "rolled back: nothing of this run is left"

    async def perform(self, run: Run, stop: Stop, outputs: Outputs | None = None) -> None:
        """Walk the graph, told in the events of *run*, whose last line has the *outputs*.

        When this raises, everything the run made is gone again, or RollbackIncomplete names what
        is left. Raises TaskFailed, DeadlineExceeded or Interrupted after that.
        """
        run.start(planned(self.graph))
        for text in self.told:
            run.emitter.emit(events.Warned, text=text)
        forward = Forward(self.graph, self.act, run.emitter)
        deadline = anyio.CancelScope()
        failure: K3dAsyncError | None = None
        try:
            with stop.scope(), anyio.move_on_after(self.seconds) as deadline:
                await forward.walk(beside=self.beside)
        except K3dAsyncError as error:
            failure = error
        except BaseException:
            await self._give_up(run, Interrupted("cancelled from outside"))
            raise
        # A wish to stop that comes with the last task's end comes too late.
        is_through = forward.ends.keys() >= set(self.graph.ids)
        if failure is None and is_through:
            failure = self._finish()
        elif failure is None and deadline.cancelled_caught:
            failure = deadline_exceeded(self.seconds, forward.cut)
        elif failure is None:
            failure = Interrupted(stop.because or "stopped")
        if failure is not None:
            raise await self._give_up(run, failure)
        run.emitter.emit(
            events.RunDone,
            seconds=round(run.emitter.now(), 6),
            critical_path=run.critical_path,
            outputs=outputs,
        )

    def _finish(self) -> K3dAsyncError | None:
        try:
            if self.finish is not None:
                self.finish()
        except K3dAsyncError as error:
            return error
        return None

    async def _give_up(self, run: Run, failure: K3dAsyncError) -> K3dAsyncError:
        """Take everything back, write the last line, and return the error to be raised."""
        emitter = run.emitter
        left = await take_back(run.plan, run.pending, backend=self.backend, emitter=emitter)
        emitter.emit(
            events.RunFailed,
            seconds=round(emitter.now(), 6),
            code=failure.code,
            cause=str(failure),
            rolled_back=True,
            critical_path=run.critical_path,
            left=left,
            hint=failure.hint,
            log=failure.log,
        )
        command = rollback_command(run.cluster or "")
        if left and failure.exit_code == EngineUnavailable.exit_code:
            # That is why it is left, and what is to be mended first.
            failure.add_note(f"left behind: {', '.join(left)}; finish with: {command}")
        elif left:
            incomplete = RollbackIncomplete(left, command)
            incomplete.__cause__ = failure
            return incomplete
        else:
            failure.add_note(self.back)
        return failure
