"""How long to wait between two questions, where only asking tells. Pure."""

from collections.abc import Iterator

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.1
"""Between two probes of a port, for which no event exists: a probe costs 2-4 ms of CPU, so at
the longest pause this is 4 % of a core, and adds at most 0.1 s to a start of several seconds."""

RECONNECT = 0.25
"""Before a broken stream is opened again: shorter than anybody notices, long enough for an engine
or API that is restarting not to be hammered."""


def growing() -> Iterator[float]:
    """Yield pauses in seconds, short ones first, without an end."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 1.5, LONGEST_PAUSE)
