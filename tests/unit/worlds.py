"""Clusters decided without an engine, for tests about what was decided."""

from dataclasses import replace
from typing import Any

from k3dasync import addresses
from k3dasync.cluster import (
    ApiChoice,
    Cluster,
    NetworkChoice,
    Registry,
    RegistryChoice,
    UsedRegistry,
    node_names,
    registry_name,
)
from k3dasync.resolve import resolve
from k3dasync.spec import ClusterSpec, check

SUBNET = "10.160.7.0/24"
TOKEN = "the-secret"


def network(
    spec: ClusterSpec, *, is_external: bool = False, fixed: bool = True, connected: int = 0
) -> NetworkChoice:
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
        addresses=(
            addresses.node_addresses(SUBNET, len(node_names(spec)) + connected) if fixed else ()
        ),
    )


def made(spec: ClusterSpec) -> RegistryChoice | None:
    """Return the registry that is made in a fixed world, if one is."""
    asked, name = spec.registry, registry_name(spec)
    if asked is None or name is None:
        return None
    host_port = asked.exposure.port or 26551
    registry = Registry(
        name=name,
        port=host_port if asked.enforce_port_match else 5000,
        host="localhost",
        host_port=host_port,
        remote=asked.proxy.remote_url if asked.proxy else "",
    )
    return RegistryChoice(
        registry=registry, image=asked.image or "registry:test", host_ip="127.0.0.1"
    )


def decided(
    spec: ClusterSpec,
    *,
    is_external: bool = False,
    fixed: bool = True,
    host: str = "127.0.0.1",
    used: tuple[UsedRegistry, ...] = (),
    token: str = TOKEN,
    has_ipv6: bool = False,
    **more: Any,
) -> Cluster:
    """Return the cluster of a spec in a fixed world; *more* is for `resolve`."""
    spec = check(spec)
    connected = sum(not one.is_connected for one in used)
    is_on_host = spec.network == addresses.HOST_NETWORK
    port = spec.api_port.port or (6443 if is_on_host else 26550)
    return resolve(
        spec,
        run="20261122-181500-abcdef",
        token=token,
        network=replace(
            network(spec, is_external=is_external, fixed=fixed, connected=connected),
            has_ipv6=has_ipv6,
        ),
        api=ApiChoice(host=host, host_ip=host, port=port),
        loadbalancer_image="nginx:test",
        host_alias="" if is_on_host else "10.160.7.1",
        registry=made(spec),
        used=used,
        **more,
    )
