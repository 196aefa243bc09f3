"""The processor of the simulated machine, shared fairly by all that want to compute."""

import heapq
import itertools
from dataclasses import dataclass, field

import anyio

from k3dasync.fake.latency import Cost

_EPSILON = 1e-9  # float sums: what is that near to done is done


@dataclass(order=True, slots=True)
class _Job:
    target: float
    order: int
    done: anyio.Event = field(compare=False)
    is_gone: bool = field(default=False, compare=False)


class Cores:
    """Processor sharing: of *n* jobs on *c* cores each runs at speed `min(1, c / n)`.

    `run` must be running in a task group beside those who work.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._jobs: list[_Job] = []
        self._busy = 0
        self._order = itertools.count()
        # Seconds of work that a job which had been here all the time would have got.
        self._served = 0.0
        self._at = 0.0
        self._poke = anyio.Event()

    async def spend(self, cost: Cost) -> None:
        """Let a cost pass: first what passes by itself, then the work."""
        await anyio.sleep(cost.idle)
        if cost.cpu > 0:
            await self._work(cost.cpu)

    async def _work(self, seconds: float) -> None:
        self._settle()
        job = _Job(self._served + seconds, next(self._order), anyio.Event())
        heapq.heappush(self._jobs, job)
        self._busy += 1
        self._poke.set()
        try:
            await job.done.wait()
        finally:
            if not job.done.is_set():
                self._settle()
                job.is_gone = True
                self._busy -= 1
                self._poke.set()

    async def run(self) -> None:
        """End each job at its time, until cancelled."""
        while True:
            self._settle()
            self._finish()
            self._poke = anyio.Event()
            if not self._jobs:
                await self._poke.wait()
                continue
            with anyio.move_on_after(max(self._jobs[0].target - self._served, 0) / self._speed):
                await self._poke.wait()

    @property
    def _speed(self) -> float:
        return min(1.0, self._count / max(self._busy, 1))

    def _settle(self) -> None:
        now = anyio.current_time()
        self._served += (now - self._at) * self._speed
        self._at = now

    def _finish(self) -> None:
        while self._jobs and (
            self._jobs[0].is_gone or self._jobs[0].target <= self._served + _EPSILON
        ):
            job = heapq.heappop(self._jobs)
            if not job.is_gone:
                self._busy -= 1
                job.done.set()
