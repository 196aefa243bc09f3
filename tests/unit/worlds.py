"""Clusters decided without an engine, for tests about what was decided."""

from typing import Any

from k3dasync import addresses
from k3dasync.cluster import ApiChoice, Cluster, NetworkChoice, node_names
from k3dasync.resolve import resolve
from k3dasync.spec import ClusterSpec, check

SUBNET = "10.160.7.0/24"
TOKEN = "the-secret"


def network(spec: ClusterSpec, *, is_external: bool = False, fixed: bool = True) -> NetworkChoice:
    if spec.network == addresses.HOST_NETWORK:
        return NetworkChoice(
            name=spec.network, is_external=True, subnet="", gateway="", ip_range="", addresses=()
        )
    layout = addresses.layout(SUBNET)
    return NetworkChoice(
        name=spec.network or f"k3d-{spec.name}",
        is_external=is_external,
        subnet=layout.subnet,
        gateway=layout.gateway,
        ip_range=layout.ip_range,
        addresses=addresses.node_addresses(SUBNET, len(node_names(spec))) if fixed else (),
    )


def decided(
    spec: ClusterSpec,
    *,
    is_external: bool = False,
    fixed: bool = True,
    host: str = "127.0.0.1",
    token: str = TOKEN,
    **more: Any,
) -> Cluster:
    """Return the cluster of a spec in a fixed world; *more* is for `resolve`."""
    spec = check(spec)
    is_on_host = spec.network == addresses.HOST_NETWORK
    port = spec.api_port.port or (6443 if is_on_host else 26550)
    return resolve(
        spec,
        run="20261122-181500-abcdef",
        token=token,
        network=network(spec, is_external=is_external, fixed=fixed),
        api=ApiChoice(host=host, host_ip=host, port=port),
        loadbalancer_image="nginx:test",
        host_alias="" if is_on_host else "10.160.7.1",
        **more,
    )
