"""Addresses for what comes into a network that is there."""

from itertools import islice

from k3dasync import addresses
from k3dasync.errors import SpecError
from k3dasync.operations._inspect import INSPECTIONS, inspect_present
from k3dasync.runtime import NetworkState, Runtime


async def free_addresses(
    network: NetworkState, count: int, runtime: Runtime, *, is_ours: bool
) -> tuple[str, ...]:
    """Return that many addresses of a network which nobody has, or will have when it is started.

    Of a network that *is ours* they are from the half that the engine leaves alone.

    Raises SpecError if there are too few.
    """
    subnet = next(cidr for cidr in network.subnets if ":" not in cidr)
    members = [one.name for one in await runtime.containers() if network.name in one.addresses]
    details = await inspect_present(runtime, members, at_once=INSPECTIONS)
    taken = {one.fixed_addresses.get(network.name, "") for one in details.values()}
    taken |= {one.state.addresses.get(network.name, "") for one in details.values()}
    taken.add(network.gateway)
    if not is_ours:
        return addresses.addresses_of_foreign(subnet, count, taken)
    free = (one for one in addresses.fixed_addresses(subnet) if one not in taken)
    found = tuple(islice(free, count))
    if len(found) < count:
        raise SpecError(
            f"network {network.name} has {len(found)} fixed addresses left, {count} are needed"
        )
    return found
