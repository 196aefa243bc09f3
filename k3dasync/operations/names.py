"""Names of what is there: for completion, from an engine."""

from dataclasses import dataclass

from k3dasync.cluster import APP, LABEL_ROLE, Role
from k3dasync.operations._existing import existing_clusters
from k3dasync.runtime import EngineReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Sorted names."""

    clusters: tuple[str, ...]
    remains: tuple[str, ...]
    """Clusters too of which but a network or a volume is left."""
    nodes: tuple[str, ...]
    registries: tuple[str, ...]


async def names(engine: EngineReader) -> Names:
    """Return the names of all that k3d or we have made."""
    clusters = await existing_clusters(engine)
    found = sorted(await engine.containers(APP), key=lambda one: one.name)
    return Names(
        clusters=tuple(name for name, cluster in clusters.items() if cluster.nodes),
        remains=tuple(clusters),
        nodes=tuple(one.name for one in found),
        registries=tuple(one.name for one in found if one.labels.get(LABEL_ROLE) == Role.REGISTRY),
    )
