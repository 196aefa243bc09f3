"""Starting clusters again: several at once, each with all its nodes, until it is ready for real."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from k3dasync.backend import Backend
from k3dasync.cluster import APP, LABEL_CLUSTER, Cluster, k3s_version
from k3dasync.errors import EngineError
from k3dasync.events import EventSink, Outputs
from k3dasync.gather import gather
from k3dasync.operations._acting import acting, context_of
from k3dasync.operations._balancer_values import balancer_values
from k3dasync.operations._existing import existing_cluster
from k3dasync.operations._inspect import inspect_present
from k3dasync.operations._one_way import OneWay
from k3dasync.operations._recall import is_ours, recall
from k3dasync.operations._recover import CHANGES, recover
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations._several import each_cluster
from k3dasync.runtime import ContainerDetail, EngineFacts, EngineReader, Status
from k3dasync.spec import WaitLevel
from k3dasync.tasks import again
from k3dasync.watch import ClusterWatch

ETCD_CONFIG = "/var/lib/rancher/k3s/server/db/etcd/config"
"""Where k3s writes its etcd's settings at every start, its address among them (pkg/etcd)."""
_ADDRESS = re.compile(rb"^advertise-client-urls: *https://([0-9.]+):", re.MULTILINE)
_RUNS = frozenset({Status.RUNNING, Status.RESTARTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """How far a start waits, and for how many seconds at most; None: without a limit."""

    wait: WaitLevel = WaitLevel.NODES
    seconds: float | None = None
    operation: str = "start"


async def start(
    names: Sequence[str] | None,
    options: StartOptions,
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> tuple[str, ...]:
    """Start these clusters, or all with None, and return their names when they are ready.

    What runs is left alone, what is paused goes on. A start that fails leaves everything as it is.

    Raises ClusterNotFound before anything is started; TaskFailed or DeadlineExceeded after all
    others were, SeveralFailed if it is more than one.
    """

    async def start_one(name: str, facts: EngineFacts) -> bool:
        await start_locked(name, options, backend=backend, facts=facts, sinks=sinks)
        return True

    ends = await each_cluster(names, start_one, backend=backend, stop=stop, undone="not started")
    return tuple(ends.done)


async def start_locked(
    name: str,
    options: StartOptions,
    *,
    backend: Backend,
    facts: EngineFacts,
    sinks: Sequence[EventSink],
) -> None:
    """Start one cluster whose lock is held."""
    runtime = backend.runtime
    await recover(name, backend=backend, facts=facts, also_kept=False, operations=CHANGES)
    existing = await existing_cluster(runtime, name)
    details = await inspect_present(runtime, [one.name for one in existing.containers])
    run_id = new_run_id()
    cluster = recall(
        existing,
        details,
        run=run_id,
        wait=options.wait,
        values=await balancer_values(existing, runtime),
    )
    found = await _found(cluster, details, runtime)
    watch = watch_of(cluster, details, backend)

    run = Run(
        id=run_id,
        operation=options.operation,
        cluster=name,
        facts=facts,
        k3s=k3s_version(cluster.nodes[0].container.image) if cluster.nodes else "",
        sinks=sinks,
        is_rehearsal=backend.is_rehearsal,
    )
    try:
        await OneWay(
            graph=again.plan(cluster, found),
            act=acting(context_of(watch, backend)),
            seconds=options.seconds,
            beside=watch.follow,
            finish=watch.raise_if_any_lost,
            outputs=lambda: Outputs(
                api=cluster.api.url,
                context=cluster.context,
                kubeconfig=None,
                nodes=tuple(node.name for node in cluster.nodes),
            ),
        ).perform(run)
    finally:
        run.close()


def watch_of(
    cluster: Cluster, details: Mapping[str, ContainerDetail], backend: Backend
) -> ClusterWatch:
    """Return the watch of a cluster that is there, whoever made its nodes."""
    return ClusterWatch(
        runtime=backend.runtime,
        kubernetes=backend.kubernetes,
        host=cluster.api.connect_host,
        port=cluster.api.port,
        labels={**APP, LABEL_CLUSTER: cluster.name},
        before=details.values(),
        first=cluster.servers[0].name if cluster.servers else "",
        joiners=[node.name for node in cluster.servers[1:]],
        agents=[node.name for node in cluster.agents],
        secrets=cluster.secrets,
        is_elsewhere=cluster.is_elsewhere,
    )


async def _found(
    cluster: Cluster, details: Mapping[str, ContainerDetail], runtime: EngineReader
) -> again.Found:
    status = {name: one.state.status for name, one in details.items()}
    balancer = cluster.loadbalancer
    return again.Found(
        paused=frozenset(name for name, one in status.items() if one is Status.PAUSED),
        running=frozenset(name for name, one in status.items() if one in _RUNS),
        addresses=await etcd_addresses(cluster, status, runtime),
        balancer_is_ours=balancer is not None and is_ours(balancer),
    )


async def etcd_addresses(
    cluster: Cluster, status: Mapping[str, Status], runtime: EngineReader
) -> Mapping[str, str]:
    """Return the addresses that each server's etcd goes by, if the engine chooses them anew."""
    if len(cluster.servers) < 2 or cluster.has_fixed_addresses or cluster.has_external_datastore:
        return {}

    async def ask(name: str) -> str:
        try:
            found = _ADDRESS.search(await runtime.read_file(name, ETCD_CONFIG))
        except EngineError:
            return ""  # never started: then it has none to keep
        return found[1].decode() if found else ""

    names = [node.name for node in cluster.servers if status.get(node.name) not in _RUNS]
    found = await gather([partial(ask, name) for name in names])
    return {name: one for name, one in zip(names, found, strict=True) if one}
