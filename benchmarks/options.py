"""What can be asked of the benchmarks, and what all of them need to say what they found."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """How many servers and agents a cluster has; it has a load balancer too."""

    servers: int
    agents: int

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """Read `3+10`; raises ValueError if it is none."""
        servers, _, agents = text.strip().partition("+")
        return cls(int(servers), int(agents))

    def __str__(self) -> str:
        return f"{self.servers}+{self.agents}"

    @property
    def containers(self) -> int:
        """How many containers it is made of."""
        return self.servers + self.agents + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`runs` None and no `shapes` mean each benchmark's own choice."""

    runs: int | None = None
    shapes: tuple[Shape, ...] = ()


class Unavailable(Exception):
    """What a benchmark needs is not there; says what, and how to get it."""


def median(values: Sequence[float]) -> float:
    """Return the middle one, or the mean of the two in the middle."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def load() -> float:
    """Return how many processes wanted a core during the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def conditions() -> str:
    """Return what machine this is and how busy it was at the beginning."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"machine: {cores} cores, {platform.machine()}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {load():.1f} at the beginning"
    )
