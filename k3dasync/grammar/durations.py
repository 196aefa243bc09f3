"""Durations in Go's notation, as k3d has them."""

import re

from k3dasync.invalid import InvalidDuration

LONGEST = 2**63 / 1e9
"""Seconds, 292 years: k3d refuses more, as Go counts nanoseconds in 64 bits (`time.Duration`)."""
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)"


def parse_duration(text: str, flag: str = "--timeout") -> float | None:
    """Read Go's notation, `90s` or `1m30s`; zero means no limit and gives None.

    Raises InvalidDuration if it is none, or longer than Go's longest.
    """
    word = text.strip()
    if word == "0":
        return None
    seconds, position = 0.0, 0
    part = re.compile(_PART)
    while match := part.match(word, position):
        seconds += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if position != len(word) or not word:
        raise InvalidDuration(
            f"{flag} {text!r} is not a duration, expected for example 90s or 1m30s"
        )
    if seconds >= LONGEST:
        raise InvalidDuration(f"{flag} {text!r} is too long, at most {LONGEST // 3600:.0f}h")
    return round(seconds, 9) or None  # nanoseconds, as Go counts
