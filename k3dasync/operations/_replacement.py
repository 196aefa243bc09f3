"""The load balancer that is to take another one's place: all that its tasks need to know."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from k3dasync import image_match, nginx
from k3dasync.backend import Backend
from k3dasync.cluster import API_PORT, LABEL_EDIT, Cluster, Node
from k3dasync.errors import EngineError, NotFound, SpecError
from k3dasync.operations._edits import listens
from k3dasync.operations._observe import World
from k3dasync.operations._recall import is_ours
from k3dasync.resolve import balancer_files, servers_alias, values_file
from k3dasync.runtime import ContainerDetail, EngineReader, File, ImageState, Status
from k3dasync.tasks.replacement import Replacement
from k3dasync.undo import Place

_RUNS = frozenset({Status.RUNNING, Status.RESTARTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A cluster as it stands: with its load balancer, and every container in detail, by name."""

    world: World
    cluster: Cluster
    balancer: Node
    details: Mapping[str, ContainerDetail]

    @property
    def detail(self) -> ContainerDetail:
        """The load balancer in detail."""
        return self.details[self.balancer.name]

    @property
    def runs(self) -> bool:
        """Whether the load balancer runs."""
        return self.detail.state.status in _RUNS


async def replacement_of(after: Cluster, found: Found, backend: Backend) -> Replacement:
    """Return what takes the load balancer's place, so that the cluster is as *after* says."""
    balancer, runtime = after.loadbalancer, backend.runtime
    assert balancer is not None
    is_k3ds = not is_ours(found.balancer)
    addresses = _addresses(found) if is_k3ds and found.runs else None
    if is_k3ds:
        files: tuple[File, ...] = (values_file(after),)
        first = files if addresses is None else (values_file(after, addresses),)
    else:
        first = files = balancer_files(after, await _answering(found, runtime))
    return Replacement(
        cluster=after.name,
        spec=replace(
            balancer.container,
            image=image_of(found.detail, await runtime.images()),
            labels={**balancer.container.labels, LABEL_EDIT: after.run},
        ),
        kept=f"{balancer.name}-{after.run.rpartition('-')[2]}",
        places=tuple(_places(found)),
        starts=found.runs,
        answers=found.runs and await _api_answers(after, backend),
        api=after.api,
        listens=listens(after, addresses),
        files=files,
        first_files=first,
        first_targets=tuple(addresses.values()) if addresses else (),
    )


def image_of(found: ContainerDetail, images: Sequence[ImageState]) -> str:
    """Return the image of a container: its name if that still means the same one, else its id."""
    try:
        known = image_match.find(found.state.image, images)
    except SpecError:  # it has no name any more
        known = None
    is_same = known is not None and known[1].id == found.image_id
    return found.state.image if is_same else found.image_id


def _places(found: Found) -> Iterator[Place]:
    """Yield the load balancer's networks, the cluster's first: that one publishes its ports."""
    own = found.cluster.network_name
    for name in sorted(found.detail.state.addresses, key=lambda name: (name != own, name)):
        network = found.world.network(name)
        if network is None:
            raise NotFound("use", f"network {name}", "it is not there any more")
        yield Place(network=network.id, address=found.detail.fixed_addresses.get(name))


def _addresses(found: Found) -> dict[str, str]:
    """Return the addresses that nodes have now, by name."""
    network = found.cluster.network_name
    known = {name: one.state.addresses.get(network, "") for name, one in found.details.items()}
    return {name: address for name, address in known.items() if address}


async def _answering(found: Found, runtime: EngineReader) -> tuple[str, ...]:
    """Return the servers that connections go to now: whoever stands by is to stand by still."""
    cluster = found.cluster
    servers = {node.name: node.container.address for node in cluster.servers}
    try:
        config = await runtime.read_file(found.balancer.name, nginx.CONFIG_PATH)
    except EngineError:
        return tuple(servers)
    targets = set(nginx.api_targets(config, API_PORT))
    if servers_alias(cluster.name) in targets:
        return tuple(servers)
    known = tuple(name for name, address in servers.items() if {name, address} & targets)
    return known or tuple(servers)


async def _api_answers(cluster: Cluster, backend: Backend) -> bool:
    """Say whether the API can be reached from here: then it must be afterwards."""
    connect = backend.kubernetes
    async with connect(cluster.api.connect_host, cluster.api.port, None) as kubernetes:
        return await kubernetes.supervisor_answers()
