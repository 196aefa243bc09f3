"""Adding nodes to a cluster that is there: all at once, or none."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from k3dasync import addresses
from k3dasync.addresses import HOST_NETWORK
from k3dasync.backend import Backend
from k3dasync.cluster import LABEL_CLUSTER, LABEL_HOST_ALIASES, LABEL_RUN, NetworkChoice, Node, Role
from k3dasync.errors import NameTaken, NotFound, SpecError
from k3dasync.events import EventSink, Outputs
from k3dasync.gather import gather
from k3dasync.image_match import find
from k3dasync.journal import cluster_lock
from k3dasync.member_errors import CannotGrow, NothingToAsk
from k3dasync.operations._acting import acting, context_of
from k3dasync.operations._choose import host_alias
from k3dasync.operations._inspect import INSPECTIONS, inspect_present
from k3dasync.operations._members import Members, as_it_was, members_of
from k3dasync.operations._recall import is_ours, natural
from k3dasync.operations._recover import recover
from k3dasync.operations._run import Run, Stop, new_run_id
from k3dasync.operations._two_way import TwoWay
from k3dasync.resolve import NodeSpec, Source, addition, files_of, grown, host_entries
from k3dasync.runtime import ContainerDetail, EngineFacts, NetworkState, Runtime
from k3dasync.tasks.grow import Growth
from k3dasync.watch import ClusterWatch


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowOptions:
    """Whether new nodes are waited for until they are Ready, and for how many seconds at most."""

    waits: bool = True
    seconds: float | None = None
    operation: str = "node-create"


@dataclass(frozen=True, slots=True)
class Batch:
    """Nodes that are alike, by their names."""

    names: tuple[str, ...]
    spec: NodeSpec


async def create_nodes(
    cluster: str,
    names: Sequence[str],
    wanted: NodeSpec,
    options: GrowOptions,
    *,
    backend: Backend,
    sinks: Sequence[EventSink] = (),
    stop: Stop | None = None,
) -> Outputs:
    """Add nodes of these names to a cluster, ours or k3d's, and say how to use it.

    When this raises, everything the run made is gone again, etcd's members and Node objects too,
    or RollbackIncomplete names what is left.

    Raises ClusterNotFound, NameTaken, CannotGrow, NothingToAsk or SpecError before anything is
    made; TaskFailed, DeadlineExceeded or Interrupted after it was taken back.
    """
    facts = await backend.runtime.facts()
    with cluster_lock(cluster, facts.id):
        await recover(cluster, backend=backend, facts=facts, also_kept=False)
        return await add_locked(
            cluster,
            [Batch(tuple(names), wanted)],
            options,
            backend=backend,
            facts=facts,
            sinks=sinks,
            stop=stop or Stop(),
        )


async def add_locked(
    name: str,
    batches: Sequence[Batch],
    options: GrowOptions,
    *,
    backend: Backend,
    facts: EngineFacts,
    sinks: Sequence[EventSink],
    stop: Stop,
) -> Outputs:
    """Add nodes to a cluster whose lock is held."""
    run_id = new_run_id()
    members = await members_of(backend.runtime, name, run=run_id)
    members = members.hiding([one.spec.token for one in batches if one.spec.token])
    await refuse_taken([one for batch in batches for one in batch.names], backend.runtime)
    for batch in batches:
        _refuse(members, batch.spec, options)
    added = await _additions(members, batches, facts, backend.runtime)
    growth = await _growth(members, added, batches, options, backend.runtime)
    run = Run(
        id=run_id,
        operation=options.operation,
        cluster=name,
        facts=facts,
        k3s=members.k3s,
        sinks=sinks,
        is_rehearsal=backend.is_rehearsal,
    )
    try:
        return await _perform(growth, run, options, backend, stop)
    finally:
        run.close()


async def _perform(
    growth: Growth, run: Run, options: GrowOptions, backend: Backend, stop: Stop
) -> Outputs:
    cluster, added = growth.cluster, growth.added
    watch = ClusterWatch(
        runtime=backend.runtime,
        kubernetes=backend.kubernetes,
        host=cluster.api.connect_host,
        port=cluster.api.port,
        labels={LABEL_RUN: run.id},
        joiners=[node.name for node in added if node.role is Role.SERVER],
        agents=[node.name for node in added if node.role is Role.AGENT],
        secrets=cluster.secrets,
    )

    outputs = Outputs(
        api=cluster.api.url,
        context=cluster.context,
        kubeconfig=None,
        nodes=tuple(node.name for node in (*cluster.nodes, *added)),
    )
    await TwoWay(
        graph=growth.graph(),
        act=acting(context_of(watch, backend)),
        backend=backend,
        seconds=options.seconds,
        beside=watch.follow,
        finish=watch.raise_if_any_lost,
        told=_warnings(growth),
    ).perform(run, stop, outputs)
    return outputs


def _warnings(growth: Growth) -> list[str]:
    servers = len(growth.cluster.servers) + sum(one.role is Role.SERVER for one in growth.added)
    is_about = any(one.role is Role.SERVER for one in growth.added)
    if is_about and servers % 2 == 0 and not growth.cluster.has_external_datastore:
        text = f"{servers} servers: etcd lives on with {servers // 2 + 1} of them, so no more may "
        return [f"{text}fail than with {servers - 1}"]
    return []


async def refuse_taken(names: Sequence[str], runtime: Runtime) -> None:
    """Raise NameTaken if a container has one of these names."""
    there = {one.name: one for one in await runtime.containers()}
    for name in names:
        if (taken := there.get(name)) is not None:
            cluster = taken.labels.get(LABEL_CLUSTER)
            whose = f"a node of cluster {cluster}" if cluster else "another container"
            raise NameTaken("container", name, whose)


def _refuse(members: Members, wanted: NodeSpec, options: GrowOptions) -> None:
    cluster, is_server = members.cluster, wanted.role is Role.SERVER
    if cluster.is_on_host_network:
        raise CannotGrow(cluster.name, wanted.role, "on the host's network there is room for one")
    if not cluster.servers:
        raise CannotGrow(cluster.name, wanted.role, "it has no server that they could join")
    if is_server and not (members.has_etcd or cluster.has_external_datastore):
        raise CannotGrow(
            cluster.name,
            wanted.role,
            "its datastore is SQLite, which has one server; create a cluster with --servers 3, or "
            "with --k3s-arg --cluster-init@server:0 so that it can grow",
        )
    running = len(members.running_servers())
    if not running and (is_server or options.waits):
        raise NothingToAsk(cluster.name, f"add {wanted.role} nodes")
    if is_server and members.has_etcd and running < len(cluster.servers):
        # Whatever the quorum: etcd's rule (`isConnectedFullySince`) is about every member.
        raise CannotGrow(
            cluster.name,
            wanted.role,
            f"its etcd takes no member while one is away, and {running} of {len(cluster.servers)} "
            f"servers run; start the others first: k3dasync start {cluster.name}",
        )


def _source(members: Members, role: Role) -> Node:
    """Return the node that new ones are like: the last of their role, else a server."""
    found = [node for node in members.cluster.nodes if node.role is role]
    if not found:
        return members.cluster.servers[0]
    return max(found, key=lambda node: (not node.is_init, natural(node.name)))


async def _additions(
    members: Members, batches: Sequence[Batch], facts: EngineFacts, runtime: Runtime
) -> tuple[Node, ...]:
    networks = {one.name: one for one in await runtime.networks()}
    for batch in batches:
        _refuse_networks(batch.spec, networks)
    network = networks.get(members.cluster.network_name)
    fixed = [name for batch in batches if _is_fixed(members, batch.spec) for name in batch.names]
    free = dict[str, str]()
    if fixed and network is not None:
        free = dict(zip(fixed, await _free_addresses(network, len(fixed), runtime), strict=True))
    added: list[Node] = []
    for batch in batches:
        host = _own_host(network, facts)
        added += await _like_one_there(members, batch, free, host, runtime)
    return tuple(added)


async def _like_one_there(
    members: Members, batch: Batch, free: Mapping[str, str], own_host: str, runtime: Runtime
) -> list[Node]:
    node = _source(members, batch.spec.role)
    found = members.details[node.name]
    source = Source(found=found, role=node.role, files=await _read(found, runtime))
    image = batch.spec.image or await _image(found, runtime)
    hosts = host_entries(found, _host_aliases(found), own_host)
    return [
        addition(
            name,
            batch.spec,
            cluster=members.cluster,
            source=source,
            image=image,
            address=free.get(name),
            extra_hosts=hosts,
            run=members.cluster.run,
        )
        for name in batch.names
    ]


def _is_fixed(members: Members, wanted: NodeSpec) -> bool:
    """Say whether a new node of that role gets a fixed address: if the one that it is like has."""
    node = _source(members, wanted.role)
    if node.role is wanted.role:
        return bool(members.details[node.name].fixed_addresses)
    return _all_fixed(members)


def _all_fixed(members: Members) -> bool:
    nodes = [one for one in members.cluster.nodes if is_ours(one)]
    return members.cluster.has_fixed_addresses and bool(nodes)


def _refuse_networks(wanted: NodeSpec, networks: Mapping[str, NetworkState]) -> None:
    for name in wanted.networks:
        if name not in networks or name == HOST_NETWORK:
            raise SpecError(f"--network {name}: there is no such network that nodes could join")


async def _read(found: ContainerDetail, runtime: Runtime) -> dict[str, bytes]:
    """Return the files that count for a node which is to be like that one."""

    async def read(path: str) -> bytes | None:
        try:
            return await runtime.read_file(found.state.name, path)
        except NotFound:
            return None

    paths = files_of(found)
    contents = await gather([partial(read, path) for path in paths])
    return {
        path: content for path, content in zip(paths, contents, strict=True) if content is not None
    }


async def _free_addresses(network: NetworkState, count: int, runtime: Runtime) -> tuple[str, ...]:
    """Return addresses that nobody has, running or not."""
    neighbours = [one.name for one in await runtime.containers() if network.name in one.addresses]
    details = await inspect_present(runtime, neighbours, at_once=INSPECTIONS)
    taken = {one.fixed_addresses.get(network.name, "") for one in details.values()}
    taken |= await runtime.addresses_in_use(network.id)
    subnet = next((cidr for cidr in network.subnets if ":" not in cidr), "")
    if not subnet:
        raise SpecError(f"network {network.name} has no IPv4 range any more")
    if LABEL_RUN in network.labels:
        return addresses.free_node_addresses(subnet, count, taken)
    return addresses.addresses_of_foreign(subnet, count, taken | {network.gateway})


async def _image(found: ContainerDetail, runtime: Runtime) -> str:
    """Return the image of a node: by its id where its name means another one by now."""
    name = found.state.image
    images = await runtime.images()
    try:
        meant = find(name, images)
    except SpecError:
        meant = None
    is_there = any(one.id == found.image_id for one in images)
    is_other = meant is not None and meant[1].id != found.image_id
    return found.image_id if is_there and is_other else name


def _host_aliases(found: ContainerDetail) -> list[Mapping[str, Any]]:
    try:
        aliases = json.loads(found.state.labels.get(LABEL_HOST_ALIASES, "[]"))
    except ValueError:
        return []
    return [one for one in aliases if isinstance(one, dict) and "ip" in one]


def _own_host(network: NetworkState | None, facts: EngineFacts) -> str:
    """Return what stands for the engine's host in nodes of that network."""
    if network is None:
        return ""
    choice = NetworkChoice(
        name=network.name,
        is_external=True,
        subnet="",
        gateway=network.gateway,
        ip_range="",
        addresses=(),
    )
    return host_alias(choice, facts)


async def _growth(
    members: Members,
    added: tuple[Node, ...],
    batches: Sequence[Batch],
    options: GrowOptions,
    runtime: Runtime,
) -> Growth:
    cluster, running = members.cluster, members.running_servers()
    after = grown(cluster, added)
    answering = [*running, *(one.name for one in added if options.waits)]
    rebalance = None
    has_servers = any(one.role is Role.SERVER for one in added)
    if has_servers or after.proxied != cluster.proxied:
        rebalance = members.rebalance(after, answering, await as_it_was(cluster, runtime))
    return Growth(
        cluster=cluster,
        added=added,
        server=running[0] if running else "",
        servers=running,
        networks={name: batch.spec.networks for batch in batches for name in batch.names},
        waits=options.waits,
        rebalance=rebalance,
    )
