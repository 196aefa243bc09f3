"""The kubeconfig: read from the init server, made the user's."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from k3dasync import kubeconfig
from k3dasync.cluster import KUBECONFIG_PATH, Cluster
from k3dasync.errors import NotFound
from k3dasync.graph import TaskId
from k3dasync.kubernetes import Credentials, credentials_of
from k3dasync.tasks import _ids
from k3dasync.tasks._context import ClusterTask, Context
from k3dasync.undo import RemoveKubeconfigEntries, Undo


async def read_kubeconfig(
    context: Context,
    server: str,
    involved: tuple[str, ...],
    *,
    on: str = "",
    pauses: Iterable[float] = (),
) -> bytes:
    """Return the file k3s writes; it appears about when the supervisor answers.

    Told that *on* is waited for, or else the file; the *pauses* between two looks as for a poll.
    Raises NodeCrashed if an *involved* node keeps exiting before.
    """
    content = b""

    async def is_there() -> bool:
        nonlocal content
        try:
            content = await context.runtime.read_file(server, KUBECONFIG_PATH)
        except NotFound:
            return False
        # k3s creates the file first and fills it then.
        return kubeconfig.is_complete(content)

    waiting = context.waiting(on or f"{KUBECONFIG_PATH} in {server}", involved)
    await context.watch.poll(is_there, involved=involved, waiting=waiting, eager=pauses)
    return content


async def read_credentials(context: Context, server: str, involved: tuple[str, ...]) -> Credentials:
    """Return the client certificate of the cluster's administrator."""
    content = await read_kubeconfig(context, server, involved)
    return credentials_of(kubeconfig.parse(content, server))


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeKubeconfig:
    """Put the cluster into the user's kubeconfig."""

    cluster: str
    server: str
    url: str
    path: str
    previous: str | None
    switch: bool
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.kubeconfig(self.cluster)

    @property
    def does(self) -> str:
        return f"merge into {self.path}" + (", switch context" if self.switch else "")

    @property
    def undo(self) -> Undo:
        return RemoveKubeconfigEntries(self.cluster, self.path, self.previous)

    async def run(self, context: Context) -> None:
        content = await read_kubeconfig(context, self.server, (self.server,))
        entries = kubeconfig.rewritten(
            kubeconfig.parse(content, self.server), cluster=self.cluster, url=self.url
        )
        kubeconfig.merge_into(self.path, entries, switch=self.switch)


def tasks(cluster: Cluster, target: kubeconfig.Target | None) -> Iterator[ClusterTask]:
    """Yield the merge, if the user's kubeconfig is to be changed."""
    if target is None:
        return
    first = cluster.servers[0].name
    yield MergeKubeconfig(
        cluster=cluster.name,
        server=first,
        url=cluster.api.url,
        path=target.path,
        previous=target.current_context,
        switch=target.switch,
        needs=frozenset({_ids.supervisor(first)}),
    )
