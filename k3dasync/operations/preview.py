"""What a create would make, without any engine: decided for one with nothing on it."""

from typing import Any

from k3dasync import kubeconfig
from k3dasync.cluster import REGISTRY_PORT, Registry, UsedRegistry
from k3dasync.description import describe
from k3dasync.images import is_channel
from k3dasync.node_files import with_contents
from k3dasync.operations._choose import Refused
from k3dasync.operations._datastore import read_files
from k3dasync.operations._decide import Neighbours, decide
from k3dasync.operations._observe import World, local_routes
from k3dasync.operations._warnings import warnings
from k3dasync.runtime import EngineFacts
from k3dasync.spec import ClusterSpec, check

_LOCAL = EngineFacts(id="", endpoint="")


async def preview(spec: ClusterSpec) -> dict[str, Any]:
    """Return a document of everything that a create would make, secrets masked.

    What only an engine knows is assumed, and the document says what: `assumed`.

    Raises SpecError if it cannot be built, KubeconfigError if it could not be merged.
    """
    spec = with_contents(check(spec))
    target = None
    if spec.kubeconfig_update_default:
        target = kubeconfig.target(spec.name, switch=spec.kubeconfig_switch_context)
    decision = await decide(
        spec,
        world=World(
            facts=_LOCAL,
            containers=(),
            networks=(),
            volumes=(),
            bound_ports=frozenset(),
            routes=local_routes(),
        ),
        beside=Neighbours(registries=_registries(spec)),
        run="(chosen at each create)",
        token=spec.token or "(chosen at each create)",
        target=target,
        refused=Refused(),
        datastore_files=read_files(spec.datastore),
        expires="(counted from each create)" if spec.ttl else "",
    )
    document = describe(decision.cluster)
    document["kubeconfig"] = target.path if target else None
    document["warnings"] = list(warnings(decision.cluster))
    return {"assumed": _assumed(spec), **document}


def _registries(spec: ClusterSpec) -> tuple[UsedRegistry, ...]:
    return tuple(
        UsedRegistry(
            registry=Registry(
                name=one.name,
                port=one.ports[-1] if one.ports else REGISTRY_PORT,
                host="localhost",
                host_port=one.ports[0] if one.ports else REGISTRY_PORT,
            ),
            is_connected=False,
        )
        for one in spec.registries
    )


def _assumed(spec: ClusterSpec) -> list[str]:
    said = ["an engine on this machine, with no network, volume or container on it"]
    if is_channel(spec.image):
        said.append(
            f"image {spec.image} is a release channel: its version is looked up at a create"
        )
    said += [
        f"registry {one.registry.name} runs, with port {one.registry.port}"
        for one in _registries(spec)
    ]
    return said
