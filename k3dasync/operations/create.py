"""Creating a cluster: observe, decide, claim, walk; and take everything back if it fails."""

import secrets
import string
from collections.abc import Sequence
from pathlib import Path

import anyio
import msgspec

from k3dasync import channels, events, kubeconfig
from k3dasync.backend import Backend
from k3dasync.cluster import LABEL_RUN, Cluster, k3s_version
from k3dasync.errors import (
    ClaimLost,
    EngineUnavailable,
    Interrupted,
    K3dAsyncError,
    PortTaken,
    RollbackIncomplete,
    TaskFailed,
)
from k3dasync.events import EventSink, Outputs
from k3dasync.images import is_channel
from k3dasync.journal import cluster_lock
from k3dasync.node_files import with_contents
from k3dasync.operations._acting import acting, context_of
from k3dasync.operations._backward import remaining, take_back
from k3dasync.operations._choose import Refused, chosen_ports
from k3dasync.operations._datastore import read_files
from k3dasync.operations._deadline import deadline_exceeded
from k3dasync.operations._decide import Decision, decide, neighbours
from k3dasync.operations._forward import Cut, Forward
from k3dasync.operations._observe import World, observe, refuse_if_taken
from k3dasync.operations._ports import refuse_ports_in_use
from k3dasync.operations._recover import Recovered, recover, rollback_command
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations._warnings import warnings
from k3dasync.operations.doctor import warnings_of_host
from k3dasync.runtime import EngineFacts
from k3dasync.spec import ClusterSpec, check
from k3dasync.watch import ClusterWatch

MOST_PLANS = 12
"""Lost claims in one run. Each costs an undo; with a dozen tools racing for the same subnets and
ports every one of them still gets its own, and more than that is a fault, not a race."""
TOKEN_LENGTH = 20
"""k3d's; 114 bits."""


def new_token() -> str:
    """Return a cluster token of letters, as k3d's are, but not to be guessed."""
    return "".join(secrets.choice(string.ascii_letters) for _ in range(TOKEN_LENGTH))


def kubeconfig_target(spec: ClusterSpec, backend: Backend) -> kubeconfig.Target | None:
    """Return the file to merge into; raises KubeconfigError now rather than after minutes."""
    if not spec.kubeconfig_update_default or backend.is_rehearsal:
        return None
    return kubeconfig.target(spec.name, switch=spec.kubeconfig_switch_context)


async def _with_version(spec: ClusterSpec) -> ClusterSpec:
    """Return the spec with an image where it named a channel of releases."""
    if not is_channel(spec.image):
        return spec
    return msgspec.structs.replace(spec, image=await channels.image_of(spec.image))


async def plan(spec: ClusterSpec, *, backend: Backend) -> Decision:
    """Return what a create would do now; touches nothing.

    Raises ClusterExists, NameTaken or PortTaken if it would refuse.
    """
    spec = await _with_version(with_contents(check(spec)))
    world = await observe(backend.runtime, await backend.runtime.facts())
    refuse_if_taken(world, spec)
    decision = await decide(
        spec,
        world=world,
        beside=await neighbours(spec, world, backend.runtime),
        run="planned",
        token=spec.token or new_token(),
        target=kubeconfig_target(spec, backend),
        refused=Refused(),
        datastore_files=read_files(spec.datastore),
    )
    await _refuse_ports(decision, spec, world, backend)
    return decision


async def _refuse_ports(
    decision: Decision, spec: ClusterSpec, world: World, backend: Backend
) -> None:
    await refuse_ports_in_use(
        decision.cluster,
        world,
        backend.runtime,
        chosen=frozenset(chosen_ports(spec, decision.cluster)),
        probes=world.facts.is_local and not backend.is_rehearsal,
    )


async def create(
    spec: ClusterSpec,
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Outputs:
    """Create a cluster and return how to use it.

    When this raises, everything the run made is gone again (unless the spec says to keep it),
    or RollbackIncomplete names what is left.

    Raises ClusterExists, NameTaken, PortTaken, ClusterBusy or SpecError before anything is made;
    TaskFailed, DeadlineExceeded or Interrupted after it was taken back.
    """
    spec = await _with_version(with_contents(check(spec)))
    stop = stop or Stop()
    target = kubeconfig_target(spec, backend)
    if target is not None:
        kubeconfig.refuse_if_not_writable(Path(target.path))
    facts = await backend.runtime.facts()
    with cluster_lock(spec.name, facts.id):
        dead = await recover(spec.name, backend=backend, facts=facts, also_kept=False)
        run = Run(
            id=new_run_id(),
            operation="create",
            cluster=spec.name,
            facts=facts,
            k3s=k3s_version(spec.image),
            sinks=sinks,
            is_rehearsal=backend.is_rehearsal,
        )
        try:
            one = _Create(spec, backend, facts, run, target, recovered=dead)
            return await one.perform(stop)
        finally:
            run.close()


class _Create:
    """One create, from the first look at the engine to the last line of its log."""

    def __init__(
        self,
        spec: ClusterSpec,
        backend: Backend,
        facts: EngineFacts,
        run: Run,
        target: kubeconfig.Target | None,
        *,
        recovered: Recovered,
    ) -> None:
        self._spec, self._backend, self._facts = spec, backend, facts
        self._run, self._target, self._recovered = run, target, recovered
        self._token = spec.token or new_token()
        # Once, whatever is planned how often: what is given as a pipe can be read but once.
        self._datastore_files = read_files(spec.datastore)
        self._cut: list[Cut] = []
        self._of_host: tuple[str, ...] = ()

    async def perform(self, stop: Stop) -> Outputs:
        outputs: Outputs | None = None
        failure: K3dAsyncError | None = None
        deadline = anyio.CancelScope()
        try:
            with stop.scope(), anyio.move_on_after(self._spec.timeout) as deadline:
                outputs = await self._forward()
        except K3dAsyncError as error:
            failure = error
        except BaseException:
            await self._give_up(Interrupted("cancelled from outside"))
            raise
        if outputs is not None:
            return outputs
        if failure is None:
            if deadline.cancelled_caught:
                failure = deadline_exceeded(self._spec.timeout, self._cut)
            else:
                failure = Interrupted(stop.because or "stopped")
        raise await self._give_up(failure)

    async def _forward(self) -> Outputs:
        """Plan and walk until a plan is through or cannot be improved."""
        refused, because = Refused(), ""
        for attempt in range(1, MOST_PLANS + 1):
            decision = await self._decide(refused)
            self._announce(decision, because, attempt)
            try:
                await self._walk(decision)
            except TaskFailed as error:
                if not isinstance(error.cause, ClaimLost) or attempt == MOST_PLANS:
                    raise
                again = refused.after(error.cause, self._spec, decision.cluster)
                if again is None:
                    if isinstance(error.cause, PortTaken):
                        error.add_note("that host port was asked for: free it, or name another one")
                    raise
                refused, because = again, str(error.cause)
                await self._undo_plan()
            else:
                return self._succeed(decision.cluster)
        raise AssertionError("the last attempt returns or raises")

    async def _decide(self, refused: Refused) -> Decision:
        world = await observe(self._backend.runtime, self._facts)
        refuse_if_taken(world, self._spec)
        if refused == Refused():  # once: the first plan is announced with it
            self._of_host = await warnings_of_host(self._spec, world, self._backend)
        decision = await decide(
            self._spec,
            world=world,
            beside=await neighbours(self._spec, world, self._backend.runtime),
            run=self._run.id,
            token=self._token,
            target=self._target,
            refused=refused,
            datastore_files=self._datastore_files,
        )
        await _refuse_ports(decision, self._spec, world, self._backend)
        return decision

    def _announce(self, decision: Decision, because: str, attempt: int) -> None:
        plan = decision.plan
        if attempt == 1:
            self._run.start(plan)
        else:
            self._run.replan(plan, because=because, attempt=attempt)
        if self._recovered.runs and attempt == 1:
            but = "".join(f", but for {text}" for text in self._recovered.entries)
            self._run.emitter.emit(
                events.Warned,
                text=f"an earlier run of this cluster was cut; what it had made is removed{but}",
            )
        of_host = self._of_host if attempt == 1 else ()
        for text in (*warnings(decision.cluster), *of_host):
            self._run.emitter.emit(events.Warned, text=text)

    async def _walk(self, decision: Decision) -> None:
        cluster, backend = decision.cluster, self._backend
        watch = ClusterWatch(
            runtime=backend.runtime,
            kubernetes=backend.kubernetes,
            host=cluster.api.connect_host,
            port=cluster.api.port,
            labels={LABEL_RUN: self._run.id},
            first=cluster.servers[0].name,
            joiners=[node.name for node in cluster.servers[1:]],
            agents=[node.name for node in cluster.agents],
            secrets=cluster.secrets,
        )

        forward = Forward(decision.graph, acting(context_of(watch, backend)), self._run.emitter)
        try:
            await forward.walk(beside=watch.follow)
            watch.raise_if_any_lost()
        finally:
            self._cut = forward.cut

    async def _undo_plan(self) -> None:
        left = await take_back(
            self._run.plan,
            self._run.pending,
            backend=self._backend,
            emitter=self._run.emitter,
        )
        if left:
            raise RollbackIncomplete(left, rollback_command(self._spec.name))

    def _succeed(self, cluster: Cluster) -> Outputs:
        outputs = Outputs(
            api=cluster.api.url,
            context=cluster.context,
            kubeconfig=self._target.path if self._target else None,
            nodes=tuple(node.name for node in cluster.nodes),
            registry=cluster.made_registry.published if cluster.made_registry else None,
        )
        emitter = self._run.emitter
        emitter.emit(
            events.RunDone,
            seconds=round(emitter.now(), 6),
            critical_path=self._run.critical_path,
            outputs=outputs,
        )
        return outputs

    async def _give_up(self, failure: K3dAsyncError) -> K3dAsyncError:
        """Take everything back, write the last line, and return the error to be raised."""
        run, emitter = self._run, self._run.emitter
        if not run.has_started:
            return failure
        left: tuple[str, ...]
        if self._spec.rollback:
            left = await take_back(run.plan, run.pending, backend=self._backend, emitter=emitter)
        else:
            left = await self._kept()
        emitter.emit(
            events.RunFailed,
            seconds=round(emitter.now(), 6),
            code=failure.code,
            cause=str(failure),
            rolled_back=self._spec.rollback,
            critical_path=run.critical_path,
            left=left,
            hint=failure.hint,
            log=failure.log,
        )
        command = rollback_command(self._spec.name)
        if self._backend.is_rehearsal:
            failure.add_note("a rehearsal: nothing was made")
        elif not self._spec.rollback:
            failure.add_note(f"everything is kept as it is; remove it with: {command}")
        elif left and failure.exit_code == EngineUnavailable.exit_code:
            # That is why it is left, and what is to be mended first.
            failure.add_note(f"left behind: {', '.join(left)}; finish with: {command}")
        elif left:
            incomplete = RollbackIncomplete(left, command)
            incomplete.__cause__ = failure
            return incomplete
        else:
            failure.add_note("rolled back: nothing of this run is left")
        return failure

    async def _kept(self) -> tuple[str, ...]:
        with anyio.move_on_after(10, shield=True):  # three listings, of milliseconds each
            return await remaining(self._backend.runtime, {LABEL_RUN: self._run.id})
        return ()
