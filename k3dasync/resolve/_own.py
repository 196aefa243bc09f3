"""What a cluster has for itself besides containers, and the mark on it. Pure."""

from collections.abc import Iterator

from k3dasync import __version__
from k3dasync.cluster import APP, LABEL_CLUSTER, LABEL_RUN, NetworkChoice, volume_name
from k3dasync.grammar import volumes
from k3dasync.runtime import NetworkSpec
from k3dasync.spec import ClusterSpec


def own_labels(run: str) -> dict[str, str]:
    """Return the labels that say: this run made it."""
    return {LABEL_RUN: run, "k3dasync.version": __version__}


def own_volumes(spec: ClusterSpec) -> Iterator[str]:
    """Yield the names of the volumes that go with the cluster."""
    if spec.image_volume and spec.external_image_volume is None:
        yield volume_name(spec.name)
    mapped = [volumes.parse(one.value) for one in spec.volumes]
    names = dict.fromkeys(one.source for one in mapped if one.is_named)
    yield from (name for name in names if name.startswith("k3d-"))


def own_network(spec: ClusterSpec, run: str, choice: NetworkChoice) -> NetworkSpec:
    """Return the network that is to be made."""
    return NetworkSpec(
        name=choice.name,
        subnet=choice.subnet,
        gateway=choice.gateway,
        ip_range=choice.ip_range,
        labels={**APP, LABEL_CLUSTER: spec.name, **own_labels(run)},
    )
