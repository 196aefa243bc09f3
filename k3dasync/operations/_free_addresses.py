"""Addresses for what comes into a network that is there."""

from k3dasync import addresses
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
    choose = addresses.addresses_of_own if is_ours else addresses.addresses_of_foreign
    return choose(subnet, count, taken)
