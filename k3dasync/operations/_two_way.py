"""A run that takes everything back if it fails: the walk, the way back, and its last line."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic

import anyio

from k3dasync import events
from k3dasync.backend import Backend
from k3dasync.errors import (
    EngineUnavailable,
    Interrupted,
    K3dAsyncError,
    RollbackIncomplete,
)
from k3dasync.graph import Graph
from k3dasync.operations._backward import take_back
from k3dasync.operations._deadline import deadline_exceeded
from k3dasync.operations._forward import Forward, StepT, planned
from k3dasync.operations._recover import rollback_command
from k3dasync.operations._run import Run, Stop
from k3dasync.tasks import TaskReport


@dataclass(frozen=True, kw_only=True)
class TwoWay(Generic[StepT]):
    """A graph that is walked once, within *seconds* (None: no limit); *act* does one task.

    *back* says, for people, what is so when everything has been taken back.
    """

    graph: Graph[StepT]
    act: Callable[[StepT, TaskReport], Awaitable[None]]
    backend: Backend
    seconds: float | None = None
    back: str = "rolled back: nothing of this run is left"

    async def perform(self, run: Run, stop: Stop) -> None:
        """Walk the graph, told in the events of *run*.

        When this raises, what the run did is undone, or RollbackIncomplete says what is left.
        Raises TaskFailed, DeadlineExceeded, or Interrupted if *stop* was asked for.
        """
        run.start(planned(self.graph))
        forward = Forward(self.graph, self.act, run.emitter)
        failure: K3dAsyncError | None = None
        deadline = anyio.CancelScope()
        try:
            with stop.scope(), anyio.move_on_after(self.seconds) as deadline:
                await forward.walk()
        except K3dAsyncError as error:
            failure = error
        except BaseException:
            await self._give_up(run, Interrupted("cancelled from outside"))
            raise
        # A wish to stop that comes with the last task's end comes too late.
        if failure is None and forward.ends.keys() >= set(self.graph.ids):
            run.emitter.emit(
                events.RunDone,
                seconds=round(run.emitter.now(), 6),
                critical_path=run.critical_path,
            )
            return
        if failure is None and deadline.cancelled_caught:
            failure = deadline_exceeded(self.seconds, forward.cut)
        raise await self._give_up(run, failure or Interrupted(stop.because or "stopped"))

    async def _give_up(self, run: Run, failure: K3dAsyncError) -> K3dAsyncError:
        """Take everything back, write the last line, and return the error to be raised."""
        left = await take_back(
            run.plan, run.pending, runtime=self.backend.runtime, emitter=run.emitter
        )
        run.emitter.emit(
            events.RunFailed,
            seconds=round(run.emitter.now(), 6),
            code=failure.code,
            cause=str(failure),
            rolled_back=True,
            critical_path=run.critical_path,
            left=left,
            hint=failure.hint,
            log=failure.log,
        )
        command = rollback_command(run.cluster or "")
        if not left:
            failure.add_note(self.back)
        elif failure.exit_code == EngineUnavailable.exit_code:
            failure.add_note(f"left behind: {', '.join(left)}; finish with: {command}")
        else:
            incomplete = RollbackIncomplete(left, command)
            incomplete.__cause__ = failure
            return incomplete
        return failure
