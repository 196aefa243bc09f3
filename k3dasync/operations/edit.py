"""Changing a cluster that is there: by replacing its load balancer, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from k3dasync import nginx
from k3dasync.backend import Backend
from k3dasync.cluster import (
    LABEL_CLUSTER,
    LABEL_ROLE,
    Cluster,
    Role,
    k3s_version,
)
from k3dasync.events import EventSink
from k3dasync.journal import cluster_lock
from k3dasync.life_errors import NoLoadBalancer, NotEditable
from k3dasync.operations._balancer_values import balancer_values
from k3dasync.operations._edits import Changes, edited
from k3dasync.operations._existing import existing_cluster
from k3dasync.operations._inspect import inspect_present
from k3dasync.operations._observe import observe
from k3dasync.operations._ports import refuse_ports_in_use
from k3dasync.operations._recall import recall
from k3dasync.operations._recover import recover
from k3dasync.operations._replacement import Found, replacement_of
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations._two_way import TwoWay
from k3dasync.operations.listing import list_nodes
from k3dasync.resolve import claims
from k3dasync.runtime import EngineFacts, EngineReader, Runtime
from k3dasync.spec import WaitLevel
from k3dasync.tasks import TaskReport, replacement
from k3dasync.tasks.replacement import Replacement, Replacing, Step

_BACK = "the old load balancer is back: nothing has changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an edit did: whether anything, and what was as it was wanted already."""

    cluster: str
    is_changed: bool
    unchanged: tuple[str, ...]


async def edit(
    name: str,
    changes: Changes,
    *,
    backend: Backend,
    seconds: float | None = None,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Outcome:
    """Change a cluster, and return when its new load balancer serves.

    One that is stopped stays so. When this raises, everything is as it was.

    Raises ClusterNotFound, NoLoadBalancer, NotEditable, InvalidPort, InvalidFilter, PortTaken or
    ClusterBusy before anything is made; TaskFailed, DeadlineExceeded or Interrupted after the old
    load balancer is back, RollbackIncomplete if it could not be brought back.
    """
    facts = await backend.runtime.facts()
    with cluster_lock(name, facts.id):
        await recover(name, backend=backend, facts=facts, also_kept=False)
        found = await _look(name, backend.runtime, facts)
        after = edited(found.cluster, found.balancer, changes)
        is_changed = after.cluster != found.cluster
        if is_changed:
            await _refuse_ports(after.cluster, found, backend)
            run = Run(
                id=found.cluster.run,
                operation="edit",
                cluster=name,
                facts=facts,
                k3s=k3s_version(found.cluster.nodes[0].container.image),
                sinks=sinks,
                is_rehearsal=backend.is_rehearsal,
            )
            try:
                to = await replacement_of(after.cluster, found, backend)
                await _replace(to, backend, run, seconds, stop or Stop())
            finally:
                run.close()
    return Outcome(cluster=name, is_changed=is_changed, unchanged=after.unchanged)


async def edit_node(
    name: str,
    changes: Changes,
    *,
    backend: Backend,
    seconds: float | None = None,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Outcome:
    """Change a load balancer, named with or without `k3d-`; raises as `edit` does.

    Raises NodeNotFound if there is no such node, NotEditable if it is another one.
    """
    [node] = await list_nodes(backend.runtime, [name])
    if node.labels.get(LABEL_ROLE) != Role.LOADBALANCER:
        role = node.labels.get(LABEL_ROLE) or "noRole"
        why = f"its role is {role}, and only load balancers can be changed: k3dasync cluster edit"
        raise NotEditable(node.name, why)
    cluster = node.labels.get(LABEL_CLUSTER, "")
    return await edit(cluster, changes, backend=backend, seconds=seconds, sinks=sinks, stop=stop)


async def configuration(name: str, runtime: EngineReader) -> str:
    """Return what a cluster's load balancer says of itself, running or not: k3d's YAML.

    Raises ClusterNotFound or NoLoadBalancer; NotFound if it has no such file.
    """
    existing = await existing_cluster(runtime, name)
    for one in existing.of_role(Role.LOADBALANCER):
        return (await runtime.read_file(one.name, nginx.VALUES_PATH)).decode(errors="replace")
    raise NoLoadBalancer(name)


async def _look(name: str, runtime: Runtime, facts: EngineFacts) -> Found:
    world = await observe(runtime, facts)
    existing = await existing_cluster(runtime, name)
    details = await inspect_present(runtime, [one.name for one in existing.containers])
    values = await balancer_values(existing, runtime)
    cluster = recall(existing, details, run=new_run_id(), wait=WaitLevel.NODES, values=values)
    balancer = cluster.loadbalancer
    if balancer is None:
        raise NoLoadBalancer(name)
    if values is None:
        # Without it nobody knows where its ports lead.
        why = f"it has no {nginx.VALUES_PATH}, or none that can be read"
        raise NotEditable(balancer.name, why)
    return Found(world=world, cluster=cluster, balancer=balancer, details=details)


async def _refuse_ports(after: Cluster, found: Found, backend: Backend) -> None:
    """Raise PortTaken if a host port that is new, and not the old one's, is in use."""
    balancer = after.loadbalancer
    assert balancer is not None
    new = tuple(claims(balancer.container.ports, found.balancer.container.ports))
    node = replace(balancer, container=replace(balancer.container, ports=new))
    world = found.world
    await refuse_ports_in_use(
        replace(after, nodes=(node,)),
        world,
        backend.runtime,
        chosen=(),
        probes=world.facts.is_local and not backend.is_rehearsal,
    )


async def _replace(
    to: Replacement, backend: Backend, run: Run, seconds: float | None, stop: Stop
) -> None:
    async def act(step: Step, report: TaskReport) -> None:
        await step.run(
            Replacing(runtime=backend.runtime, kubernetes=backend.kubernetes, report=report)
        )

    way = TwoWay(graph=replacement.plan(to), act=act, backend=backend, seconds=seconds, back=_BACK)
    await way.perform(run, stop)
