"""Containers in more than one network: connecting and disconnecting them, whoever made them."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiodocker
from aiodocker.networks import DockerNetwork

from k3dasync.docker.connection import Connection
from k3dasync.docker.translate import Json, carries


def body(container: str, address: str | None, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the body of a connect call.

    An endpoint has no labels, but options for its driver, which keep what the driver does not
    know and come back in inspections (20.10).
    """
    endpoint: dict[str, Any] = {"DriverOpts": dict(labels)}
    if address is not None:
        endpoint["IPAMConfig"] = {"IPv4Address": address}
    return {"Container": container, "EndpointConfig": endpoint}


def connected(found: Json, network: str, labels: Mapping[str, str]) -> str | None:
    """Return how an inspected container knows that network, if it is connected so."""
    attached = (found.get("NetworkSettings") or {}).get("Networks") or {}
    for key, endpoint in attached.items():
        # One that does not run may show no id, and one that never ran an id as its key.
        is_meant = network in {key, endpoint.get("NetworkID")}
        if is_meant and carries(endpoint.get("DriverOpts") or {}, labels):
            return str(endpoint.get("NetworkID") or key)
    return None


async def connect(
    engine: Connection, container: str, network: str, address: str | None, labels: Mapping[str, str]
) -> None:
    """Connect a container to a network; raises foreign errors, so use it inside `mapped`."""
    target = await engine.docker.networks.get(network)
    try:
        await target.connect(body(container, address, labels))
    except aiodocker.DockerError:
        with suppress(aiodocker.DockerError):  # the first one says what matters
            await _forget(engine, container, target)
        raise


async def _forget(engine: Connection, container: str, network: DockerNetwork) -> None:
    """Take back what a refused connect leaves in a running container.

    The engine keeps the address that it has refused, and will neither start that container again
    nor disconnect it (20.10). It does when a connect without an address has succeeded.
    """
    found = await engine.docker.containers.container(container).show()
    attached = (found.get("NetworkSettings") or {}).get("Networks") or {}
    name = str((await network.show())["Name"])
    if name in attached and not attached[name].get("EndpointID") and found["State"]["Running"]:
        await network.connect({"Container": container})
        await network.disconnect({"Container": container})


async def disconnect(
    engine: Connection, container: str, network: str, labels: Mapping[str, str]
) -> bool:
    """Disconnect a container from a network, if it is connected so; raises foreign errors."""
    found = await engine.docker.containers.container(container).show()
    known = connected(found, network, labels)
    if known is None:
        # One that never ran shows no id for a network that it was given by name.
        shown = await (await engine.docker.networks.get(network)).show()
        known = connected(found, str(shown["Name"]), labels)
    if known is None:
        return False
    target = await engine.docker.networks.get(known)
    await target.disconnect({"Container": container})
    return True
