"""A node that is added to a cluster: like one of its role that is there, with what is asked. Pure.

What the engine tells of that one is copied, and so are files of ours and k3d's that were put into
it; what belongs to it alone, its address, ports and labels of the user's, is not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from k3dasync import __version__, entrypoint
from k3dasync.cluster import (
    API_PORT,
    APP,
    LABEL_CLUSTER,
    LABEL_HOST_ALIASES,
    LABEL_INIT,
    LABEL_ROLE,
    LABEL_STATIC_IP,
    LABEL_TOKEN,
    Cluster,
    Node,
    ProxiedPort,
    Role,
)
from k3dasync.fixes import Fixes
from k3dasync.grammar import volumes
from k3dasync.grammar.words import Ulimit
from k3dasync.invalid import ConflictingFlags
from k3dasync.resolve import _arguments, _datastore
from k3dasync.resolve._balancer import port_alias, servers_alias
from k3dasync.resolve._own import own_labels
from k3dasync.runtime import ContainerDetail, ContainerSpec, File

REGISTRIES = "/etc/rancher/k3s/registries.yaml"
_CURES = ("", "-cgroupv2", "-dns", "-mounts")
_SCRIPTS = tuple(f"/bin/k3d-entrypoint{one}.sh" for one in _CURES)
_COREDNS = "/bin/k3d-entrypoint-coredns.sh"
_URL, _TOKEN, _INIT, _DATASTORE = "K3S_URL", "K3S_TOKEN", "K3S_CLUSTER_INIT", "K3S_DATASTORE_"
_OF_K3D_ALONE = frozenset({"/proc/meminfo", "/sys/devices/system/edac"})
"""What k3d mounts over a node with a limit of memory, from files of the client's."""
_NO_CURE = Fixes(cgroupv2=False, dns=False, mounts=False)
_EXECUTABLE, _PRIVATE = 0o744, 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """What is asked of new nodes; None and nothing mean: as the one that is there.

    `memory` in bytes. `networks` are further ones.
    """

    role: Role = Role.AGENT
    image: str | None = None
    memory: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    ulimits: tuple[Ulimit, ...] = ()
    node_labels: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The node that new ones are like, with the files that count for them, by path."""

    found: ContainerDetail
    role: Role
    files: Mapping[str, bytes] = field(repr=False)


def files_of(found: ContainerDetail) -> tuple[str, ...]:
    """Return the paths of the files that count for a node which is to be like that one."""
    pem = [value for key, value in _split(found.env) if _is_file_of_datastore(key)]
    return (*_SCRIPTS, _COREDNS, REGISTRIES, entrypoint.POD_HOSTS_PATH, *pem)


def _split(env: Sequence[str]) -> Iterator[tuple[str, str]]:
    for entry in env:
        key, _, value = entry.partition("=")
        yield key, value


def _is_file_of_datastore(key: str) -> bool:
    return key.startswith(_DATASTORE) and key.endswith("FILE")


def addition(
    name: str,
    wanted: NodeSpec,
    *,
    cluster: Cluster,
    source: Source,
    image: str,
    address: str | None,
    extra_hosts: tuple[str, ...],
    run: str,
) -> Node:
    """Return a node to be added to a cluster, at that address, or at one of the engine's choice.

    Raises SpecError if what is asked would break the cluster.
    """
    _refuse(wanted)
    found = source.found
    memory = found.memory if source.role is wanted.role else 0
    memory = memory if wanted.memory is None else wanted.memory
    files = tuple(_files(wanted.role, source, memory))
    if cluster.has_external_datastore:
        files = (*files, _datastore.node_password(wanted.token or cluster.token, name))
    has_scripts = any(file.path == entrypoint.PATH for file in files)
    container = ContainerSpec(
        name=name,
        image=image,
        network=cluster.network_name,
        address=address,
        aliases=() if cluster.has_fixed_addresses else tuple(_aliases(cluster, wanted.role)),
        entrypoint=(entrypoint.PATH,) if has_scripts else None,
        command=tuple(_command(wanted, cluster, source)),
        env=tuple(_env(wanted, cluster, source)),
        labels=_labels(wanted, cluster, found, address, run),
        binds=tuple(one for one in found.binds if not _is_of_k3d_alone(one)),
        extra_hosts=extra_hosts,
        init=found.init,
        host_pid_mode=found.host_pid_mode,
        ulimits=_ulimits(found.ulimits, wanted.ulimits),
        memory=memory,
        gpus=found.gpus,
        files=files,
    )
    return Node(name=name, role=wanted.role, is_init=False, container=container)


def _refuse(wanted: NodeSpec) -> None:
    if _arguments.has_option(wanted.arguments, _arguments.CLUSTER_INIT):
        raise ConflictingFlags(
            "--k3s-arg --cluster-init cannot be used here: a node that is added joins, and has no "
            "datastore of its own"
        )


def _is_of_k3d_alone(bind: str) -> bool:
    return volumes.parse(bind).destination in _OF_K3D_ALONE


def _ulimits(there: Sequence[Ulimit], wanted: Sequence[Ulimit]) -> tuple[Ulimit, ...]:
    return tuple({one.name: one for one in (*there, *wanted)}.values())


def _command(wanted: NodeSpec, cluster: Cluster, source: Source) -> Iterator[str]:
    if source.role is wanted.role and source.found.command:
        for word in source.found.command:
            if word.partition("=")[0] != _arguments.CLUSTER_INIT:
                yield word
    else:
        yield wanted.role
        if wanted.role is Role.SERVER:
            names = [
                cluster.api.host,
                *([cluster.loadbalancer.name] if cluster.loadbalancer else []),
            ]
            for one in names:
                yield from ("--tls-san", one)
    yield from wanted.arguments
    for label in wanted.node_labels:
        yield from ("--node-label", label)


def _env(wanted: NodeSpec, cluster: Cluster, source: Source) -> Iterator[str]:
    shares_datastore = wanted.role is Role.SERVER and cluster.has_external_datastore
    url = ""
    for entry in source.found.env:
        key, _, value = entry.partition("=")
        if key == _URL:
            url = value
        elif key == _TOKEN and wanted.token:
            pass
        elif key != _INIT and (shares_datastore or not key.startswith(_DATASTORE)):
            yield entry
    if wanted.token:
        yield f"{_TOKEN}={wanted.token}"
    if not shares_datastore:
        yield f"{_URL}={_where_to_join(url, cluster)}"


def _where_to_join(url: str, cluster: Cluster) -> str:
    """Return where the other one has joined, if that is still there, else by whom there is now."""
    if urlsplit(url).hostname in {node.name.lower() for node in cluster.nodes}:
        return url
    host = cluster.loadbalancer or cluster.servers[0]
    return f"https://{host.name}:{API_PORT}"


def _labels(
    wanted: NodeSpec, cluster: Cluster, found: ContainerDetail, address: str | None, run: str
) -> dict[str, str]:
    """Return the user's labels, then those that all nodes of the cluster share, then its own."""
    own = {LABEL_ROLE, LABEL_STATIC_IP, LABEL_INIT}
    shared = {
        key: value
        for key, value in found.state.labels.items()
        if key.startswith("k3d.")
        and key not in own
        and (wanted.role is Role.SERVER or not key.startswith("k3d.server.api."))
    }
    return {
        **wanted.labels,
        **APP,
        **shared,
        "k3d.version": f"k3dasync-{__version__}",
        LABEL_ROLE: wanted.role,
        LABEL_CLUSTER: cluster.name,
        LABEL_TOKEN: wanted.token or cluster.token,
        **({LABEL_INIT: "false"} if wanted.role is Role.SERVER else {}),
        **({LABEL_STATIC_IP: address} if address and wanted.role is Role.SERVER else {}),
        **own_labels(run),
    }


def _files(role: Role, source: Source, memory: int) -> Iterator[File]:
    there, is_server = source.files, role is Role.SERVER
    made = {file.path: file for file in _memory_files(memory)}
    for path in (*_SCRIPTS, *([_COREDNS] if is_server else [])):
        if path in there:
            made[path] = File(path=path, content=there[path], mode=_EXECUTABLE)
    yield from made.values()
    for path in (REGISTRIES, *([entrypoint.POD_HOSTS_PATH] if is_server else [])):
        if path in there:
            yield File(path=path, content=there[path])
    for key, path in _split(source.found.env):
        if is_server and _is_file_of_datastore(key) and path in there:
            yield File(path=path, content=there[path], mode=_PRIVATE)


def _memory_files(memory: int) -> tuple[File, ...]:
    """Return what shows a node the memory that it may use, with what runs that at its start."""
    if not memory:
        return ()
    return entrypoint.node_files(
        is_server=False, gateway=None, memory=memory, has_hosts=False, fixes=_NO_CURE
    )


def _aliases(cluster: Cluster, role: Role) -> Iterator[str]:
    """Yield common names, for a load balancer on a network whose addresses are not known."""
    if role is Role.SERVER:
        yield servers_alias(cluster.name)
    for port in cluster.proxied:
        if leads_to_all(port, cluster, role):
            yield port_alias(cluster.name, port)


def leads_to_all(port: ProxiedPort, cluster: Cluster, role: Role) -> bool:
    """Say whether a port leads to every node of a role: then to a new one, too."""
    there = {node.name for node in cluster.nodes if node.role is role}
    return bool(there) and there <= set(port.nodes)


def grown(cluster: Cluster, added: Sequence[Node]) -> Cluster:
    """Return the cluster with these nodes, and the ports that lead to them too."""

    def ports() -> Iterator[ProxiedPort]:
        for port in cluster.proxied:
            more = [one.name for one in added if leads_to_all(port, cluster, one.role)]
            yield replace(port, nodes=(*port.nodes, *more))

    return replace(cluster, nodes=(*cluster.nodes, *added), proxied=tuple(ports()))


def host_entries(
    found: ContainerDetail, aliases: Sequence[Mapping[str, object]], host_alias: str
) -> tuple[str, ...]:
    """Return the host entries of a new node: those of its source, or what k3d would inject.

    *aliases* are what the label of k3d's says, *host_alias* stands for the engine's host.
    """
    if found.extra_hosts or (LABEL_HOST_ALIASES not in found.state.labels and not host_alias):
        return found.extra_hosts
    entries = [
        f"{name}:{one['ip']}"
        for one in aliases
        for name in (one.get("hostnames") or ())  # type: ignore[attr-defined]
    ]
    if host_alias:
        entries.append(f"{entrypoint.HOST_ALIAS}:{host_alias}")
    return tuple(entries)
