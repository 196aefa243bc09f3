"""Creating a registry by itself: as one that is made with a cluster, and taken back if it fails."""

from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from k3dasync import events
from k3dasync.backend import Backend
from k3dasync.cluster import LABEL_ROLE, LABEL_RUN, Registry, Role
from k3dasync.errors import (
    ClaimLost,
    Interrupted,
    K3dAsyncError,
    NameTaken,
    NotFound,
    PortTaken,
    RollbackIncomplete,
    TaskFailed,
)
from k3dasync.events import EventSink
from k3dasync.graph import Graph
from k3dasync.journal import cluster_lock, place_of
from k3dasync.operations._acting import acting, context_of
from k3dasync.operations._backward import take_back
from k3dasync.operations._choose import registry_choice, registry_ip
from k3dasync.operations._deadline import deadline_exceeded
from k3dasync.operations._forward import Cut, Forward, planned
from k3dasync.operations._observe import World, observe
from k3dasync.operations._recover import recover, rollback_command
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.resolve import lone_registry, mounted_volumes
from k3dasync.runtime import ContainerDetail, EngineFacts
from k3dasync.spec import RegistrySpec
from k3dasync.tasks import ClusterTask
from k3dasync.tasks import registry as tasks
from k3dasync.watch import ClusterWatch

DEADLINE = 300.0
"""Seconds for all of it: an image of 10 MB and a process that is up in one. What takes longer is a
line on which the pull would not end either, or a cache that does not reach what it caches."""
MOST_PLANS = 12
"""Lost claims in one run, as of a cluster's create: more than that is a fault, not a race."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoneRegistry:
    """A registry to be made in a network that is there."""

    name: str
    spec: RegistrySpec
    network: str


async def create(
    asked: LoneRegistry,
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Registry:
    """Create a registry, and return it when it answers where it is published.

    Raises NameTaken, NotFound (there is no such network), SpecError or ClusterBusy before anything
    is made; TaskFailed, DeadlineExceeded or Interrupted after it was taken back.
    """
    place, runtime = place_of("registry", asked.name), backend.runtime
    facts = await runtime.facts()
    with cluster_lock(place, facts.id):
        await recover(place, backend=backend, facts=facts, also_kept=True)
        run = Run(
            id=new_run_id(),
            operation="registry-create",
            cluster=None,
            facts=facts,
            k3s="",
            sinks=sinks,
            is_rehearsal=backend.is_rehearsal,
            place=place,
        )
        try:
            return await _Create(asked, backend, facts, run).perform(stop or Stop())
        finally:
            run.close()


class _Create:
    """One create, from the first look at the engine to the last line of its log."""

    def __init__(self, asked: LoneRegistry, backend: Backend, facts: EngineFacts, run: Run) -> None:
        self._asked, self._backend, self._facts, self._run = asked, backend, facts, run
        self._cut: list[Cut] = []

    async def perform(self, stop: Stop) -> Registry:
        made: Registry | None = None
        failure: K3dAsyncError | None = None
        deadline = anyio.CancelScope()
        try:
            with stop.scope(), anyio.move_on_after(DEADLINE) as deadline:
                made = await self._forward()
        except K3dAsyncError as error:
            failure = error
        except BaseException:
            await self._give_up(Interrupted("cancelled from outside"))
            raise
        if made is not None:
            return made
        if failure is None and deadline.cancelled_caught:
            failure = deadline_exceeded(DEADLINE, self._cut)
        raise await self._give_up(failure or Interrupted(stop.because or "stopped"))

    async def _forward(self) -> Registry:
        """Plan and walk until a plan is through or cannot be improved."""
        refused, because = frozenset[int](), ""
        for attempt in range(1, MOST_PLANS + 1):
            registry, graph = await self._decide(refused)
            plan = planned(graph)
            if attempt == 1:
                self._run.start(plan)
            else:
                self._run.replan(plan, because=because, attempt=attempt)
            try:
                await self._walk(registry, graph)
            except TaskFailed as error:
                is_ours = isinstance(error.cause, PortTaken) and self._chooses_port
                if not is_ours or attempt == MOST_PLANS:
                    raise
                refused, because = refused | {registry.host_port}, str(error.cause)
                if left := await self._take_back():
                    raise RollbackIncomplete(left, self._command) from error
            else:
                self._succeed(registry)
                return registry
        raise AssertionError("the last attempt returns or raises")

    @property
    def _chooses_port(self) -> bool:
        return self._asked.spec.exposure.port is None

    @property
    def _command(self) -> str:
        return rollback_command(place_of("registry", self._asked.name))

    async def _decide(self, refused: frozenset[int]) -> tuple[Registry, Graph[ClusterTask]]:
        asked = self._asked
        world = await observe(self._backend.runtime, self._facts)
        _refuse(asked, world)
        choice = registry_choice(
            asked.spec, asked.name, world, await registry_ip(asked.spec, world), refused
        )
        node = lone_registry(asked.spec, choice, network=asked.network, run=self._run.id)
        present = {volume.name for volume in world.volumes}
        volumes = tuple(mounted_volumes(asked.spec.volumes, self._run.id, present))
        graph = tasks.alone(node, choice.registry, volumes, self._run.id)
        return choice.registry, graph

    async def _walk(self, registry: Registry, graph: Graph[ClusterTask]) -> None:
        proxy = self._asked.spec.proxy
        watch = watch_of_registry(
            registry,
            self._backend,
            labels={LABEL_RUN: self._run.id},
            secrets=(proxy.password,) if proxy and proxy.password else (),
        )

        forward = Forward(graph, acting(context_of(watch, self._backend)), self._run.emitter)
        try:
            await forward.walk(beside=watch.follow)
            watch.raise_if_any_lost()
        finally:
            self._cut = forward.cut

    def _succeed(self, registry: Registry) -> None:
        emitter = self._run.emitter
        emitter.emit(
            events.RunDone,
            seconds=round(emitter.now(), 6),
            critical_path=self._run.critical_path,
            outputs=events.Outputs(
                api="",
                context="",
                kubeconfig=None,
                nodes=(registry.name,),
                registry=registry.published,
            ),
        )

    async def _take_back(self) -> tuple[str, ...]:
        run = self._run
        return await take_back(run.plan, run.pending, backend=self._backend, emitter=run.emitter)

    async def _give_up(self, failure: K3dAsyncError) -> K3dAsyncError:
        """Take everything back, write the last line, and return the error to be raised."""
        run = self._run
        if not run.has_started:
            return failure
        left = await self._take_back()
        run.emitter.emit(
            events.RunFailed,
            seconds=round(run.emitter.now(), 6),
            code=failure.code,
            cause=str(failure),
            rolled_back=True,
            critical_path=run.critical_path,
            left=left,
            hint=failure.hint,
            log=failure.log,
        )
        if left:
            incomplete = RollbackIncomplete(left, self._command)
            incomplete.__cause__ = failure
            return incomplete
        is_named = isinstance(failure, TaskFailed) and isinstance(failure.cause, ClaimLost)
        if is_named and not self._chooses_port:
            failure.add_note("that host port was asked for: free it, or name another one")
        failure.add_note("rolled back: nothing of this run is left")
        return failure


def _refuse(asked: LoneRegistry, world: World) -> None:
    """Raise NameTaken if the container's name is not free, NotFound if the network is not there."""
    taken = next((one for one in world.containers if one.name == asked.name), None)
    if taken is not None:
        is_registry = taken.labels.get(LABEL_ROLE) == Role.REGISTRY
        raise NameTaken(
            "registry", asked.name, "one that is there already" if is_registry else "a container"
        )
    if world.network(asked.network) is None:
        words = "there is no such network"
        hint = "name one with --default-network; see: docker network ls"
        raise NotFound("use", f"network {asked.network}", words, hint=hint)


def watch_of_registry(
    registry: Registry,
    backend: Backend,
    *,
    labels: dict[str, str],
    before: Sequence[ContainerDetail] = (),
    secrets: Sequence[str] = (),
) -> ClusterWatch:
    """Return what follows a registry's container, as a node's."""
    return ClusterWatch(
        runtime=backend.runtime,
        kubernetes=backend.kubernetes,
        host=registry.connect_host,
        port=registry.host_port,
        labels=labels,
        before=before,
        secrets=secrets,
    )
