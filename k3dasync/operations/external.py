"""Volumes and networks made by themselves, for several clusters: no cluster's delete takes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from k3dasync import __version__, addresses
from k3dasync.cluster import APP, LABEL_EXTERNAL
from k3dasync.errors import NameTaken, SubnetTaken
from k3dasync.journal import cluster_lock, place_of
from k3dasync.life_errors import NotMade
from k3dasync.operations._choose import no_subnet_left, refuse_overlap
from k3dasync.operations._observe import observe
from k3dasync.runtime import (
    EngineReader,
    NetworkSpec,
    NetworkState,
    Runtime,
    VolumeSpec,
    VolumeState,
)

LABELS = {**APP, LABEL_EXTERNAL: "true", "k3dasync.version": __version__}
"""No cluster's name is among them."""
MARK = {LABEL_EXTERNAL: "true"}
"""By what they are known again."""
MOST_TRIES = 12
"""Subnets that others took in between, as of a cluster's create."""
ROOM = 126
"""Containers that a network has room for, unless its subnet is given: the pool's smallest part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be made: its name, and labels of the user's own."""

    name: str
    labels: Mapping[str, str]
    subnet: str | None = None


async def create_volume(asked: Asked, runtime: Runtime) -> bool:
    """Create a volume, and say whether it was not there yet.

    Raises NameTaken if there is one of that name which was not made so.
    """
    present = {one.name: one for one in await runtime.volumes()}
    known = present.get(asked.name)
    if known is None:
        spec = VolumeSpec(name=asked.name, labels={**asked.labels, **LABELS})
        known = await runtime.create_volume(spec)
    if not MARK.items() <= known.labels.items():
        detail = "a volume that is there already; it can be used as it is"
        raise NameTaken("volume", asked.name, detail)
    return asked.name not in present


async def create_network(asked: Asked, runtime: Runtime) -> str:
    """Create a network with a subnet of its own, and return that.

    Nodes of clusters in it have fixed addresses.

    Raises NameTaken if there is one of that name,
    SubnetTaken if the subnet that was asked for overlaps with another one, PoolExhausted if
    none of the pool is free.
    """
    # Names of networks are not unique: two calls at once would make two.
    with cluster_lock(place_of("network", asked.name), (await runtime.facts()).id):
        return await _create_network(asked, runtime)


async def _create_network(asked: Asked, runtime: Runtime) -> str:
    refused: list[str] = []
    while True:
        subnet = await _subnet(asked, runtime, refused)
        layout = addresses.layout(subnet)
        spec = NetworkSpec(
            name=asked.name,
            subnet=layout.subnet,
            gateway=layout.gateway,
            ip_range=layout.ip_range,
            labels={**asked.labels, **LABELS},
        )
        try:
            await runtime.create_network(spec)
        except SubnetTaken:
            refused.append(subnet)
            if asked.subnet is not None or len(refused) == MOST_TRIES:
                raise
        else:
            return subnet


async def _subnet(asked: Asked, runtime: Runtime, refused: Sequence[str]) -> str:
    world = await observe(runtime, await runtime.facts())
    if any(one.name == asked.name for one in world.networks):
        detail = f"a network that is there already; use it: create --network {asked.name}"
        raise NameTaken("network", asked.name, detail)
    if asked.subnet is not None:
        refuse_overlap(asked.name, asked.subnet, world)
        return asked.subnet
    taken = [*world.subnets, *refused]
    subnet = next(addresses.subnets(asked.name, ROOM, taken), None)
    if subnet is None:
        raise no_subnet_left(asked.name)
    return subnet


async def delete_volume(name: str, runtime: Runtime) -> bool:
    """Remove a volume that was made so, and say whether it was there.

    Raises NotMade if it was not made so, Conflict if it is in use.
    """
    if await runtime.remove_volume(name, MARK):
        return True
    if name in {one.name for one in await runtime.volumes()}:
        raise NotMade("volume", name)
    return False


async def delete_network(name: str, runtime: Runtime) -> bool:
    """Remove a network that was made so; as `delete_volume`."""
    if await runtime.remove_network(name, MARK):
        return True
    if name in {one.name for one in await runtime.networks()}:
        raise NotMade("network", name)
    return False


async def external_networks(runtime: EngineReader) -> list[NetworkState]:
    """Return the networks that were made so, by name."""
    return sorted(await runtime.networks(MARK), key=lambda one: one.name)


async def external_volumes(runtime: EngineReader) -> list[VolumeState]:
    """Return the volumes that were made so, by name."""
    return sorted(await runtime.volumes(MARK), key=lambda one: one.name)
