"""Nodes that were to leave their cluster, or to stop, and did not: they work as before."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from k3dasync import nginx
from k3dasync.backend import Backend
from k3dasync.cluster import Cluster, ProxiedPort
from k3dasync.errors import ClusterNotFound, EngineError, KubernetesError, NotFound
from k3dasync.etcd import EtcdRefused, is_of
from k3dasync.operations._members import Members, members_of, quiet_context
from k3dasync.operations._recall import proxied_ports
from k3dasync.runtime import Runtime
from k3dasync.tasks.leave import CORDONED
from k3dasync.tasks.rebalance import without
from k3dasync.undo import Readmit, Uncordon


async def uncordon(undo: Uncordon, runtime: Runtime) -> None:
    """Uncordon a node that is there and was cordoned to be deleted.

    Raises KubernetesError if no server does it.
    """
    try:
        await runtime.read_file(undo.node, CORDONED)
    except NotFound:
        return  # it has gone, or somebody else had cordoned it
    why = "no server runs"
    for server in undo.servers:
        try:
            done = await runtime.execute(server, ["kubectl", "uncordon", undo.node])
        except EngineError as error:
            why = str(error)
            continue
        if done.code == 0 or b"not found" in done.err:  # half deleted: there is nothing to uncordon
            await runtime.execute(undo.node, ["rm", "-f", CORDONED])
            return
        why = done.last_line
    raise KubernetesError(f"cannot uncordon {undo.node}: {why}")


async def readmit(undo: Readmit, backend: Backend, run: str) -> None:
    """Let the load balancer forward to those of the nodes which are in the cluster still.

    Raises BalancerStale or EngineError if it does not take that.
    """
    try:
        members = await members_of(backend.runtime, undo.cluster, run=run)
    except ClusterNotFound:
        return
    out = await _left_etcd(members, undo.nodes, backend)
    there = {name for name in undo.nodes if name in members.details and name not in out}
    cluster = without(members.cluster, out)
    before = nginx.read_values(undo.values.encode())
    cluster = replace(cluster, proxied=tuple(_merged(cluster, proxied_ports(before), there)))
    balance = members.rebalance(cluster, members.running_servers(out))
    if balance is not None:
        await balance.run(quiet_context(members.cluster, backend))


async def _left_etcd(members: Members, names: Collection[str], backend: Backend) -> set[str]:
    """Return the servers among these which are no members of etcd any more, if it can be asked."""
    servers = {one.name for one in members.cluster.servers} & set(names)
    if not servers or not members.has_etcd:
        return set()
    for server in sorted(members.running_servers(), key=lambda name: name in servers):
        try:
            async with backend.etcd(server) as etcd:
                found = await etcd.members()
        except EtcdRefused:
            continue
        return {name for name in servers if not any(is_of(one, name) for one in found)}
    return set()


def _merged(
    cluster: Cluster, before: Iterator[ProxiedPort], there: Collection[str]
) -> Iterator[ProxiedPort]:
    """Yield the ports as they are, with the nodes that stood there before."""
    now: Mapping[str, ProxiedPort] = {port.key: port for port in cluster.proxied}
    past = {port.key: port for port in before}
    for key in dict.fromkeys((*past, *now)):
        kept: Sequence[str] = now[key].nodes if key in now else ()
        old: Sequence[str] = past[key].nodes if key in past else ()
        back = [name for name in old if name in there or name in kept]
        nodes = tuple(dict.fromkeys((*back, *kept)))
        if nodes:
            yield replace(now.get(key) or past[key], nodes=nodes)
