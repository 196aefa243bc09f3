"""Host ports that a user asked for, looked at before anything is made.

Only a look: the claim is made by the engine when a container starts.
"""

import errno
import socket
from collections.abc import Collection, Iterator, Sequence

from k3dasync.cluster import Cluster
from k3dasync.errors import PortTaken
from k3dasync.operations._inspect import INSPECTIONS, inspect_present
from k3dasync.operations._observe import World
from k3dasync.runtime import ContainerDetail, PortBinding, Runtime, Status

HINT = "free it, or name another one"


async def refuse_ports_in_use(
    cluster: Cluster,
    world: World,
    runtime: Runtime,
    *,
    chosen: Collection[int],
    probes: bool,
) -> None:
    """Raise PortTaken if a host port of the cluster is in use, as `ports_in_use` finds them."""
    for one, words in await ports_in_use(cluster, world, runtime, chosen=chosen, probes=probes):
        what = f"port {one.host_port} of the engine's host"
        raise PortTaken("publish", what, words, hint=HINT)


async def ports_in_use(
    cluster: Cluster,
    world: World,
    runtime: Runtime,
    *,
    chosen: Collection[int],
    probes: bool,
) -> list[tuple[PortBinding, str]]:
    """Return the host ports of the cluster that are in use, and by whom.

    Those *chosen* by us may change, and are left out. Running containers are asked wherever the
    engine is. With *probes* so is this machine, which must be the engine's host.
    """
    asked = [
        one
        for node in cluster.nodes
        for one in node.container.ports
        if one.host_port and len(one.candidates) == 1 and one.host_port not in chosen
    ]
    twice = list(_asked_twice(asked))
    if twice:
        return [(one, "this cluster is to publish it twice") for one in twice]
    holders = await _holders(asked, world, runtime)
    found = [(one, _user(one, holders, probes=probes)) for one in asked]
    return [(one, words) for one, words in found if words]


def _asked_twice(asked: Sequence[PortBinding]) -> Iterator[PortBinding]:
    for index, one in enumerate(asked):
        if any(_is_same(one, other) for other in asked[:index]):
            yield one


def _user(one: PortBinding, holders: Sequence[ContainerDetail], *, probes: bool) -> str:
    """Return words about who has a port, nothing if nobody is known to."""
    for holder in holders:
        if any(_is_same(one, other) for other in holder.bindings):
            return f"container {holder.state.name} has it"
    return "it is in use" if probes and is_port_in_use(one) else ""


async def _holders(
    asked: Sequence[PortBinding], world: World, runtime: Runtime
) -> list[ContainerDetail]:
    """Return the running containers that have one of these numbers, at whatever address."""
    numbers = {one.host_port for one in asked}
    names = [
        one.name
        for one in world.containers
        if one.status is Status.RUNNING and not numbers.isdisjoint(one.bound_ports)
    ]
    return list((await inspect_present(runtime, names, at_once=INSPECTIONS)).values())


def _is_same(one: PortBinding, other: PortBinding) -> bool:
    return (
        one.host_port in other.candidates
        and one.protocol == other.protocol
        and one.shares_address(other)
    )


def is_port_in_use(binding: PortBinding) -> bool:
    """Say whether somebody on this machine has the port.

    Not being allowed to bind it says nothing: the engine may be. Nor does an address that this
    machine has not: the engine may have it.
    """
    family = socket.AF_INET6 if ":" in binding.host_ip else socket.AF_INET
    kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
    if binding.protocol not in kinds:
        return False
    try:
        with socket.socket(family, kinds[binding.protocol]) as probe:
            if binding.protocol == "tcp":
                # As the engine's proxy does: a port in TIME_WAIT is free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((binding.host_ip, binding.host_port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False
