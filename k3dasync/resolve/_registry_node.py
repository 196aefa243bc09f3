"""The container of a registry, made with a cluster or by itself. Pure."""

from collections.abc import Iterator, Mapping

from k3dasync import __version__
from k3dasync.cluster import (
    APP,
    KUBECONFIG_ENV,
    LABEL_CLUSTER,
    LABEL_REGISTRY_HOST,
    LABEL_REGISTRY_IP,
    LABEL_ROLE,
    Node,
    Registry,
    RegistryChoice,
    Role,
)
from k3dasync.grammar import volumes
from k3dasync.resolve._own import own_labels
from k3dasync.runtime import ContainerSpec, PortBinding
from k3dasync.spec import RegistryProxy, RegistrySpec


def registry_node(
    spec: RegistrySpec,
    choice: RegistryChoice,
    *,
    network: str,
    address: str | None,
    labels: Mapping[str, str],
) -> Node:
    """Return a registry in that network; *labels* say whose it is."""
    registry = choice.registry
    container = ContainerSpec(
        name=registry.name,
        image=choice.image,
        network=network,
        address=address,
        env=(*_env(spec, registry), KUBECONFIG_ENV),
        labels={
            **labels,
            LABEL_ROLE: Role.REGISTRY,
            LABEL_REGISTRY_HOST: spec.exposure.host or "",
            LABEL_REGISTRY_IP: choice.host_ip,
            "k3s.registry.port.external": str(registry.host_port),
            "k3s.registry.port.internal": str(registry.port),
        },
        binds=tuple(str(volumes.parse(one)) for one in spec.volumes),
        ports=(
            PortBinding(
                port=f"{registry.port}/tcp",
                host_ip=choice.host_ip,
                host_port=registry.host_port,
            ),
        ),
    )
    return Node(name=registry.name, role=Role.REGISTRY, is_init=False, container=container)


def lone_registry(spec: RegistrySpec, choice: RegistryChoice, *, network: str, run: str) -> Node:
    """Return a registry that belongs to no cluster: k3d says so by an empty name."""
    labels = {
        **APP,
        LABEL_CLUSTER: "",
        "k3d.version": f"k3dasync-{__version__}",
        **own_labels(run),
    }
    return registry_node(spec, choice, network=network, address=None, labels=labels)


def _env(spec: RegistrySpec, registry: Registry) -> Iterator[str]:
    if spec.enforce_port_match:
        yield f"REGISTRY_HTTP_ADDR=:{registry.port}"
    if spec.proxy is not None:
        yield from _proxy_env(spec.proxy)
    if spec.allows_delete:
        yield "REGISTRY_STORAGE_DELETE_ENABLED=true"


def _proxy_env(proxy: RegistryProxy) -> Iterator[str]:
    yield f"REGISTRY_PROXY_REMOTEURL={proxy.remote_url}"
    if proxy.username:
        yield f"REGISTRY_PROXY_USERNAME={proxy.username}"
    if proxy.password:
        yield f"REGISTRY_PROXY_PASSWORD={proxy.password}"
