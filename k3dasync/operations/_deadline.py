"""What a deadline says: which code, by what was waited for when time was up. Pure."""

from collections.abc import Sequence

from k3dasync.errors import DeadlineExceeded
from k3dasync.operations._forward import Cut

_CODES = (
    # In this order: nodes cannot be Ready before the API answers.
    ({"supervisor", "api"}, "API_UNREACHABLE"),
    ({"ready", "quorum", "join"}, "NODE_NOT_READY"),
)
"""By the kinds of tasks, as their ids begin."""


def deadline_exceeded(seconds: float | None, cut: Sequence[Cut]) -> DeadlineExceeded:
    """Return the error of a run that was cut after *seconds*: each task with its wait and time."""
    kinds = {one.task.partition(":")[0] for one in cut}
    codes = (code for waiting, code in _CODES if waiting & kinds)
    words = [str(one) for one in cut]
    return DeadlineExceeded(seconds or 0.0, words, code=next(codes, DeadlineExceeded.code))
