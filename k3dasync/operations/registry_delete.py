"""Deleting registries, several at once: the container, and what it kept unless that has a name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from k3dasync.backend import Backend
from k3dasync.cluster import APP, LABEL_NETWORK, LABEL_ROLE, Role
from k3dasync.errors import NotFound
from k3dasync.events import EventSink
from k3dasync.grammar.names import with_prefix
from k3dasync.graph import Graph
from k3dasync.journal import cluster_lock, place_of
from k3dasync.operations import _registry_run
from k3dasync.operations._existing import existing_clusters
from k3dasync.operations._recover import recover
from k3dasync.operations._registry_look import present_registries
from k3dasync.operations._run import Stop
from k3dasync.operations._several import each, merged
from k3dasync.runtime import ContainerDetail, ContainerState, EngineFacts, EngineReader
from k3dasync.tasks import TaskReport
from k3dasync.tasks.removal import Removal

DATA = "/var/lib/registry"
"""Where a registry's image keeps what it is given: it declares a volume there."""
_LABELS = {**APP, LABEL_ROLE: Role.REGISTRY.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What became of registries; `kept` is where the content of some is now: name → volume."""

    deleted: tuple[str, ...]
    absent: tuple[str, ...]
    kept: Mapping[str, str]


async def delete(
    names: Sequence[str] | None,
    *,
    keeps_volume: bool = False,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Deleted:
    """Delete these registries, or all with None; what is not there is no error.

    A volume with a name always stays, others with *keeps_volume*. It leaves every network; nodes
    that use it are not told, and a warning names their clusters.

    Raises RegistryNotFound, before anything is deleted, if one is something else; TaskFailed or
    SeveralFailed if one is still there.
    """
    runtime = backend.runtime
    facts = await runtime.facts()
    found, absent = await present_registries(names, runtime)
    users = await _users(found, runtime)
    kept: dict[str, str] = {}

    async def delete_one(name: str) -> bool:
        place = place_of("registry", name)
        with cluster_lock(place, facts.id):
            cut = await recover(place, backend=backend, facts=facts, also_kept=True)
            detail = await _inspected(name, runtime)
            if detail is None:
                return bool(cut.runs)
            if keeps_volume and (volume := detail.volumes.get(DATA)):
                kept[name] = volume
            await _remove(
                name,
                users.get(name, ()),
                keeps_volume=keeps_volume,
                backend=backend,
                facts=facts,
                sinks=sinks,
            )
            return True

    asked = [*(one.name for one in found), *map(with_prefix, absent)]
    ends = await each(asked, delete_one, stop=stop or Stop(), undone="not deleted")
    if ends.failures:
        raise merged(ends.failures)
    return Deleted(deleted=tuple(ends.done), absent=tuple(ends.absent), kept=kept)


async def _remove(
    name: str,
    users: Sequence[str],
    *,
    keeps_volume: bool,
    backend: Backend,
    facts: EngineFacts,
    sinks: Sequence[EventSink],
) -> None:
    gone = Removal(
        kind="container", name=name, labels=tuple(_LABELS.items()), keeps_volumes=keeps_volume
    )

    async def act(task: Removal, _report: TaskReport) -> None:
        await task.run(backend.runtime)

    told = [f"nodes of cluster {one} are not told that {name} is gone" for one in users]
    await _registry_run.perform(
        "registry-delete",
        name,
        Graph([gone]),
        act,
        backend=backend,
        facts=facts,
        sinks=sinks,
        told=told,
    )


async def _users(
    registries: Sequence[ContainerState], runtime: EngineReader
) -> dict[str, tuple[str, ...]]:
    """Return the clusters whose network each of the registries is in."""
    clusters = (await existing_clusters(runtime)).values()
    return {
        one.name: tuple(
            each.name
            for each in clusters
            if each.nodes and each.label(LABEL_NETWORK) in one.addresses
        )
        for one in registries
    }


async def _inspected(name: str, runtime: EngineReader) -> ContainerDetail | None:
    try:
        return await runtime.inspect_container(name)
    except NotFound:
        return None
