"""Taking a new node out of a cluster that lives on, container and all."""

from collections.abc import Mapping

from k3dasync.backend import Backend
from k3dasync.errors import NotFound
from k3dasync.etcd import EtcdRefused, joining_member
from k3dasync.runtime import Runtime, Status
from k3dasync.tasks.leave import forget, leave_etcd
from k3dasync.undo import ForgetNode

ALIVE_SECONDS = 45.0
"""For a server that keeps crashing to be taken out of an etcd that cannot do without it: both must
be up at once for a second or two, and each of its lives is a chance."""


async def take_out(undo: ForgetNode, backend: Backend, labels: Mapping[str, str]) -> None:
    """Remove a node with its member of etcd, its Node object and its password.

    Of two members none can go when one is dead: then the member goes first, and if it cannot, the
    container stays, as without it the cluster were lost. Else the container goes first, since etcd
    lets the dead go at once, and it cannot come back meanwhile.

    Raises EtcdRefused, KubernetesError or EngineError if it is not all done.
    """
    runtime, name = backend.runtime, undo.name
    if undo.is_server and await _is_needed(undo, backend):

        async def awaken() -> None:
            await _awaken(name, runtime)

        await leave_etcd(
            backend.etcd,
            undo.servers,
            name,
            may_be_new=True,
            seconds=ALIVE_SECONDS,
            before=awaken,
        )
    await runtime.remove_container(name, labels)
    if undo.is_server:
        await leave_etcd(backend.etcd, undo.servers, name, may_be_new=True)
    await forget(
        [name],
        undo.servers,
        host=undo.host,
        port=undo.port,
        runtime=runtime,
        kubernetes=backend.kubernetes,
    )


async def _is_needed(undo: ForgetNode, backend: Backend) -> bool:
    """Say whether etcd would have no quorum without that node; one that is no member is not.

    A learner counts as what it is about to be: k3s may promote it at any moment.
    """
    for server in undo.servers:
        try:
            async with backend.etcd(server) as etcd:
                members = await etcd.members()
        except EtcdRefused:
            continue
        own = joining_member(members, undo.name)
        others = [one for one in members if one != own and not one.is_learner]
        return own is not None and 2 * len(undo.servers) <= len(others) + 1
    return False


async def _awaken(name: str, runtime: Runtime) -> None:
    """Start a container at once that would be started again in a while only."""
    try:
        if (await runtime.inspect_container(name)).state.status is not Status.RUNNING:
            await runtime.stop_container(name, grace=0)
            await runtime.start_container(name)
    except NotFound:
        return
