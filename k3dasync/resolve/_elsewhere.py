"""An agent for a cluster that is somewhere else: all that is known of that is its URL. Pure."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from k3dasync import __version__, entrypoint
from k3dasync.cluster import (
    APP,
    KUBECONFIG_ENV,
    LABEL_CLUSTER,
    LABEL_NETWORK,
    LABEL_NETWORK_EXTERNAL,
    LABEL_ROLE,
    LABEL_TOKEN,
    Node,
    Role,
)
from k3dasync.fixes import Fixes
from k3dasync.images import K3S
from k3dasync.invalid import ConflictingFlags, InvalidValue
from k3dasync.resolve._addition import NodeSpec
from k3dasync.resolve._own import own_labels
from k3dasync.runtime import ContainerSpec

DEFAULT_NETWORK = "bridge"
"""The engine's own: containers there ask the host's resolver, so nothing has to be moved."""
_EXTERNAL = "k3d.cluster.external"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an agent is put: the network, its gateway, and what stands for the engine's host."""

    network: str
    gateway: str
    host_alias: str


def elsewhere(
    name: str, wanted: NodeSpec, *, url: str, place: Place, fixes: Fixes, run: str
) -> Node:
    """Return an agent that joins the cluster at *url*.

    Raises SpecError if that is no URL, the token is missing, or it is to be a server.
    """
    _refuse(wanted, url)
    memory = wanted.memory or 0
    is_own = place.network != DEFAULT_NETWORK
    files = entrypoint.node_files(
        is_server=False,
        gateway=place.gateway if is_own else None,
        memory=memory,
        fixes=fixes,
    )
    starts_by_itself = not (fixes.any or memory)
    labels = [word for one in wanted.node_labels for word in ("--node-label", one)]
    container = ContainerSpec(
        name=name,
        image=wanted.image or K3S,
        network=place.network,
        entrypoint=None if starts_by_itself else (entrypoint.PATH,),
        command=("agent", *wanted.arguments, *labels),
        env=(f"K3S_URL={url}", f"K3S_TOKEN={wanted.token}", KUBECONFIG_ENV),
        labels={
            **wanted.labels,
            **APP,
            "k3d.version": f"k3dasync-{__version__}",
            LABEL_ROLE: Role.AGENT,
            LABEL_CLUSTER: url,
            "k3d.cluster.url": url,
            _EXTERNAL: "true",
            LABEL_TOKEN: wanted.token or "",
            LABEL_NETWORK: place.network,
            LABEL_NETWORK_EXTERNAL: "true",
            **own_labels(run),
        },
        extra_hosts=((f"{entrypoint.HOST_ALIAS}:{place.host_alias}",) if place.host_alias else ()),
        init=fixes.init,
        ulimits=wanted.ulimits,
        memory=memory,
        files=() if starts_by_itself else files,
    )
    return Node(name=name, role=Role.AGENT, is_init=False, container=container)


def _refuse(wanted: NodeSpec, url: str) -> None:
    if not urlsplit(url).hostname:
        raise InvalidValue(f"--cluster {url}: expected https://HOST:PORT of the cluster's API")
    if wanted.role is not Role.AGENT:
        raise ConflictingFlags(
            f"--role server cannot be used with --cluster {url}: members of etcd reach each other "
            "at their own addresses, and those of containers are not reached from elsewhere"
        )
    if not wanted.token:
        raise ConflictingFlags(f"--cluster {url}: the token of that cluster is needed; add --token")
