"""What a cluster has for itself besides containers, and the mark on it. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

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
from k3dasync.grammar.names import PREFIX
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
    """Yield the volumes that are to be made, but for those that are *present* already.

    Those that go with the cluster have its *labels*: the one for images, and as with k3d those
    whose names begin with `k3d-`.
    """
    made, image = set(present), volume_name(spec.name)
    if spec.image_volume and not spec.external_image_volume and image not in made:
        yield VolumeSpec(name=image, labels=labels)
        made.add(image)
    for one in mounted_volumes([one.value for one in spec.volumes], labels[LABEL_RUN], made):
        yield replace(one, labels=labels) if one.name.startswith(PREFIX) else one


def mounted_volumes(
    mappings: Iterable[str], run: str, present: Collection[str]
) -> Iterator[VolumeSpec]:
    """Yield the named volumes of *mappings* that the engine would make too, unmarked.

    They are their user's and stay when what mounts them goes; the run that has made them takes them
    back if it fails.
    """
    named = [one.source for one in map(volumes.parse, mappings) if one.is_named]
    for name in dict.fromkeys(named):
        if name not in present:
            yield VolumeSpec(name=name, labels=own_labels(run))


def own_network(spec: ClusterSpec, run: str, choice: NetworkChoice) -> NetworkSpec:
    """Return the network that is to be made."""
    return NetworkSpec(
        name=choice.name,
        subnet=choice.subnet,
        gateway=choice.gateway,
        ip_range=choice.ip_range,
        labels={**APP, LABEL_CLUSTER: spec.name, **own_labels(run)},
    )
