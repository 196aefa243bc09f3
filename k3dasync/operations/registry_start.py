"""Starting and stopping registries, several at once."""

from collections.abc import Sequence

from k3dasync.backend import Backend
from k3dasync.cluster import APP, LABEL_ROLE, Node, Registry, Role
from k3dasync.events import EventSink
from k3dasync.graph import Graph
from k3dasync.journal import cluster_lock, place_of
from k3dasync.operations import _registry_run
from k3dasync.operations._acting import acting, context_of
from k3dasync.operations._recall import container_spec
from k3dasync.operations._registries import registry_of
from k3dasync.operations._registry_look import find_registries
from k3dasync.operations._run import Stop
from k3dasync.operations._several import Ends, each, merged
from k3dasync.operations.registry_create import watch_of_registry
from k3dasync.runtime import ContainerDetail, EngineFacts, Status
from k3dasync.tasks import ClusterTask, TaskReport, halt
from k3dasync.tasks import registry as tasks

SECONDS = 60.0
"""For a registry that is there to answer again. It is up in one second; a cache that is told to
look for its source first, in a few."""
_STILL = frozenset({Status.CREATED, Status.EXITED, Status.DEAD})


async def start(
    names: Sequence[str],
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Ends:
    """Start these registries, and return when each answers where it is published.

    Raises RegistryNotFound before anything is started; what a run raises if one does not answer.
    """
    facts = await backend.runtime.facts()
    found = await find_registries(names, backend.runtime)

    async def start_one(name: str) -> bool:
        with cluster_lock(place_of("registry", name), facts.id):
            await _start(name, backend=backend, facts=facts, sinks=sinks)
        return True

    asked = [one.name for one in found]
    ends = await each(asked, start_one, stop=stop or Stop(), undone="not started")
    if ends.failures:
        raise merged(ends.failures)
    return ends


async def stop_registries(
    names: Sequence[str],
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Ends:
    """Stop these registries; say which were stopped, and which did not run.

    Raises RegistryNotFound before anything is stopped, TaskFailed if one still runs.
    """
    facts = await backend.runtime.facts()
    found = {one.name: one for one in await find_registries(names, backend.runtime)}

    async def stop_one(name: str) -> bool:
        if found[name].status in _STILL:
            return False
        with cluster_lock(place_of("registry", name), facts.id):
            await _stop(name, backend=backend, facts=facts, sinks=sinks)
        return True

    ends = await each(list(found), stop_one, stop=stop or Stop(), undone="not stopped")
    if ends.failures:
        raise merged(ends.failures)
    return ends


async def _start(
    name: str, *, backend: Backend, facts: EngineFacts, sinks: Sequence[EventSink]
) -> None:
    detail = await backend.runtime.inspect_container(name)
    registry = registry_of(detail, facts)
    watch = watch_of_registry(
        registry, backend, labels={**APP, LABEL_ROLE: Role.REGISTRY}, before=(detail,)
    )

    await _registry_run.perform(
        "registry-start",
        name,
        _starts(detail, registry),
        acting(context_of(watch, backend)),
        backend=backend,
        facts=facts,
        sinks=sinks,
        seconds=SECONDS,
        beside=watch.follow,
        finish=watch.raise_if_any_lost,
    )


def _starts(detail: ContainerDetail, registry: Registry) -> Graph[ClusterTask]:
    return tasks.starts(_node(detail), registry, is_paused=detail.state.status is Status.PAUSED)


async def _stop(
    name: str, *, backend: Backend, facts: EngineFacts, sinks: Sequence[EventSink]
) -> None:
    node = _node(await backend.runtime.inspect_container(name))

    async def act(task: halt.Halt, _report: TaskReport) -> None:
        await task.run(backend.runtime)

    graph = halt.stops([node], is_drained=False)
    await _registry_run.perform(
        "registry-stop", name, graph, act, backend=backend, facts=facts, sinks=sinks
    )


def _node(detail: ContainerDetail) -> Node:
    network = next(iter(detail.state.addresses), "")
    return Node(
        name=detail.state.name,
        role=Role.REGISTRY,
        is_init=False,
        container=container_spec(detail, network),
    )
