"""A load balancer that is replaced by one with other ports, in the time that a network call takes.

The new one is made, started and seen to listen while it is in no network: it holds no address and
no host port then, both of which the old one has. They change hands by one disconnect and one
connect; the old one runs on, out of reach, until the new one is seen to serve.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import anyio

from k3dasync import listening, pauses
from k3dasync.cluster import LABEL_CLUSTER, ApiChoice
from k3dasync.errors import Conflict, EngineError, K3dAsyncError, NotFound
from k3dasync.graph import Graph, TaskId
from k3dasync.kubernetes import KubernetesConnect
from k3dasync.life_errors import BalancerFailed
from k3dasync.runtime import ContainerSpec, File, PortBinding, Runtime, Status
from k3dasync.tasks import _ids
from k3dasync.tasks._context import TaskReport
from k3dasync.tasks.taking import takes
from k3dasync.undo import NOTHING, Place, RestoreContainer, Undo

LISTEN_SECONDS = 30.0
"""Until it listens. nginx does 0.1 s after its start; k3d's image writes its configuration three
times with pauses of 2 s before it starts nginx, and cores may be busy."""
SERVE_SECONDS = 20.0
"""Until the API answers through it, which it did a moment before through the old one. All this time
nobody else can reach the cluster either."""
DISCARD_SECONDS = 60.0
"""For a removal, as for an undo: it takes 0.2 s alone and 5 s among 14 on two cores."""
TAIL = 10
"""Log lines in the error; nginx says in one why it will not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacing:
    """What these tasks may touch, and the voice of one of them."""

    runtime: Runtime
    kubernetes: KubernetesConnect
    report: TaskReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """A load balancer that is to be, and the one which is: `kept` is what that is called meanwhile.

    `places` are the networks of both, the cluster's first. `listens`: ports and protocols that the
    new one has to listen on. `starts`: the old one runs. `answers`: the API was seen to answer.
    `files` are right at last; `first_files` are right while it is in no network yet, and lead to
    these addresses, the `first_targets`, if they are not the same.
    """

    cluster: str
    spec: ContainerSpec
    kept: str
    places: tuple[Place, ...]
    starts: bool
    answers: bool
    api: ApiChoice
    listens: frozenset[tuple[int, str]]
    files: tuple[File, ...]
    first_files: tuple[File, ...]
    first_targets: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of both, one after the other."""
        return self.spec.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Rename the old one, so that the new one can have its name: it serves on."""

    to: Replacement
    needs: frozenset[TaskId] = frozenset()

    @property
    def id(self) -> TaskId:
        return _ids.keep(self.to.name)

    @property
    def does(self) -> str:
        return f"keep the old one as {self.to.kept}"

    @property
    def undo(self) -> Undo:
        to = self.to
        return RestoreContainer(name=to.name, kept=to.kept, places=to.places, is_running=to.starts)

    async def run(self, context: Replacing) -> None:
        await context.runtime.rename_container(self.to.name, self.to.kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """Create the new one; if it is to take over from one that runs, in no network yet."""

    to: Replacement
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.container(self.to.name)

    @property
    def does(self) -> str:
        return "create a new one" + (", in no network yet" if self.to.starts else "")

    @property
    def undo(self) -> Undo:
        return NOTHING  # goes when the old one is put back

    async def run(self, context: Replacing) -> None:
        to, runtime = self.to, context.runtime
        if to.starts:
            # By its name: one that is made in a network by id cannot leave that before its first
            # start (20.10).
            await runtime.create_container(replace(to.spec, files=to.first_files))
            if not await runtime.disconnect_network(to.name, to.places[0].network, {}):
                words = "it is in it still"
                raise EngineError("disconnect", f"container {to.name}", words)
            return
        place, *others = to.places
        spec = replace(to.spec, network=place.network, address=place.address, files=to.files)
        await runtime.create_container(spec)
        for place in others:
            await runtime.connect_network(to.name, place.network, address=place.address, labels={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start the new one and wait until it listens on every port, out of reach as it is."""

    to: Replacement
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.start(self.to.name)

    @property
    def does(self) -> str:
        return "start it, until it listens"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Replacing) -> None:
        name, wanted = self.to.name, self.to.listens
        missing = wanted

        async def listens() -> bool:
            nonlocal missing
            missing = wanted - await _sockets(context.runtime, name)
            return not missing

        await context.runtime.start_container(name)
        context.report.waiting(f"{name} to listen")
        if not await _until(listens, LISTEN_SECONDS):
            ports = ", ".join(f"{port}/{protocol}" for port, protocol in sorted(missing))
            why = f"it does not listen on {ports} after {LISTEN_SECONDS:g} s"
            raise BalancerFailed(name, why, await context.runtime.logs(name, tail=TAIL))


async def _sockets(runtime: Runtime, name: str) -> frozenset[tuple[int, str]]:
    """Return what it listens on; raises BalancerFailed if its process has ended."""
    try:
        done = await runtime.execute(name, listening.COMMAND)
    except Conflict:
        done = None
    found = await runtime.inspect_container(name)
    if done is None or found.restarts or found.state.status is not Status.RUNNING:
        why = f"it has exited with code {found.exit_code}"
        raise BalancerFailed(name, why, await runtime.logs(name, tail=TAIL))
    return listening.sockets(done.out)


async def _until(probe: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Say whether *probe* has said yes within that time; for what can only be asked."""
    with anyio.move_on_after(seconds):
        for pause in pauses.growing():
            if await probe():
                return True
            await anyio.sleep(pause)
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Take the old one out of its networks and the new one in: with them go the host ports."""

    to: Replacement
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.swap(self.to.name)

    @property
    def does(self) -> str:
        first = self.to.places[0]
        return "give it the networks and ports" + (
            f", address {first.address}" if first.address else ""
        )

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Replacing) -> None:
        to, runtime = self.to, context.runtime
        for place in to.places:
            await runtime.disconnect_network(to.kept, place.network, {})
        for place in to.places:
            await runtime.connect_network(to.name, place.network, address=place.address, labels={})
        await self._refuse_if_not_published(runtime)

    async def _refuse_if_not_published(self, runtime: Runtime) -> None:
        bound = (await runtime.inspect_container(self.to.name)).state.bound_ports
        missing = [one for one in self.to.spec.ports if _is_certain(one) - {*bound}]
        if missing:
            ports = ", ".join(one.host_ports for one in missing)
            raise EngineError("publish", f"ports {ports}", "the engine has not bound them")


def _is_certain(one: PortBinding) -> frozenset[int]:
    """Return the host port that must be bound, nothing where the engine chooses."""
    return frozenset({one.host_port} if one.host_port and not one.last_host_port else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Write names where addresses stood as long as names could not be resolved.

    For k3d's own image, which resolves them when it reads them: an address that the engine chose
    can be another node's after a restart.
    """

    to: Replacement
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.balance(self.to.name)

    @property
    def does(self) -> str:
        return "let it go by names"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Replacing) -> None:
        name, runtime = self.to.name, context.runtime
        before = [f" {address}:".encode() for address in self.to.first_targets]

        def is_taken(found: bytes) -> bool:
            return not any(address in found for address in before)

        await runtime.write_files(name, self.to.files)
        context.report.waiting(f"{name} to take its configuration")
        if not await takes(runtime, name, is_taken, seconds=LISTEN_SECONDS):
            why = f"it has not taken its configuration after {LISTEN_SECONDS:g} s"
            raise BalancerFailed(name, why, await runtime.logs(name, tail=TAIL))


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve:
    """Wait until the API answers through the new one, at the port that is published."""

    to: Replacement
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.serve(self.to.name)

    @property
    def does(self) -> str:
        return f"wait until the API answers at {self.to.api.url}"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Replacing) -> None:
        api = self.to.api
        context.report.waiting(f"{api.url}/cacerts")
        async with context.kubernetes(api.connect_host, api.port, None) as kubernetes:
            if not await _until(kubernetes.supervisor_answers, SERVE_SECONDS):
                why = f"nothing answers at {api.url} after {SERVE_SECONDS:g} s"
                log = await context.runtime.logs(self.to.name, tail=TAIL)
                raise BalancerFailed(self.to.name, why, log)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """Remove the old one: from here on there is no way back."""

    to: Replacement
    needs: frozenset[TaskId]

    @property
    def id(self) -> TaskId:
        return _ids.remove("container", self.to.kept)

    @property
    def does(self) -> str:
        return "remove the old one"

    @property
    def undo(self) -> Undo:
        return NOTHING

    async def run(self, context: Replacing) -> None:
        kept, runtime = self.to.kept, context.runtime
        # Half removed it is of no use to anybody: so this is not stopped.
        with anyio.move_on_after(DISCARD_SECONDS, shield=True):
            try:
                await runtime.remove_container(kept, {LABEL_CLUSTER: self.to.cluster})
            except K3dAsyncError:
                if await _is_there(runtime, kept):
                    raise
            return
        raise EngineError("remove", f"container {kept}", f"not done after {DISCARD_SECONDS:g} s")


async def _is_there(runtime: Runtime, name: str) -> bool:
    try:
        await runtime.inspect_container(name)
    except NotFound:
        return False
    except K3dAsyncError:
        pass  # nobody knows
    return True


Step = Keep | Make | Start | Swap | Settle | Serve | Discard


def plan(to: Replacement) -> Graph[Step]:
    """Return the tasks, each after the one before."""
    return Graph(_chained(chain((Keep,), _steps(to), (Discard,)), to))


def _steps(to: Replacement) -> Iterator[type[Step]]:
    yield Make
    if not to.starts:
        return
    yield Start
    yield Swap
    if to.answers:
        yield Serve
    if to.first_targets:
        yield Settle


def _chained(kinds: Iterator[type[Step]], to: Replacement) -> Iterator[Step]:
    needs: frozenset[TaskId] = frozenset()
    for kind in kinds:
        step = kind(to=to, needs=needs)
        yield step
        needs = frozenset({step.id})
