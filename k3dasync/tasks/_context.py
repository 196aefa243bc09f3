"""What a task may touch while it runs, and what it may say."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from k3dasync.etcd import EtcdConnect
from k3dasync.graph import TaskId
from k3dasync.kubernetes import KubernetesConnect
from k3dasync.registry_probe import RegistryAnswers, answers
from k3dasync.runtime import Runtime
from k3dasync.undo import Undo
from k3dasync.watch import ClusterWatch


class TaskReport(Protocol):
    """Where a task says how far it is and what it waits for."""

    def progress(
        self, text: str, *, done: int | None = None, total: int | None = None, unit: str = ""
    ) -> None:
        """Tell how far the task is; told on at most a few times a second."""

    def waiting(self, on: str) -> None:
        """Tell what the task is waiting for; told on if it stays so for a while."""


class _Silent:
    """The voice of no task."""

    def progress(
        self, text: str, *, done: int | None = None, total: int | None = None, unit: str = ""
    ) -> None: ...

    def waiting(self, on: str) -> None: ...


SILENT: TaskReport = _Silent()
"""For a context that is made before its task is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Runtime, API and etcd of one run, and the voice of one task."""

    runtime: Runtime
    kubernetes: KubernetesConnect
    etcd: EtcdConnect
    watch: ClusterWatch
    report: TaskReport
    registry_answers: RegistryAnswers = answers

    def waiting(self, on: str, involved: Collection[str]) -> Callable[[], None]:
        """Return what tells that *on* is waited for, and what is the matter with containers."""
        return lambda: self.report.waiting(self.watch.with_trouble(on, involved))


class ClusterTask(Protocol):
    """A task of a cluster operation: plain data, a direction, and its inverse as data."""

    @property
    def id(self) -> TaskId: ...
    @property
    def needs(self) -> frozenset[TaskId]: ...
    @property
    def does(self) -> str:
        """What it does, for people, in a few words."""

    @property
    def undo(self) -> Undo:
        """What takes its effect back: idempotent, bound to the run's label."""

    async def run(self, context: Context) -> None: ...
