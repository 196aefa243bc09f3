"""The life of a cluster on a real engine: stop, start, and a list of several; by us, and serially.

The serial way is k3d's order through our own runtime: node after node, each waited for.
"""

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field

import anyio

from benchmarks import k3d_order
from benchmarks.bench_engine import CONDITIONS
from benchmarks.engine import Place, place, variant
from benchmarks.options import Options, Shape, load, median
from benchmarks.table import Report, Row
from k3dasync.backend import Backend
from k3dasync.cluster import APP, LABEL_CLUSTER, Cluster, Role
from k3dasync.docker import backend_of
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.operations._existing import existing_cluster
from k3dasync.operations._inspect import inspect_present
from k3dasync.operations._recall import recall
from k3dasync.spec import WaitLevel

RUNS = 3
SHAPE, SMALL, CLUSTERS = Shape(3, 10), Shape(1, 0), 5
SECONDS = 120.0
"""For one serial stop or start, the slowest of which took 40 s."""


@dataclass(slots=True)
class Times:
    """Seconds of every run."""

    stop: list[float] = field(default_factory=list)
    start: list[float] = field(default_factory=list)
    serial_stop: list[float] = field(default_factory=list)
    serial_start: list[float] = field(default_factory=list)
    one_stop: list[float] = field(default_factory=list)
    k3d_stop: list[float] = field(default_factory=list)
    k3d_start: list[float] = field(default_factory=list)
    listing: list[float] = field(default_factory=list)
    serial_list: list[float] = field(default_factory=list)


def run(options: Options) -> Report:
    """Measure stops and starts of one cluster, in turns, and lists of five."""
    times, report, before = Times(), Report(), load()
    shape = (options.shapes or (SHAPE,))[0]
    image = variant("bench-life", CONDITIONS[1].settings)
    with place() as here:
        here.create("life", shape, image)
        for number in range(options.runs or RUNS):
            print(f"benchmarks: life: {number + 1}", file=sys.stderr, flush=True)
            _once(here, times)
        here.delete("life")
        for number in range(CLUSTERS):
            here.create(f"list-{number}", SMALL, image)
        for _ in range(3 * (options.runs or RUNS)):
            times.listing.append(here.command("list", "-o", "json"))
            times.serial_list.append(anyio.run(_serial_list))
    report.rows.extend(_rows(times, shape))
    report.notes.append(f"life: load {before:.1f} before the runs, {load():.1f} after them")
    return report


def _once(here: Place, times: Times) -> None:
    name = f"{here.prefix}-life"
    times.stop.append(here.command("stop", name))
    times.start.append(here.command("start", name))
    anyio.run(_serial, name, times)
    if shutil.which("k3d"):
        times.k3d_stop.append(_k3d(here, "stop", name))
        times.k3d_start.append(_k3d(here, "start", name))
        here.command("start", name)


def _k3d(here: Place, verb: str, name: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        ["k3d", "cluster", verb, name], env=here.environ, check=True, capture_output=True
    )
    return time.perf_counter() - began


async def _serial(name: str, times: Times) -> None:
    async with DockerRuntime(k3d_order.UNLIMITED) as runtime:
        engine = backend_of(runtime)
        existing = await existing_cluster(runtime, name)
        details = await inspect_present(runtime, [one.name for one in existing.containers])
        cluster = recall(existing, details, run="serial", wait=WaitLevel.NODES)
        with anyio.fail_after(SECONDS):
            began = time.perf_counter()
            for node in reversed(cluster.nodes):  # the engine lists the newest first
                await runtime.stop_container(node.name)
            times.serial_stop.append(time.perf_counter() - began)
        with anyio.fail_after(SECONDS):
            began = time.perf_counter()
            await _serial_start(cluster, engine)
            times.serial_start.append(time.perf_counter() - began)
        began = time.perf_counter()
        await runtime.stop_container(cluster.agents[0].name)
        times.one_stop.append(time.perf_counter() - began)
        await runtime.start_container(cluster.agents[0].name)


async def _serial_start(cluster: Cluster, engine: Backend) -> None:
    """Start as k3d does: the first server, the others one by one, the agents, the load balancer."""
    for server in cluster.servers:
        # The first one alone has no quorum and never comes up; k3d knows.
        line = k3d_order.SERVING if server.is_init else k3d_order.UP
        await k3d_order.start_again(engine, server, line)
    async with anyio.create_task_group() as group:
        for agent in cluster.agents:
            group.start_soon(k3d_order.start_again, engine, agent, k3d_order.REGISTERED)
    if cluster.loadbalancer is not None:
        await k3d_order.start_again(engine, cluster.loadbalancer, k3d_order.WORKERS)
    await k3d_order.all_ready(cluster, engine)


async def _serial_list() -> float:
    """Ask as k3d does: one list, then every node by itself, the load balancers' files too."""
    async with DockerRuntime() as runtime:
        began = time.perf_counter()
        for one in await runtime.containers(APP):
            if one.labels.get(LABEL_CLUSTER):
                found = await runtime.inspect_container(one.name)
                if found.state.labels.get("k3d.role") == Role.LOADBALANCER:
                    await runtime.read_file(one.name, "/etc/confd/values.yaml")
        return time.perf_counter() - began


def _rows(times: Times, shape: Shape) -> list[Row]:
    pairs = (
        (f"stop {shape}", times.stop, "one node", times.one_stop),
        (f"stop {shape}", times.stop, "k3d's order, serial", times.serial_stop),
        (f"stop {shape}", times.stop, "k3d on PATH", times.k3d_stop),
        (f"start {shape}", times.start, "k3d's order, serial", times.serial_start),
        (f"start {shape}", times.start, "k3d on PATH", times.k3d_start),
        (f"list of {CLUSTERS}", times.listing, "k3d's way, without a process", times.serial_list),
    )
    return [
        Row(
            benchmark="life",
            case=case,
            ours=median(ours),
            unit="s",
            against=against,
            reference=median(theirs),
            low=min(ours),
            high=max(ours),
            runs=len(ours),
        )
        for case, ours, against, theirs in pairs
        if theirs
    ]
