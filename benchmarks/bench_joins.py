"""In which order servers join: k3d's, all at once, pipelined, and pipelined with promotion.

On stand-in nodes with a real etcd and the delays of real k3s: until every node is registered, until
every node is Ready, and how often nodes restart on the way.
"""

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import anyio

from benchmarks import k3d_order
from benchmarks.engine import Place, decided, place, variant
from benchmarks.options import Options, Shape, load, median
from benchmarks.table import Report, Row
from k3dasync.backend import Backend
from k3dasync.cluster import Cluster
from k3dasync.docker import backend_of
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.etcd import EtcdMembership, EtcdRefused, EtcdUnreachable, is_voter, learner_of
from k3dasync.events import AnyEvent, TaskDone
from k3dasync.operations.create import create
from k3dasync.operations.delete import delete
from k3dasync.spec import ClusterSpec
from k3dasync.tasks.join import HEALTH_INTERVAL

RUNS = 3
SHAPES = (Shape(3, 2), Shape(3, 10))
SCALES = {"1": {"STANDIN_SCALE": "1"}, "0.3": {"STANDIN_SCALE": "0.3"}}
"""The delays of real k3s, and less than a third of them; etcd's own seconds stay what they are."""
SECONDS = 180.0
"""For one create; the longest of these, k3d's order with thirteen nodes, takes a minute."""
MOST_ABOVE_PATH = 1.2
TIMES_FASTER = 2.0
K3D, AT_ONCE = "k3d's order with its sleeps", "all at once"
PIPELINED, PROMOTED = "pipelined", "pipelined, promoted from outside"


@dataclass(slots=True)
class Runs:
    """Seconds and restarts of every run of one order."""

    registered: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    restarts: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Moments:
    """When something was seen, in seconds of one run."""

    began: float = field(default_factory=time.perf_counter)
    registered: float = 0.0
    ready: float = 0.0

    def now(self) -> float:
        return time.perf_counter() - self.began


def run(options: Options) -> Report:
    """Measure all orders at each speed, the runs interleaved."""
    report, shapes = Report(), options.shapes or SHAPES
    before = load()
    with place() as here:
        for scale, settings in SCALES.items():
            image = variant(f"bench-joins-{scale}", settings)
            for shape in shapes:
                found = {name: Runs() for name in ORDERS}
                paths: list[float] = []
                for number in range(options.runs or RUNS):
                    print(f"benchmarks: joins: {shape}, {number + 1}", file=sys.stderr, flush=True)
                    for name, order in ORDERS.items():
                        anyio.run(_once, here, shape, image, order, found[name])
                    paths.append(anyio.run(_path, here, shape, image))
                case = f"{shape}, delays by {scale}"
                # Where all else is faster, most of the time is etcd's own five seconds.
                has_aim = scale == "1"
                report.rows.extend(_rows(case, found, median(paths), has_aim=has_aim))
    report.notes.append(f"joins: load {before:.1f} before the runs, {load():.1f} after them")
    report.notes.append("joins: restarts are the sum over all nodes, of all runs")
    return report


Order = Callable[[Cluster, ClusterSpec, Backend, Moments], Awaitable[None]]


async def _once(here: Place, shape: Shape, image: str, order: Order, runs: Runs) -> None:
    spec = here.spec("joins", shape, image)
    async with DockerRuntime() as runtime:
        backend = backend_of(runtime)
        cluster = await decided(spec, backend)
        moments = Moments()
        with anyio.fail_after(SECONDS):
            await order(cluster, spec, backend, moments)
        nodes = [node.name for node in (*cluster.servers, *cluster.agents)]
        runs.restarts.append(
            sum([(await runtime.inspect_container(name)).restarts for name in nodes])
        )
        runs.registered.append(moments.registered)
        runs.ready.append(moments.ready)
        await delete([spec.name], backend=backend)


async def _k3d(cluster: Cluster, _: ClusterSpec, backend: Backend, moments: Moments) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_see, cluster, backend, moments)
        await k3d_order.create(cluster, backend, k3d_order.Pauses())


async def _at_once(cluster: Cluster, _: ClusterSpec, backend: Backend, moments: Moments) -> None:
    await k3d_order.create_containers(cluster, backend, k3d_order.NO_PAUSES)
    first, balancer = cluster.servers[0], cluster.loadbalancer
    async with anyio.create_task_group() as group:
        for node in (first, *([balancer] if balancer else [])):
            group.start_soon(backend.runtime.start_container, node.name)
    await _supervisor(cluster, backend)
    async with anyio.create_task_group() as group:
        group.start_soon(_see, cluster, backend, moments)
        for node in (*cluster.servers[1:], *cluster.agents):
            group.start_soon(backend.runtime.start_container, node.name)


async def _supervisor(cluster: Cluster, backend: Backend) -> None:
    api = cluster.api
    async with backend.kubernetes(api.connect_host, api.port, None) as kubernetes:
        while not await kubernetes.supervisor_answers():  # noqa: ASYNC110 - there is no event
            await anyio.sleep(k3d_order.POLL)


async def _see(cluster: Cluster, backend: Backend, moments: Moments) -> None:
    """Note when every node is registered, and when every node is Ready."""
    for node in (*cluster.servers, *cluster.agents):
        await k3d_order.registered(cluster, backend, node.name)
    moments.registered = moments.now()
    await k3d_order.all_ready(cluster, backend)
    moments.ready = moments.now()


@asynccontextmanager
async def _nowhere(server: str) -> AsyncIterator[EtcdMembership]:
    raise EtcdUnreachable(f"etcd of {server} is left alone here")
    yield


async def _pipelined(
    cluster: Cluster, spec: ClusterSpec, backend: Backend, moments: Moments
) -> None:
    await _promoted(cluster, spec, replace(backend, etcd=_nowhere), moments)


async def _promoted(
    cluster: Cluster, spec: ClusterSpec, backend: Backend, moments: Moments
) -> None:
    seen = _Ends(moments, {f"ready:{node.name}" for node in (*cluster.servers, *cluster.agents)})
    async with anyio.create_task_group() as group:
        group.start_soon(_see, cluster, backend, moments)
        await create(spec, backend=backend, sinks=(seen,))
        group.cancel_scope.cancel()
    moments.ready = seen.last
    moments.registered = moments.registered or moments.ready


@dataclass(slots=True)
class _Ends:
    """A sink that knows when the last one of some tasks was done."""

    moments: Moments
    tasks: set[str]
    last: float = 0.0

    def write(self, event: AnyEvent) -> None:
        if isinstance(event, TaskDone) and event.task in self.tasks:
            self.last = self.moments.now()


async def _path(here: Place, shape: Shape, image: str) -> float:
    """Return the seconds of the chain of the servers' own delays, with nothing beside it.

    The first one until it takes others, each joining one until it has a vote and etcd's interval
    after that, the last one until it is Ready; without the engine's calls.
    """
    spec = here.spec("path", Shape(shape.servers, 0), image, loadbalancer=False)
    async with DockerRuntime() as runtime:
        backend, waited = backend_of(runtime), 0.0
        cluster = await decided(spec, backend)
        await k3d_order.create_containers(cluster, backend, k3d_order.NO_PAUSES)
        for index, server in enumerate(cluster.servers):
            await runtime.start_container(server.name)
            began = time.perf_counter()
            if index == 0:
                await _supervisor(cluster, backend)
            else:
                await _vote(cluster, backend, server.name)
                if index < shape.servers - 1:
                    await anyio.sleep(HEALTH_INTERVAL)
                else:
                    await k3d_order.all_ready(cluster, backend, [server.name])
            waited += time.perf_counter() - began
        await delete([spec.name], backend=backend)
    return waited


async def _vote(cluster: Cluster, backend: Backend, server: str) -> None:
    async with backend.etcd(cluster.servers[0].name) as etcd:
        while not is_voter(members := await etcd.members(), server):
            learner = learner_of(members, server)
            with suppress(EtcdRefused):
                if learner is not None:
                    await etcd.promote(learner.id)
            await anyio.sleep(k3d_order.POLL)


ORDERS: dict[str, Order] = {
    K3D: _k3d,
    AT_ONCE: _at_once,
    PIPELINED: _pipelined,
    PROMOTED: _promoted,
}


def _rows(case: str, found: dict[str, Runs], path: float, *, has_aim: bool) -> list[Row]:
    k3d = found[K3D]
    rows = []
    for name, runs in found.items():
        for what, seconds, reference in (
            ("registered", runs.registered, k3d.registered),
            ("Ready", runs.ready, k3d.ready),
        ):
            is_aim = name == PROMOTED and what == "Ready" and has_aim
            rows.append(
                Row(
                    benchmark="joins",
                    case=f"{case}, {name}: {what}, {sum(runs.restarts)} restarts",
                    ours=median(seconds),
                    unit="s",
                    against=K3D,
                    reference=median(reference),
                    low=min(seconds),
                    high=max(seconds),
                    runs=len(seconds),
                    most_ratio=1 / TIMES_FASTER if is_aim else None,
                )
            )
    ready = found[PROMOTED].ready
    rows.append(
        Row(
            benchmark="joins",
            case=f"{case}, {PROMOTED}: Ready",
            ours=median(ready),
            unit="s",
            against="the servers' own delays",
            reference=path,
            low=min(ready),
            high=max(ready),
            runs=len(ready),
            most_ratio=MOST_ABOVE_PATH,
        )
    )
    return rows
