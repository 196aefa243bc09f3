"""The registries that a cluster is to use, as they are on the engine."""

from functools import partial

from k3dasync.cluster import (
    APP,
    LABEL_REGISTRY_HOST,
    LABEL_ROLE,
    Registry,
    Role,
    UsedRegistry,
    network_name,
)
from k3dasync.errors import NotFound, RegistryUnusable
from k3dasync.gather import gather
from k3dasync.grammar.names import called
from k3dasync.operations._observe import World
from k3dasync.runtime import (
    ANY_ADDRESS,
    ContainerDetail,
    ContainerState,
    EngineFacts,
    Runtime,
    Status,
)
from k3dasync.spec import ClusterSpec

_REMOTE = "REGISTRY_PROXY_REMOTEURL="
LOOPBACK = ("127.0.0.1", "::1")


async def used_registries(
    spec: ClusterSpec, world: World, runtime: Runtime
) -> tuple[UsedRegistry, ...]:
    """Return the registries that are to be used, each once, in the order in which they are named.

    Raises RegistryUnusable if one is not there, is no registry of k3d's or ours, or does not run.
    """
    names = dict.fromkeys(_find(one.name, world).name for one in spec.registries)
    details = await gather([partial(_inspect, runtime, name) for name in names])
    network = network_name(spec)
    return tuple(
        UsedRegistry(
            registry=registry_of(one, world.facts), is_connected=network in one.state.addresses
        )
        for one in details
    )


def _find(name: str, world: World) -> ContainerState:
    container = called({one.name: one for one in world.containers}, name)
    if container is None:
        raise RegistryUnusable(
            name, "there is no container of that name", "see what there is: k3dasync node list"
        )
    labels = container.labels
    if labels.get("app") != APP["app"] or labels.get(LABEL_ROLE) != Role.REGISTRY:
        raise RegistryUnusable(
            name,
            "that container is no registry made by k3d or k3dasync",
            "name one of those, or describe it in a file for --registry-config",
        )
    if container.status is not Status.RUNNING:
        what_to_do = f"start it: k3dasync registry start {container.name}"
        if container.status is Status.RESTARTING:
            what_to_do = f"see why it does not stay up: docker logs {container.name}"
        raise RegistryUnusable(name, f"it is {container.status}", what_to_do)
    return container


async def _inspect(runtime: Runtime, name: str) -> ContainerDetail:
    try:
        return await runtime.inspect_container(name)
    except NotFound:
        raise RegistryUnusable(name, "it was removed just now", "name another one") from None


def registry_of(found: ContainerDetail, facts: EngineFacts) -> Registry:
    """Return what a registry's container says of itself; only that one knows its ports.

    Raises RegistryUnusable if it publishes no port, or several.
    """
    name = found.state.name
    if len(found.bindings) != 1:
        raise RegistryUnusable(
            name,
            f"it publishes {len(found.bindings)} ports, expected one",
            "make it again with one port",
        )
    (binding,) = found.bindings
    port = int(binding.port.partition("/")[0])
    # A port that the engine has chosen is known while it runs.
    published = binding.host_port or next(iter(found.state.bound_ports), 0)
    named = found.state.labels.get(LABEL_REGISTRY_HOST)
    return Registry(
        name=name,
        port=port,
        host=host_of(named, binding.host_ip, facts),
        host_port=published,
        remote=next(
            (entry.removeprefix(_REMOTE) for entry in found.env if entry.startswith(_REMOTE)), ""
        ),
    )


def host_of(named: str | None, host_ip: str, facts: EngineFacts) -> str:
    """Return where people reach a registry: the host that was named, if that is not every one."""
    return named if named and named not in ANY_ADDRESS else reached_at(host_ip, facts)


def reached_at(host_ip: str, facts: EngineFacts) -> str:
    """Return the host under which people reach what binds that address of the engine's host."""
    if host_ip in LOOPBACK or (host_ip in ANY_ADDRESS and facts.is_local):
        return "localhost"
    return facts.host if host_ip in ANY_ADDRESS else host_ip
