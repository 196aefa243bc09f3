"""k3d's order of things, through our own runtime: what our order is compared with.

As k3d v5.9 does it: containers created one by one; the init server started and waited for, then
each joining server, then the agents at once, then the load balancer; each waited for by a line of
its log. Its tools container, registries and CoreDNS edits are left out, in its favour.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import anyio

from k3dasync import kubeconfig
from k3dasync.backend import Backend
from k3dasync.cluster import (
    APP,
    KUBECONFIG_PATH,
    LABEL_CLUSTER,
    LABEL_NETWORK_ID,
    Cluster,
    Node,
    volume_name,
)
from k3dasync.errors import KubernetesError, NotFound
from k3dasync.kubernetes import Credentials, Nodes, credentials_of
from k3dasync.limits import Limits
from k3dasync.runtime import File

CONTAINERD, UP = "Containerd is now running", "k3s is up and running"
REGISTERED, WORKERS = "Successfully registered node", "start worker processes"
SERVING, CONTAINERD_AFTER = "Waiting for API server to become available", 1.1
"""The fake engine's k3s has no containerd. On real k3s its line comes so long after this one."""
POLL = 0.02
"""Between two looks at a log. k3d follows the log; on a real engine a look costs 2 ms."""
TAIL = 200
WHOLE = 100_000
"""More lines than a stand-in writes."""
HOSTS = "/etc/hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """k3d's fixed sleeps: before each server's create, in its load balancer, before /etc/hosts."""

    server: float = 1.0
    loadbalancer: float = 6.0
    hosts: float = 1.0


UNLIMITED = Limits(pull=0, create=0, start=0, remove=0, execute=0, write=0)
"""k3d asks the engine for one thing at a time or, where it does not, for all at once."""
NO_PAUSES = Pauses(server=0.0, loadbalancer=0.0, hosts=0.0)


async def create(cluster: Cluster, backend: Backend, pauses: Pauses) -> None:
    """Create a cluster in k3d's order; returns when k3d would."""
    await create_containers(cluster, backend, pauses)
    await backend.runtime.facts()
    servers, agents, balancer = cluster.servers, cluster.agents, cluster.loadbalancer
    for index, server in enumerate(servers):
        if index or len(servers) == 1:
            await _start(backend, server, UP)
        elif backend.is_rehearsal:
            await _start(backend, server, SERVING)
            await anyio.sleep(CONTAINERD_AFTER)
        else:
            await _start(backend, server, CONTAINERD)
    async with anyio.create_task_group() as group:
        for agent in agents:
            group.start_soon(_start, backend, agent, REGISTERED)
    if balancer is not None:
        await _start(backend, balancer, WORKERS)
        await anyio.sleep(pauses.loadbalancer)
    await _edit_hosts(backend, [*servers[len(servers) > 1 :], *agents], pauses)
    await backend.runtime.read_file(servers[0].name, KUBECONFIG_PATH)


async def create_containers(cluster: Cluster, backend: Backend, pauses: Pauses) -> None:
    """Create network, volume and all containers, one by one."""
    runtime, network = backend.runtime, ""
    if cluster.network is not None:
        network = await runtime.create_network(cluster.network)
    for volume in cluster.volumes:
        await runtime.create_volume(volume)
    for node in cluster.nodes:
        if node in cluster.servers and (len(cluster.servers) == 1 or not node.is_init):
            await anyio.sleep(pauses.server)
        labels = {**node.container.labels, LABEL_NETWORK_ID: network}
        await runtime.create_container(replace(node.container, network=network, labels=labels))


async def _start(backend: Backend, node: Node, line: str) -> None:
    await backend.runtime.start_container(node.name)
    while True:
        log = await backend.runtime.logs(node.name, tail=TAIL)
        if any(line in text for text in log):
            return
        await anyio.sleep(POLL)


async def start_again(backend: Backend, node: Node, line: str) -> None:
    """Start a container that has run before, and wait for a line as often again as it was there."""
    before = await _count(backend, node, line)
    await backend.runtime.start_container(node.name)
    while True:
        if await _count(backend, node, line) > before:
            return
        await anyio.sleep(POLL)


async def _count(backend: Backend, node: Node, line: str) -> int:
    log = await backend.runtime.logs(node.name, tail=WHOLE)
    return sum(line in text for text in log)


async def _edit_hosts(backend: Backend, nodes: Sequence[Node], pauses: Pauses) -> None:
    async def edit(node: Node) -> None:
        # Read, sleep, write to a temporary file; k3d then copies that one over the original.
        await anyio.sleep(pauses.hosts)
        await backend.runtime.write_files(node.name, [File(path="/tmp/hosts", content=b"")])

    async with anyio.create_task_group() as group:
        for node in nodes:
            group.start_soon(edit, node)


async def delete(cluster: Cluster, backend: Backend) -> None:
    """Remove a cluster as k3d does: node by node, the network, the volume."""
    runtime, labels = backend.runtime, {**APP, LABEL_CLUSTER: cluster.name}
    for node in reversed(cluster.nodes):  # the engine lists the newest first
        await runtime.remove_container(node.name, labels)
    await runtime.remove_network(cluster.network_name, APP)
    await runtime.remove_volume(volume_name(cluster.name), labels)


async def credentials(cluster: Cluster, backend: Backend) -> Credentials:
    """Return the administrator's certificate as soon as the init server has written it."""
    server = cluster.servers[0].name
    while True:
        try:
            content = await backend.runtime.read_file(server, KUBECONFIG_PATH)
        except NotFound:
            content = b""
        if kubeconfig.is_complete(content):
            return credentials_of(kubeconfig.parse(content, server))
        await anyio.sleep(POLL)


async def all_ready(cluster: Cluster, backend: Backend, names: Sequence[str] = ()) -> None:
    """Return when every node (or those named) is Ready, as the Kubernetes API says."""
    wanted = names or [node.name for node in (*cluster.servers, *cluster.agents)]

    def are_ready(nodes: Nodes) -> bool:
        return all(name in nodes and nodes[name].is_ready for name in wanted)

    await _until(cluster, backend, are_ready)


async def registered(cluster: Cluster, backend: Backend, name: str) -> None:
    """Return when the Kubernetes API knows that node."""
    await _until(cluster, backend, lambda nodes: name in nodes)


async def _until(cluster: Cluster, backend: Backend, holds: Callable[[Nodes], bool]) -> None:
    who = await credentials(cluster, backend)
    api = cluster.api
    async with backend.kubernetes(api.connect_host, api.port, who) as kubernetes:
        while True:
            try:
                async with kubernetes.nodes() as snapshots:
                    async for nodes in snapshots:
                        if holds(nodes):
                            return
            except KubernetesError:
                pass  # not up yet
            await anyio.sleep(POLL)
