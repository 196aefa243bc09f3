"""What most often breaks clusters: one function a check, facts in, a finding out. Pure.

This page is the table of contents; docs/doctor.md describes each check.
"""

from collections.abc import Callable

from k3dasync.doctor import engine, limits, room
from k3dasync.doctor.findings import Finding
from k3dasync.doctor.seen import Seen

Check = Callable[[Seen], Finding]

CHEAP: tuple[Check, ...] = (
    engine.version,
    engine.cgroups,
    engine.storage,
    engine.privileges,
    limits.inotify_instances,
    limits.inotify_watches,
    limits.files,
    limits.pids,
    room.memory,
    room.disk,
    room.bridge_ports,
)
"""`create` makes them too: they need what it asks the engine anyway, and a few small files."""
CHECKS: tuple[Check, ...] = (
    *CHEAP,
    room.subnets,
    engine.modules,
    engine.bridge_nf,
    engine.clock,
    engine.images,
    engine.ports,
    engine.leftovers,
)


def examine(view: Seen, checks: tuple[Check, ...] = CHECKS) -> tuple[Finding, ...]:
    """Make the checks, in their order."""
    return tuple(check(view) for check in checks)
