"""Durations in Go's notation, as k3d has them."""

import math
import re

from k3dasync.invalid import InvalidDuration

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)"


def parse_duration(text: str, flag: str = "--timeout") -> float | None:
    """Read Go's notation, `90s` or `1m30s`; zero means no limit and gives None."""
    word = text.strip()
    if word == "0":
        return None
    seconds, position = 0.0, 0
    part = re.compile(_PART)
    while match := part.match(word, position):
        seconds += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if position != len(word) or not word or math.isinf(seconds):
        raise InvalidDuration(
            f"{flag} {text!r} is not a duration, expected for example 90s or 1m30s"
        )
    return round(seconds, 9) or None  # nanoseconds, as Go counts
