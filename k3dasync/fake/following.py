"""Somebody who reads the log of a container of the fake engine, and perhaps goes on reading."""

from collections import deque

from anyio.lowlevel import checkpoint

from k3dasync.fake.state import Container
from k3dasync.loglines import LogLine
from k3dasync.runtime import Status

_ALIVE = frozenset({Status.RUNNING, Status.PAUSED})


class Following:
    """An iterator over lines; it ends with the container's present life."""

    def __init__(self, container: Container, *, tail: int | None, since: int, follow: bool) -> None:
        self._container, self._since, self._follow = container, since, follow
        self._life = container.started
        self._seen = container.log.written
        lines = container.log.behind(0)
        first = 0 if tail is None else max(len(lines) - tail, 0)
        self._ready = deque(line for line in lines[first:] if line.at >= since)

    def __aiter__(self) -> "Following":
        return self

    async def __anext__(self) -> LogLine:
        await checkpoint()
        while not self._ready:
            self._take()
            if self._ready:
                break
            if not (self._follow and self._is_alive):
                raise StopAsyncIteration
            await self._container.log.changed.wait()
        return self._ready.popleft()

    @property
    def _is_alive(self) -> bool:
        return self._container.status in _ALIVE and self._container.started == self._life

    def _take(self) -> None:
        log = self._container.log
        if not self._follow:
            return
        self._ready.extend(line for line in log.behind(self._seen) if line.at >= self._since)
        self._seen = log.written
