"""A limit that follows what is seen: up while calls are as quick as can be, down when not. Pure.

Additive increase, multiplicative decrease, as in TCP and as limiters of services do it: calls that
share a machine take longer together as soon as there are more of them than it can do at a time.
"""

from dataclasses import dataclass

FIRST = 2.0
"""Where it begins: the fewest that an engine with anything to wait for can do at once."""
CAP = 16.0
"""The most at a time. With 14 at once each of them took six times as long as alone (two cores)."""
TOLERANCE = 1.5
"""A call that takes so many times as long as the quickest was not alone on its core. Starts of the
same container differ by 1.3 on an idle engine (0.25 to 0.33 s)."""
BACKOFF = 0.75
"""What is left of the limit then: enough to be noticed in the next round, not so much that one
slow call halves the work."""
FORGET = 1.001
"""By how much the quickest one ages with each call: after 700 calls it counts as twice as slow, so
that a machine that has become slower is not measured by its best days."""


@dataclass(slots=True)
class Adaptive:
    """A limit between 1 and *cap*; `slots` is its whole number."""

    cap: float = CAP
    value: float = FIRST
    best: float = 0.0
    _calls_since_backoff: int = 0

    @property
    def slots(self) -> int:
        """How many calls may run at a time now."""
        return int(self.value)

    def note(self, seconds: float, *, is_full: bool = True) -> None:
        """Learn from a call that took so long and succeeded.

        It *is full* if as many were running as may: only then does a quick one show that there
        is room for more.
        """
        self.best = min(self.best * FORGET, seconds) if self.best else seconds
        self._calls_since_backoff += 1
        if seconds <= self.best * TOLERANCE:
            if is_full:
                self.value = min(self.value + 1.0 / self.value, self.cap)
        elif self._calls_since_backoff > self.slots:
            # Those that ran beside this one tell the same; they count once.
            self.value = max(self.value * BACKOFF, 1.0)
            self._calls_since_backoff = 0


@dataclass(frozen=True, slots=True)
class Constant:
    """A limit that learns nothing."""

    slots: int

    def note(self, seconds: float, *, is_full: bool = True) -> None:
        """Ignore it."""
