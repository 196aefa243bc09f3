"""What k3s runs in its own namespace: waited for until it is available."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import anyio

from k3dasync import workloads
from k3dasync.cluster import Cluster
from k3dasync.graph import TaskId
from k3dasync.spec import WaitLevel
from k3dasync.tasks import _ids, _node
from k3dasync.tasks._context import Context
from k3dasync.undo import NOTHING, Undo
from k3dasync.watch import ClusterWatch
from k3dasync.workloads import Kind, Workloads

_LIST_AGAIN = 5.0
"""Seconds after which the manifests that are still to be applied are looked for again: of those
which are disabled k3s deletes the files (pkg/deploy), and nothing tells of that. It has applied
all others within a second or two."""
_MOST_TOLD = 3
"""Of what is waited for: more than that in one line, nobody reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitSystem:
    """Wait until what k3s deploys is applied, installed and available, step after step.

    Each kind of object is listed after all that makes such objects is over, so that none is
    missed that comes late: manifests, charts, their jobs, and at last what runs.
    """

    cluster: str
    server: str
    involved: tuple[str, ...]
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.system(self.cluster)

    @property
    def does(self) -> str:
        return f"wait until everything in {workloads.NAMESPACE} is available"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Context) -> None:
        watch = context.watch

        def of_charts() -> Sequence[str]:
            charts, jobs = _seen(watch, Kind.CHART), _seen(watch, Kind.JOB)
            return workloads.lacking_jobs(charts, jobs)

        def of_the_rest() -> Sequence[str]:
            kinds = _seen(watch, Kind.DEPLOYMENT), _seen(watch, Kind.DAEMONSET)
            return workloads.lacking_workloads(*kinds)

        await self._until_applied(context)
        await self._until_known(context, Kind.CHART, Kind.JOB)
        await self._until_none(context, of_charts)
        await self._until_known(context, Kind.DEPLOYMENT, Kind.DAEMONSET)
        await self._until_none(context, of_the_rest)

    async def _until_applied(self, context: Context) -> None:
        """Return when each manifest on the server's disk is an add-on that has been applied."""
        watch = context.watch
        await watch.until(
            lambda: workloads.staging_folder(_seen(watch, Kind.ADDON)) is not None,
            involved=self.involved,
            waiting=context.waiting("k3s to apply its manifests", self.involved),
        )
        folder = workloads.staging_folder(_seen(watch, Kind.ADDON)) or ""
        while True:
            files = await context.runtime.list_files(self.server, folder)
            names = workloads.addon_names(files)

            def lacking(names: frozenset[str] = names) -> Sequence[str]:
                return workloads.lacking_addons(names, _seen(watch, Kind.ADDON))

            with anyio.move_on_after(_LIST_AGAIN):
                await self._until_none(context, lacking)
                return

    async def _until_known(self, context: Context, *kinds: Kind) -> None:
        watch = context.watch
        for kind in kinds:
            watch.workloads(kind)  # all are asked for at once
        for kind in kinds:
            await watch.until(
                lambda kind=kind: watch.workloads(kind) is not None,  # type: ignore[misc]
                involved=self.involved,
                waiting=context.waiting(f"the list of {kind}s", self.involved),
            )

    async def _until_none(self, context: Context, lacking: Callable[[], Sequence[str]]) -> None:
        def waiting() -> None:
            troubles = workloads.pod_troubles(_seen(context.watch, Kind.POD))
            on = "; ".join((*_most(lacking()), *_most(troubles)))
            context.report.waiting(context.watch.with_trouble(on, self.involved))

        await context.watch.until(lambda: not lacking(), involved=self.involved, waiting=waiting)


def _most(found: Sequence[str]) -> Sequence[str]:
    more = [f"{len(found) - _MOST_TOLD} more"] if len(found) > _MOST_TOLD else []
    return (*found[:_MOST_TOLD], *more)


def _seen(watch: ClusterWatch, kind: Kind) -> Workloads:
    return watch.workloads(kind) or {}


def tasks(cluster: Cluster) -> Iterator[AwaitSystem]:
    """Yield the wait, if the level asks for it."""
    if cluster.wait is not WaitLevel.ALL:
        return
    nodes = (*cluster.servers, *cluster.agents)
    yield AwaitSystem(
        cluster=cluster.name,
        server=cluster.servers[0].name,
        involved=_node.way_to_api(cluster),
        # Not earlier: of what runs on every node there is one more with each node that comes.
        needs=frozenset(_ids.ready(node.name) for node in nodes),
    )
