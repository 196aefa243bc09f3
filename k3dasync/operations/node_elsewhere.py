"""Adding agents to a cluster that is somewhere else, known by its URL alone."""

import os
from collections.abc import Sequence

from k3dasync.addresses import HOST_NETWORK
from k3dasync.backend import Backend
from k3dasync.cluster import LABEL_RUN, NetworkChoice, k3s_version
from k3dasync.errors import SpecError
from k3dasync.events import EventSink, Outputs
from k3dasync.fixes import fixes
from k3dasync.journal import cluster_lock
from k3dasync.operations._acting import acting, context_of
from k3dasync.operations._choose import host_alias
from k3dasync.operations._recover import recover
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations._two_way import TwoWay
from k3dasync.operations.node_create import GrowOptions, refuse_taken
from k3dasync.resolve import DEFAULT_NETWORK, NodeSpec, Place, elsewhere
from k3dasync.runtime import EngineFacts, Runtime
from k3dasync.tasks.elsewhere import plan
from k3dasync.watch import ClusterWatch


async def create_elsewhere(
    url: str,
    names: Sequence[str],
    wanted: NodeSpec,
    options: GrowOptions,
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> None:
    """Add agents of these names to the cluster at *url*, with its token.

    When this raises, the containers are gone again; a Node object that the other cluster has made
    of one stays there, as nobody here may delete it.

    Raises NameTaken or SpecError before anything is made; TaskFailed, DeadlineExceeded or
    Interrupted after it was taken back.
    """
    runtime = backend.runtime
    facts = await runtime.facts()
    with cluster_lock(url, facts.id):
        await recover(url, backend=backend, facts=facts, also_kept=False)
        await refuse_taken(names, runtime)
        run_id = new_run_id()
        place = await _place(wanted, facts, runtime)
        cures = fixes(os.environ, cgroup_version=facts.cgroup_version, engine=facts.name)
        nodes = [
            elsewhere(name, wanted, url=url, place=place, fixes=cures, run=run_id) for name in names
        ]
        run = Run(
            id=run_id,
            operation=options.operation,
            cluster=url,
            facts=facts,
            k3s=k3s_version(nodes[0].container.image),
            sinks=sinks,
            is_rehearsal=backend.is_rehearsal,
        )
        outputs = Outputs(api=url, context="", kubeconfig=None, nodes=tuple(names))
        graph = plan(nodes, wanted.networks[1:], run=run_id, are_awaited=options.waits)
        watch = _watch(run_id, names, wanted, backend)
        try:
            await TwoWay(
                graph=graph,
                act=acting(context_of(watch, backend)),
                backend=backend,
                seconds=options.seconds,
                beside=watch.follow,
                finish=watch.raise_if_any_lost,
            ).perform(run, stop or Stop(), outputs)
        finally:
            run.close()


def _watch(run: str, names: Sequence[str], wanted: NodeSpec, backend: Backend) -> ClusterWatch:
    """Return a watch on the containers alone: that cluster's API is not ours to ask."""
    return ClusterWatch(
        runtime=backend.runtime,
        kubernetes=backend.kubernetes,
        host="",
        port=0,
        labels={LABEL_RUN: run},
        agents=names,
        is_elsewhere=True,
        secrets=[wanted.token or ""],
    )


async def _place(wanted: NodeSpec, facts: EngineFacts, runtime: Runtime) -> Place:
    """Return where the agents are put; raises SpecError if there is no such network."""
    networks = {one.name: one for one in await runtime.networks()}
    for name in wanted.networks:
        if name not in networks or name == HOST_NETWORK:
            raise SpecError(f"--network {name}: there is no such network that nodes could join")
    name = wanted.networks[0] if wanted.networks else DEFAULT_NETWORK
    found = networks.get(name)
    choice = NetworkChoice(
        name=name,
        is_external=True,
        subnet="",
        gateway=found.gateway if found else "",
        ip_range="",
        addresses=(),
    )
    return Place(network=name, gateway=choice.gateway, host_alias=host_alias(choice, facts))
