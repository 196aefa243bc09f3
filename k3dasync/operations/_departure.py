"""What became of nodes that were to be deleted, by the ends of the tasks about them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from k3dasync import events
from k3dasync.operations._recover import rollback_command
from k3dasync.operations._run import Run
from k3dasync.tasks import leave
from k3dasync.undo import leftovers


class Fate(Enum):
    """Deleted wholly, or in part, so that there is no way back; or it stays as it was."""

    GONE = auto()
    HALF = auto()
    STAYS = auto()


@dataclass(frozen=True, slots=True)
class Departure:
    """One run's nodes by their fates, and what should have been taken back and was not."""

    cluster: str
    fates: dict[str, Fate]
    kept: tuple[str, ...] = ()

    def of(self, *fates: Fate) -> list[str]:
        """Return the nodes with these fates."""
        return _of(self.fates, *fates)


def _of(all: Mapping[str, Fate], *fates: Fate) -> list[str]:
    return [name for name, fate in all.items() if fate in fates]


def departure(cluster: str, names: Sequence[str], run: Run) -> Departure:
    """Return what has become of nodes by now."""
    ends, plan = run.ends, {task.id for task in run.plan}

    def fate(name: str) -> Fate:
        steps = [id for id in leave.steps(name) if id in plan]
        if steps and all(isinstance(ends.get(id), events.TaskDone) for id in steps):
            return Fate.GONE
        left, *rest = leave.steps(name)
        has_begun = any(not isinstance(ends.get(id), events.TaskSkipped | None) for id in rest)
        # Etcd's refusal means that it is a member still; of a call that was cut nobody knows.
        may_have_left = isinstance(ends.get(left), events.TaskDone | events.TaskCancelled)
        return Fate.HALF if has_begun or may_have_left else Fate.STAYS

    kept = leftovers([task.undo for task in run.pending.values()])
    return Departure(cluster, {name: fate(name) for name in names}, kept)


def to_finish(names: Iterable[str]) -> str:
    """Return the command that finishes what has begun."""
    return f"k3dasync node delete {' '.join(names)}"


def told(found: Collection[Departure], names: Collection[str]) -> str:
    """Return what became of all of these nodes, for people; nothing has begun for most of them."""
    fates = dict.fromkeys(names, Fate.STAYS)
    for one in found:
        fates |= one.fates
    parts = []
    if gone := _of(fates, Fate.GONE):
        parts.append(f"deleted: {', '.join(gone)}")
    if half := _of(fates, Fate.HALF):
        parts.append(f"half deleted: {', '.join(half)}; finish with: {to_finish(half)}")
    if stays := _of(fates, Fate.STAYS):
        parts.append(f"not deleted: {', '.join(stays)}")
    for one in found:
        if one.kept:
            command = rollback_command(one.cluster)
            parts.append(f"left behind: {', '.join(one.kept)}; finish with: {command}")
    return "; ".join(parts)
