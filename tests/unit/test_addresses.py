"""Subnets, node addresses and API ports."""

import ipaddress
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k3dasync import addresses
from k3dasync.errors import SpecError

names = st.text(st.sampled_from("abcdefghij0123456789-"), min_size=1, max_size=32)


@given(names, st.integers(1, 2000))
def test_a_subnet_has_room_for_its_nodes(name: str, nodes: int) -> None:
    """Whatever the size, all nodes fit into the lower half beside the gateway."""
    subnet = next(addresses.subnets(name, nodes, ()))
    layout = addresses.layout(subnet)
    dynamic = ipaddress.ip_network(layout.ip_range)
    fixed = [ipaddress.ip_address(one) for one in addresses.node_addresses(subnet, nodes)]

    assert nodes == len(set(fixed))
    assert not any(address in dynamic for address in fixed)
    assert ipaddress.ip_address(layout.gateway) not in fixed


@given(names)
def test_the_same_name_gets_the_same_numbers(name: str) -> None:
    """A cluster made again has its old subnet and port."""
    first = (next(addresses.subnets(name, 4, ())), next(addresses.api_ports(name, ())))

    assert first == (next(addresses.subnets(name, 4, ())), next(addresses.api_ports(name, ())))


@given(names, st.integers(0, 40))
def test_what_is_taken_is_never_offered(name: str, count: int) -> None:
    """Candidates overlap with nothing that is there, ports likewise."""
    taken = list(islice(addresses.subnets(name, 4, ()), count))
    ports = set(islice(addresses.api_ports(name, ()), count))

    assert next(addresses.subnets(name, 4, taken)) not in taken
    assert next(addresses.api_ports(name, ports)) not in ports


def test_a_larger_network_blocks_all_it_covers() -> None:
    """A taken /13 leaves the other half of the pool."""
    found = set(addresses.subnets("dev", 4, ["10.160.0.0/13", "fd00::/64"]))

    assert 2048 == len(found)
    assert all(
        ipaddress.IPv4Network(one)[0] >= ipaddress.IPv4Address("10.168.0.0") for one in found
    )


def test_the_pool_ends() -> None:
    """When everything is taken there is no candidate, and no endless search."""
    assert [] == list(addresses.subnets("dev", 4, ["10.0.0.0/8"]))


def test_a_subnet_too_small_is_refused_with_both_numbers() -> None:
    """The message says how many fit and how many are wanted."""
    with pytest.raises(SpecError, match="room for 2 nodes, 3 are asked for"):
        addresses.node_addresses("10.0.0.0/29", 3)


def test_in_a_foreign_network_addresses_come_from_the_top() -> None:
    """The engine gives dynamic ones from the bottom, so those from the top collide last."""
    found = addresses.addresses_of_foreign("10.0.0.0/28", 3, {"10.0.0.13", "10.0.0.1"})

    assert ("10.0.0.14", "10.0.0.12", "10.0.0.11") == found


def test_a_foreign_network_that_is_full_is_refused() -> None:
    """It is said how many addresses are free."""
    with pytest.raises(SpecError, match="has 5 free addresses, 9 are needed"):
        addresses.addresses_of_foreign("10.0.0.0/29", 9, ())


@pytest.mark.parametrize("text", ["x", "5-3", "0-10", "1-70000", "1-"])
def test_a_bad_port_range_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in the setting is named, not ignored."""
    monkeypatch.setenv("K3DASYNC_API_PORTS", text)
    with pytest.raises(SpecError, match="K3DASYNC_API_PORTS"):
        next(addresses.api_ports("dev", ()))


def test_a_configured_pool_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """K3DASYNC_SUBNET_POOL replaces the pool, and one too small is refused."""
    monkeypatch.setenv("K3DASYNC_SUBNET_POOL", "192.168.240.0/24")
    assert ["192.168.240.0/24"] == list(addresses.subnets("dev", 4, ()))
    with pytest.raises(SpecError, match="too small"):
        next(addresses.subnets("dev", 400, ()))
