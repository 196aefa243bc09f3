"""Creating and deleting clusters on a real engine: by us, in k3d's order, and the engine alone."""

import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field

import anyio

from benchmarks import k3d_order
from benchmarks.engine import COMMAND_SECONDS, Bare, Place, bare_engine, decided, place, variant
from benchmarks.options import Options, Shape, load, median
from benchmarks.table import Report, Row
from k3dasync.backend import Backend
from k3dasync.cluster import Cluster
from k3dasync.docker import backend as docker_backend
from k3dasync.docker import backend_of
from k3dasync.docker.runtime import DockerRuntime

RUNS = 3
"""Two minutes each."""
LARGE = Shape(3, 10)
SHAPES = (Shape(1, 2), LARGE)
MOST_ABOVE_BOUND = 1.15
"""For the large shape. With three containers the start of the interpreter is a tenth of it all."""
TIMES_FASTER = 3.0
K3D_CREATE = {"1+2": 13.2, "3+10": 20.8}
K3D_DELETE = {"1+2": 2.1, "3+10": 6.6}
"""Seconds of k3d v5.9 on two cores with nodes like those of the conditions `k3d's`."""
PROBE = 0.01
"""Between two looks when the stand-in's own delays are measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How the stand-in nodes behave, and what that is good for."""

    name: str
    settings: Mapping[str, str]
    has_k3d_figures: bool = False


CONDITIONS = (
    # A server is ready 1 s after its start, joins at once, and needs no etcd.
    Conditions(
        name="k3d's",
        settings={"STANDIN_READY": "1s", "STANDIN_DATASTORE": "none"},
        has_k3d_figures=True,
    ),
    # A real etcd with its own rules, everything else ten times as fast as measured on real k3s.
    Conditions(name="etcd", settings={"STANDIN_SCALE": "0.1", "STANDIN_TICK": "1.5"}),
)


@dataclass(slots=True)
class Times:
    """Seconds of every run of one shape under one condition."""

    create: list[float] = field(default_factory=list)
    delete: list[float] = field(default_factory=list)
    serial_create: list[float] = field(default_factory=list)
    serial_delete: list[float] = field(default_factory=list)
    bare: list[Bare] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    k3d_create: list[float] = field(default_factory=list)
    k3d_delete: list[float] = field(default_factory=list)

    @property
    def bound(self) -> float:
        """The engine's own work for as many containers, and the delays of the nodes themselves."""
        return median([one.made for one in self.bare]) + median(self.delays)


def run(options: Options) -> Report:
    """Measure all shapes under all conditions, the runs interleaved."""
    report = Report()
    shapes, runs = options.shapes or SHAPES, options.runs or RUNS
    with place() as here:
        images = {
            one.name: variant(f"bench-{index}", one.settings)
            for index, one in enumerate(CONDITIONS)
        }
        cases = [(one, shape) for one in CONDITIONS for shape in shapes]
        found = {(one.name, str(shape)): Times() for one, shape in cases}
        before = load()
        for number in range(runs):
            print(f"benchmarks: engine: run {number + 1} of {runs}", file=sys.stderr, flush=True)
            for one, shape in cases:
                _once(here, shape, images[one.name], found[one.name, str(shape)])
        for one, shape in cases:
            report.rows.extend(_rows(one, shape, found[one.name, str(shape)]))
    report.notes.append(f"engine: load {before:.1f} before the runs, {load():.1f} after them")
    for one in CONDITIONS:
        settings = " ".join(f"{key}={value}" for key, value in one.settings.items())
        report.notes.append(f"engine: conditions {one.name}: {settings}")
    report.notes.append(
        f"engine: medians of {runs} interleaved runs. Ours is the whole command, start of the "
        "interpreter included; k3d's order has no sleeps of its own and no start of a process."
    )
    return report


def _once(here: Place, shape: Shape, image: str, times: Times) -> None:
    """Measure one shape once, in every way."""
    times.create.append(here.create("ours", shape, image))
    times.delete.append(here.delete("ours"))
    for measure in (_serial, _bare, _delays):
        anyio.run(_in_time, measure, here, shape, image, times)
    if shutil.which("k3d"):
        _k3d(here, shape, image, times)


Measure = Callable[[Place, Shape, str, Times], Awaitable[None]]


async def _in_time(measure: Measure, here: Place, shape: Shape, image: str, times: Times) -> None:
    with anyio.fail_after(COMMAND_SECONDS):
        await measure(here, shape, image, times)


async def _serial(here: Place, shape: Shape, image: str, times: Times) -> None:
    async with DockerRuntime(k3d_order.UNLIMITED) as runtime:
        engine = backend_of(runtime)
        cluster = await decided(here.spec("serial", shape, image), engine)
        began = time.perf_counter()
        await k3d_order.create(cluster, engine, k3d_order.NO_PAUSES)
        await k3d_order.all_ready(cluster, engine)
        times.serial_create.append(time.perf_counter() - began)
        began = time.perf_counter()
        await k3d_order.delete(cluster, engine)
        times.serial_delete.append(time.perf_counter() - began)


async def _bare(here: Place, shape: Shape, image: str, times: Times) -> None:
    async with docker_backend() as engine:
        cluster = await decided(here.spec("bare", shape, image), engine)
    async with bare_engine() as bare:
        times.bare.append(await bare.measure(cluster))


async def _delays(here: Place, shape: Shape, image: str, times: Times) -> None:
    """Measure what the nodes themselves need, one after the other, with nothing else to do.

    The init server until others can join it; each joining server until it is a member, the last
    one, or an agent if there are no joining ones, until it is Ready. Without the engine's calls.
    """
    fewer = Shape(shape.servers, min(shape.agents, 1) if shape.servers == 1 else 0)
    async with docker_backend() as engine:
        spec = here.spec("chain", fewer, image, loadbalancer=False)
        cluster = await decided(spec, engine)
        try:
            times.delays.append(await _chain(cluster, engine))
        finally:
            with anyio.move_on_after(60, shield=True):
                await k3d_order.delete(cluster, engine)


async def _chain(cluster: Cluster, engine: Backend) -> float:
    runtime, api, waited = engine.runtime, cluster.api, 0.0
    await k3d_order.create_containers(cluster, engine, k3d_order.NO_PAUSES)
    for index, node in enumerate(cluster.nodes):
        await runtime.start_container(node.name)
        began = time.perf_counter()
        if index == len(cluster.nodes) - 1:
            await k3d_order.all_ready(cluster, engine, [node.name])
        elif index == 0:
            async with engine.kubernetes(api.connect_host, api.port, None) as kubernetes:
                while True:
                    if await kubernetes.supervisor_answers():
                        break
                    await anyio.sleep(PROBE)
        else:
            await k3d_order.registered(cluster, engine, node.name)
        waited += time.perf_counter() - began
    return waited


def _k3d(here: Place, shape: Shape, image: str, times: Times) -> None:
    name = f"{here.prefix}-k3d"
    numbers = ("--servers", str(shape.servers), "--agents", str(shape.agents))
    began = time.perf_counter()
    _call("k3d", "cluster", "create", name, *numbers, "--image", image)
    times.k3d_create.append(time.perf_counter() - began)
    began = time.perf_counter()
    _call("k3d", "cluster", "delete", name)
    times.k3d_delete.append(time.perf_counter() - began)


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _rows(one: Conditions, shape: Shape, times: Times) -> Iterator[Row]:
    def row(
        what: str, ours: list[float], against: str, reference: float, most: float | None = None
    ) -> Row:
        return Row(
            benchmark="engine",
            case=f"{what} {shape}, {one.name} conditions",
            ours=median(ours),
            unit="s",
            against=against,
            reference=reference,
            low=min(ours),
            high=max(ours),
            runs=len(ours),
            most_ratio=most,
        )

    name, faster = str(shape), 1 / TIMES_FASTER
    create, delete = times.create, times.delete
    delays = f"{median(times.delays):.1f}"
    most = MOST_ABOVE_BOUND if shape == LARGE else None
    yield row("create", create, f"the bound: bare engine + {delays} s delays", times.bound, most)
    yield row("create", create, "k3d's order, serial", median(times.serial_create))
    if one.has_k3d_figures and name in K3D_CREATE:
        yield row("create", create, "k3d v5.9, published", K3D_CREATE[name], faster)
    if times.k3d_create:
        yield row("create", create, "k3d on this machine", median(times.k3d_create), faster)
    yield row("delete", delete, "bare engine", median([bare.delete for bare in times.bare]))
    yield row("delete", delete, "k3d's order, serial", median(times.serial_delete))
    if one.has_k3d_figures and name in K3D_DELETE:
        yield row("delete", delete, "k3d v5.9, published", K3D_DELETE[name])
    if times.k3d_delete:
        yield row("delete", delete, "k3d on this machine", median(times.k3d_delete))
