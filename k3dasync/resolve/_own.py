"""What a cluster has for itself besides containers, and the mark on it. Pure."""

from collections.abc import Collection, Iterator, Mapping

from k3dasync import __version__
from k3dasync.cluster import (
    APP,
    LABEL_CLUSTER,
    LABEL_EXPIRES,
    LABEL_RUN,
    NetworkChoice,
    volume_name,
)
from k3dasync.grammar import volumes
from k3dasync.runtime import NetworkSpec, VolumeSpec
from k3dasync.spec import ClusterSpec


def base_labels(cluster: str, expires: str = "") -> dict[str, str]:
    """Return the labels of everything in a cluster; *expires* is when its time is over, if ever."""
    limited = {LABEL_EXPIRES: expires} if expires else {}
    return {**APP, LABEL_CLUSTER: cluster, "k3d.version": f"k3dasync-{__version__}", **limited}


def own_labels(run: str) -> dict[str, str]:
    """Return the labels that say: this run made it."""
    return {LABEL_RUN: run, "k3dasync.version": __version__}


def own_volumes(
    spec: ClusterSpec, labels: Mapping[str, str], present: Collection[str]
) -> Iterator[VolumeSpec]:
    """Yield the volumes that go with the cluster, but for those that are *present* already."""
    names = [] if spec.external_image_volume or not spec.image_volume else [volume_name(spec.name)]
    mapped = [volumes.parse(one.value) for one in spec.volumes]
    names += [one.source for one in mapped if one.is_named and one.source.startswith("k3d-")]
    for name in dict.fromkeys(names):
        if name not in present:
            yield VolumeSpec(name=name, labels=labels)


def own_network(spec: ClusterSpec, run: str, choice: NetworkChoice) -> NetworkSpec:
    """Return the network that is to be made."""
    return NetworkSpec(
        name=choice.name,
        subnet=choice.subnet,
        gateway=choice.gateway,
        ip_range=choice.ip_range,
        labels={**APP, LABEL_CLUSTER: spec.name, **own_labels(run)},
    )
