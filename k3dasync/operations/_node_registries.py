"""What the nodes of a cluster that is there are told of registries. Pure, but for reading them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from k3dasync import containerd, entrypoint, registries_yaml
from k3dasync.cluster import Cluster, Node, Registry
from k3dasync.errors import NotFound
from k3dasync.gather import gather
from k3dasync.operations._recall import is_ours
from k3dasync.resolve import HOSTING_PATH, hides, hosting, mirrors_of
from k3dasync.runtime import EngineReader, File
from k3dasync.tasks.registry_use import Told

_SECRETIVE = 0o600
"""A registries.yaml can hold passwords."""
_FORGET_HOSTING = (
    "kubectl",
    "delete",
    "configmap",
    "local-registry-hosting",
    "-n",
    "kube-public",
    "--ignore-not-found",
)
"""k3s leaves what it has applied when the manifest is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """What a node knows now: its registries.yaml, the names of hosts for pods.

    `reads_hosts`: its containerd reads mirrors anew at each pull.
    """

    node: Node
    is_running: bool
    text: str
    hosts: str
    reads_hosts: bool

    @property
    def is_mounted(self) -> bool:
        """Whether somebody has mounted a volume over its registries.yaml."""
        return hides(self.node.container.binds)


async def node_states(
    cluster: Cluster, running: frozenset[str], runtime: EngineReader
) -> tuple[NodeState, ...]:
    """Ask every k3s node of a cluster what it knows."""

    async def read(name: str, path: str) -> bytes:
        try:
            return await runtime.read_file(name, path)
        except NotFound:
            return b""

    async def ask(node: Node) -> NodeState:
        name = node.name
        text = await read(name, registries_yaml.PATH)
        hosts = await read(name, entrypoint.POD_HOSTS_PATH) if node in cluster.servers else b""
        config = await read(name, containerd.CONFIG_PATH) if name in running else b""
        return NodeState(
            node=node,
            is_running=name in running,
            text=text.decode(errors="replace"),
            hosts=hosts.decode(errors="replace"),
            reads_hosts=containerd.reads_hosts(config),
        )

    nodes = (*cluster.servers, *cluster.agents)
    return tuple(await gather([partial(ask, node) for node in nodes], at_once=8))


def used(
    states: Sequence[NodeState], registries: Sequence[Registry], addresses: Mapping[str, str]
) -> tuple[Told, ...]:
    """Return what the nodes are told to use *registries*; *addresses*: those that are fixed."""
    return tuple(
        told for one in states if (told := _use(one, mirrors_of(registries), addresses)) is not None
    )


def _use(state: NodeState, mirrors: Mapping[str, str], addresses: Mapping[str, str]) -> Told | None:
    files: list[File] = []
    if not state.is_mounted:
        text = registries_yaml.merged(state.text, mirrors)
        files.append(_registries(text))
        if state.reads_hosts:
            files += containerd.hosts_files(registries_yaml.added(state.text, mirrors))
    kept = _hosts_without(state.hosts, addresses)
    lines = [f"{address} {name}" for name, address in addresses.items()]
    return _told(state, files, "".join(f"{line}\n" for line in (*kept, *lines)))


def forgotten(states: Sequence[NodeState], registries: Sequence[Registry]) -> tuple[Told, ...]:
    """Return what lets the nodes use *registries* no more."""
    names = {one.name: "" for one in registries}
    found = (_forget(one, mirrors_of(registries), names) for one in states)
    return tuple(told for told in found if told is not None)


def _forget(state: NodeState, mirrors: Mapping[str, str], names: Mapping[str, str]) -> Told | None:
    files: list[File] = []
    folders: list[str] = []
    if not state.is_mounted and state.text:
        files.append(_registries(registries_yaml.without(state.text, mirrors)))
        if state.reads_hosts:
            folders = [containerd.folder_of(host) for host in mirrors]
    kept = "".join(f"{line}\n" for line in _hosts_without(state.hosts, names))
    return _told(state, files, kept, remove=folders)


def _told(
    state: NodeState, files: list[File], hosts: str, *, remove: Sequence[str] = ()
) -> Told | None:
    commands: list[tuple[str, ...]] = []
    if remove and state.is_running:
        commands.append(("rm", "-rf", *remove))
    if hosts != state.hosts and _tells_pods(state):
        files = [*files, File(path=entrypoint.POD_HOSTS_PATH, content=hosts.encode())]
        if state.is_running:
            commands.append((entrypoint.COREDNS_PATH,))
    if not files and not commands:
        return None
    return Told(node=state.node.name, files=tuple(files), commands=tuple(commands))


def _tells_pods(state: NodeState) -> bool:
    """Whether pods learn names from that node: from servers that start by our entrypoint."""
    node = state.node
    is_server = (node.container.command or ("",))[0] == "server"
    return is_server and is_ours(node) and node.container.entrypoint == (entrypoint.PATH,)


def _registries(text: str) -> File:
    return File(path=registries_yaml.PATH, content=text.encode(), mode=_SECRETIVE)


def _hosts_without(hosts: str, names: Mapping[str, str]) -> Iterator[str]:
    for line in hosts.splitlines():
        if not set(line.split()[1:]) & set(names):
            yield line


def pushing_to(cluster: Cluster, registry: Registry) -> Told:
    """Return what lets tools push to that registry: k3s applies it, now or at its start."""
    manifest = File(path=HOSTING_PATH, content=hosting(registry).encode())
    return Told(node=cluster.servers[0].name, files=(manifest,))


def pushing_nowhere(cluster: Cluster) -> Told:
    """Return what takes that back, in a cluster whose first server runs."""
    commands = (("rm", "-f", HOSTING_PATH), _FORGET_HOSTING)
    return Told(node=cluster.servers[0].name, files=(), commands=commands)
