"""How long creates take on the fake engine, in virtual time: exact, and the same everywhere."""

import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

from benchmarks import k3d_order
from benchmarks.options import Options, Shape
from benchmarks.table import Report, Row
from k3dasync.backend import Backend
from k3dasync.fake import Cost, FakeRuntime, Latency, backend_of
from k3dasync.limits import Limits
from k3dasync.operations.create import create, plan
from k3dasync.spec import ClusterSpec

SHAPES = (Shape(1, 0), Shape(1, 2), Shape(3, 2), Shape(3, 10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Makespan:
    """Seconds from the command to every node Ready: in our order, in k3d's, with and without its
    fixed sleeps, and the least in which any order could do it."""

    ours: float
    k3d: float
    k3d_order: float
    bound: float


def bound(shape: Shape, latency: Latency) -> float:
    """Return the least seconds in which that could be Ready, in any order whatever.

    The longest chain of things that wait for each other, each at the speed it has alone, or all
    the work divided by the cores, whichever is more. Whoever promotes etcd's learners is taken to
    do so at once; k3s asks every five seconds whether that was done.
    """
    engine, node = latency.engine, latency.node
    start = _whole(engine.start) + engine.start_serial
    first = _whole(engine.network_create, engine.create) + start
    supervisor = first + _whole(
        node.datastore, node.kubeconfig, node.kubeconfig_fill, node.supervisor
    )
    up = supervisor + _whole(node.up)
    ends = [up + _whole(node.register, node.ready)]
    if shape.agents:
        joined = max(supervisor + start + _whole(node.agent_ask), up)
        ends.append(joined + _whole(node.agent_register, node.agent_ready))
    asked = supervisor + start + _whole(node.ask)
    for _ in range(shape.servers - 1):
        noticed = asked + _whole(node.member) + node.joiner_poll
        asked += max(node.sync, _whole(node.member) + node.healthy_after)
        serving = noticed + _whole(node.kubeconfig, node.kubeconfig_fill, node.supervisor)
        ends.append(serving + _whole(node.joiner_up, node.register, node.ready))
    return max(*ends, _work(shape, latency) / latency.cores)


def _whole(*costs: Cost) -> float:
    return sum(cost.idle + cost.cpu for cost in costs)


def _work(shape: Shape, latency: Latency) -> float:
    """Return the seconds of one core that are needed until everything is Ready."""
    engine, node = latency.engine, latency.node

    def cpu(*costs: Cost) -> float:
        return sum(cost.cpu for cost in costs)

    server = cpu(node.kubeconfig, node.kubeconfig_fill, node.supervisor, node.register, node.ready)
    init = server + cpu(node.datastore, node.up)
    joining = server + cpu(node.ask, node.member, node.joiner_up)
    agent = cpu(node.agent_ask, node.agent_register, node.agent_ready)
    return (
        shape.containers * cpu(engine.create, engine.start)
        + init
        + (shape.servers - 1) * joining
        + shape.agents * agent
    )


async def _ours(spec: ClusterSpec, backend: Backend) -> None:
    await create(spec, backend=backend)


def _k3d(pauses: k3d_order.Pauses) -> Callable[[ClusterSpec, Backend], Awaitable[None]]:
    async def perform(spec: ClusterSpec, backend: Backend) -> None:
        cluster = (await plan(spec, backend=backend)).cluster
        async with anyio.create_task_group() as group:
            group.start_soon(k3d_order.create, cluster, backend, pauses)
        # k3d may return before that, or after it.
        await k3d_order.all_ready(cluster, backend)

    return perform


async def _seconds(
    perform: Callable[[ClusterSpec, Backend], Awaitable[None]],
    shape: Shape,
    latency: Latency,
    limits: Limits,
) -> float:
    spec = ClusterSpec(name="bench", servers=shape.servers, agents=shape.agents, timeout=None)
    async with FakeRuntime(latency=latency, limits=limits) as runtime:
        began = anyio.current_time()
        await perform(spec, backend_of(runtime, is_rehearsal=True))
        return anyio.current_time() - began


def measure(shape: Shape, latency: Latency | None = None) -> Makespan:
    """Return the makespans of one shape, exact to the float."""
    from trio.testing import MockClock

    latency = latency or Latency()

    def in_virtual_time(
        perform: Callable[[ClusterSpec, Backend], Awaitable[None]], limits: Limits
    ) -> float:
        arguments = (perform, shape, latency, limits)
        options = {"clock": MockClock(autojump_threshold=0)}
        return anyio.run(_seconds, *arguments, backend="trio", backend_options=options)

    with _own_state():
        return Makespan(
            ours=in_virtual_time(_ours, Limits()),
            k3d=in_virtual_time(_k3d(k3d_order.Pauses()), k3d_order.UNLIMITED),
            k3d_order=in_virtual_time(_k3d(k3d_order.NO_PAUSES), k3d_order.UNLIMITED),
            bound=bound(shape, latency),
        )


@contextmanager
def _own_state() -> Iterator[None]:
    """Keep lock files out of the user's state directory."""
    before = os.environ.get("XDG_STATE_HOME")
    with tempfile.TemporaryDirectory(prefix="k3dasync-bench-") as folder:
        os.environ["XDG_STATE_HOME"] = folder
        try:
            yield
        finally:
            del os.environ["XDG_STATE_HOME"]
            if before is not None:
                os.environ["XDG_STATE_HOME"] = before


def run(options: Options) -> Report:
    """Measure all shapes."""
    report = Report()
    for shape in options.shapes or SHAPES:
        found = measure(shape)
        for against, reference in (
            ("the critical path", found.bound),
            ("k3d's order", found.k3d_order),
            ("k3d's order, its sleeps", found.k3d),
        ):
            report.rows.append(
                Row(
                    benchmark="makespan",
                    case=f"create {shape}, virtual time",
                    ours=found.ours,
                    unit="s",
                    against=against,
                    reference=reference,
                    most_ratio=None if against == "the critical path" else 1.0,
                )
            )
    report.notes.append(
        "makespan: the fake engine at its default latencies, two simulated cores, from the command "
        "to every node Ready; the critical path is the least that any order could need."
    )
    return report
