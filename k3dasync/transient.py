"""Which refusals of an engine will pass, and how often and when to ask again. Pure.

An engine answers 500 to nearly everything that goes wrong, so there its words decide; whatever is
not known to pass is taken to stay.
"""

import random
import re
from collections.abc import Collection, Iterator

from k3dasync.errors import EngineError, EngineUnavailable, K3dAsyncError, PortTaken
from k3dasync.runtime import PortBinding

FIRST_DELAY, FACTOR, TRIES = 0.2, 2.0, 6
"""Seconds before the second try, by how much each next one is longer, and the tries in all: 6 s
together. A lock is held for milliseconds, an engine that restarts is away for some seconds, and a
registry that refuses for longer will do so for minutes."""
JITTER = 0.25
"""By what part a delay differs by chance, so that those who were refused together come apart."""

_PASSING_STATUSES = frozenset({502, 503, 504})
"""A proxy's words for: not now."""
_PASSING = re.compile(
    # iptables is locked by another process: moby#26111, #44331.
    r"holding the xtables lock"
    # A mount that is still in use somewhere: moby#22260, #22877.
    r"|device or resource busy"
    # EAGAIN of a fork while many containers start: goharbor/harbor#15944.
    r"|resource temporarily unavailable"
    # Somebody else removes it (moby#37698): moby's container.errRemovalInProgress.
    r"|removal of container \S+ is already in progress|is marked for removal"
    # Go's words for a line that was cut (net, net/http), as of the registry in a pull.
    r"|i/o timeout|tls handshake timeout|unexpected eof|connection reset by peer|broken pipe"
    r"|client\.timeout exceeded|request canceled while waiting for connection"
    # A registry's 5xx, as a pull tells it: `received unexpected HTTP status: 503 Service …`.
    r"|unexpected http status: 5\d\d|unexpected status code .*: 5\d\d"
    # Bytes are counted for one caller at a time (moby's daemon/disk_usage.go, 20.10).
    r"|disk usage operation is already running"
    # Podman's own store: containers/podman#20809.
    r"|database is locked",
    re.IGNORECASE,
)
_NEVER = re.compile(
    # A registry's limit holds for hours, and each try counts.
    r"toomanyrequests|rate limit"
    # What a container's process needs is not there: another try changes nothing.
    r"|executable file not found|no such file or directory|exec format error",
    re.IGNORECASE,
)
_PORT = re.compile(r":(\d+)\b")
"""`Bind for 0.0.0.0:32768 failed: port is already allocated`."""


def is_transient(error: K3dAsyncError) -> bool:
    """Say whether the same call may well succeed in a moment."""
    if isinstance(error, EngineUnavailable):
        return error.is_passing
    if not isinstance(error, EngineError) or _NEVER.search(error.words):
        return False
    return error.status in _PASSING_STATUSES or _PASSING.search(error.words) is not None


def is_engines_choice(error: PortTaken, bindings: Collection[PortBinding]) -> bool:
    """Say whether the port that was taken is one that the engine chose: it chooses another then.

    It does so where no host port was asked for, or a range.
    """
    asked = {one.host_port for one in bindings if len(one.candidates) == 1 and one.host_port}
    is_free = any(len(one.candidates) > 1 or not one.host_port for one in bindings)
    named = {int(number) for number in _PORT.findall(error.words)}
    return is_free and not asked & named


def delays() -> Iterator[float]:
    """Yield the seconds before each further try."""
    for number in range(TRIES - 1):
        yield FIRST_DELAY * FACTOR**number * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
