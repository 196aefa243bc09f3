"""What a user should know of a cluster that works all the same. Pure."""

from collections.abc import Iterator

from k3dasync.cluster import Cluster


def warnings(cluster: Cluster) -> Iterator[str]:
    """Yield a sentence for each thing that may not be meant so."""
    if cluster.is_on_host_network:
        yield (
            f"on network {cluster.network_name} the API listens on port {cluster.api.port} of "
            "every address of the engine's host"
        )
    elif not cluster.has_fixed_addresses:
        text = f"network {cluster.network_name} has no subnet configured by a user: nodes get "
        # Etcd's members know each other by address.
        if cluster.has_external_datastore:
            yield f"{text}dynamic addresses"
        else:
            yield f"{text}dynamic addresses, and several servers may not survive a restart"
    if len(cluster.servers) == 2 and not cluster.has_external_datastore:
        yield "two servers have no quorum when one of them is down; use 1 or 3"
    yield from cluster.warnings
