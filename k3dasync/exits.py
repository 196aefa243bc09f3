"""What is known of one container's life: how often it has exited, what is the matter with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import anyio

from k3dasync import diagnosis
from k3dasync.node_errors import NodeCrashed
from k3dasync.runtime import ContainerDetail, Status

CRASH_LIMIT = 3
"""Exits of one container that are no accident any more: the engine's restart policy brings it
back after 0.1, 0.2 and 0.4 s, so this takes about a second."""
JOINER_CRASH_LIMIT = 8
"""Older k3s exits when etcd refuses it as a member, and comes back by itself: up to 5 times with
two joiners at once. Joins are gated here, so this is hardly ever reached."""
_WITHOUT_LIFE = frozenset({Status.CREATED, Status.EXITED, Status.DEAD})
KILLED = 137
"""The exit code of a process that SIGKILL has ended: the kernel's, for want of memory, or ours."""


@dataclass(slots=True)
class Exits:
    """The exits of one container, and what its present life is like.

    One that *has not run* may go and come again: a create that was cut half-way is made anew.
    """

    count: int = 0
    exit_code: int = 0
    is_oom: bool = False
    is_killed: bool = False
    is_unhealthy: bool = False
    is_paused: bool = False
    has_run: bool = False
    running_since: float | None = None
    earlier_restarts: int = 0
    stopped_at_start: str | None = None
    stops_expected: int = 0
    """Counted, as events may be told long after what they tell of."""

    @classmethod
    def of(cls, found: ContainerDetail) -> "Exits":
        """Return those of a container that was there before anybody looked."""
        if found.state.status in _WITHOUT_LIFE:
            return cls(stopped_at_start=found.started_at)  # the engine counts anew at its start
        return cls(earlier_restarts=found.restarts)

    def catch_up(self, found: ContainerDetail) -> bool:
        """Note what became of it while nobody looked; say whether it has exited meanwhile."""
        status = found.state.status
        count = max(found.restarts - self.earlier_restarts, 0)
        has_exited = count > self.count
        self.is_paused = status is Status.PAUSED
        if status is not Status.RUNNING:
            self.running_since = None
        elif self.running_since is None or has_exited:
            self.begin()  # at least since now
        if has_exited:
            self.count, self.exit_code = count, found.exit_code
            self.is_oom = self.is_oom or found.oom_killed
        return has_exited

    def is_stopped(self, found: ContainerDetail) -> bool:
        """Whether somebody else has stopped it; it does not count before it has been started."""
        is_before_start = found.started_at == self.stopped_at_start
        has_ended = found.state.status is Status.EXITED  # and is not restarting
        return has_ended and not is_before_start and not self.stops_expected

    def begin(self) -> None:
        """Note that a new life begins: what was said of the last one is over."""
        self.is_oom = self.is_killed = self.is_unhealthy = self.is_paused = False
        self.has_run, self.running_since = True, anyio.current_time()

    def pause(self) -> None:
        """Note that somebody has frozen it."""
        self.is_paused, self.running_since = True, None

    @property
    def are_suspect(self) -> bool:
        """Whether that is a crash-loop, if it is not etcd that refuses."""
        return self.count >= CRASH_LIMIT or self.is_oom

    @property
    def may_pass(self) -> bool:
        """Whether that may pass, if etcd refuses."""
        return self.count < JOINER_CRASH_LIMIT and not self.is_oom

    def crash(self, name: str, words: Sequence[str]) -> NodeCrashed:
        """Return the error of a container that crash-loops, with its last words."""
        cause = diagnosis.of_crash(words, oom=self.is_oom)
        return NodeCrashed(name, exits=self.count, exit_code=self.exit_code, cause=cause, log=words)

    def troubles(self, name: str) -> Iterator[str]:
        """Yield what is the matter, for whoever waits for the container."""
        if self.is_paused:
            yield f"{name} is paused; resume it: docker unpause {name}"
        elif self.count and self.running_since is None:
            times = "once" if self.count == 1 else f"{self.count} times"
            yield f"{name} is restarting, exited {times}, last with code {self.exit_code}"
        if self.is_oom and self.running_since is not None:
            yield f"{name} has run out of memory"
        if self.is_unhealthy:
            yield f"{name} is unhealthy, says its image's health check"
