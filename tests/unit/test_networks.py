"""Networks of every kind: the host's own, those with IPv6, those that say little."""

import ipaddress
import json
import socket
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from k3dasync import events
from k3dasync.cluster import ApiChoice
from k3dasync.docker import translate
from k3dasync.errors import EngineError, K3dAsyncError, NameTaken, PortTaken, SpecError
from k3dasync.fake import FakeRuntime, Latency, backend_of
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.words import HostAlias
from k3dasync.operations._choose import Refused, choose_api, choose_network, host_alias, host_ip
from k3dasync.operations._observe import World
from k3dasync.operations.create import create
from k3dasync.operations.delete import delete
from k3dasync.operations.listing import describe, list_clusters
from k3dasync.runtime import EngineFacts, NetworkState
from k3dasync.spec import ApiPort, ClusterSpec, RegistrySpec, check
from tests.laws import Keeper, assert_laws
from tests.support import virtual_time
from tests.unit.worlds import decided

HOST = ClusterSpec(name="dev", network="host", api_port=ApiPort(None, 16443))


def inspected(*pools: dict[str, str], driver: str = "bridge") -> NetworkState:
    """Return a network as the engine's JSON would tell of it."""
    said: Any = {"Id": "1", "Name": "net", "Driver": driver, "Labels": {}}
    return translate.network({**said, "IPAM": {"Driver": "default", "Config": list(pools) or None}})


def world(*networks: NetworkState, host: str = "", ports: frozenset[int] = frozenset()) -> World:
    return World(
        facts=EngineFacts(id="E", endpoint="tcp://e", host=host),
        containers=(),
        networks=networks,
        volumes=(),
        bound_ports=ports,
        routes=(),
    )


# ---- what the engine says of a network

V6 = {"Subnet": "fd00:215::/64"}


@pytest.mark.parametrize(
    ("pools", "gateway"),
    [
        # Recorded from Docker 20.10, and what its bridge then had.
        ([{"Subnet": "10.214.1.0/24"}], "10.214.1.1"),
        ([{"Subnet": "10.214.2.0/24", "IPRange": "10.214.2.128/25"}], "10.214.2.128"),
        ([{"Subnet": "10.201.4.0/24", "Gateway": "10.201.4.1"}, V6], "10.201.4.1"),
        ([{"Subnet": "10.214.4.0/24"}, V6], "10.214.4.1"),
        ([V6, {"Subnet": "10.214.4.0/24", "Gateway": "10.214.4.9"}], "10.214.4.9"),
        ([{"Subnet": "fd00:215::/64", "Gateway": "fd00:215::1"}], ""),
        ([], ""),
        ([{}], ""),
    ],
)
def test_the_gateway_is_the_ipv4_one_told_or_not(pools: list[dict[str, str]], gateway: str) -> None:
    """Docker does not tell the one that it has chosen in a user's subnet."""
    assert gateway == inspected(*pools).gateway


def test_other_drivers_gateways_are_not_guessed() -> None:
    """Theirs are routers of the user's."""
    assert "" == inspected({"Subnet": "10.1.0.0/16"}, driver="macvlan").gateway


def test_a_network_of_both_families_gives_fixed_ipv4_addresses() -> None:
    """From its IPv4 pool, wherever that stands, and not the gateway's."""
    spec = ClusterSpec(name="dev", network="net", agents=1)
    state = inspected(V6, {"Subnet": "10.214.4.0/29"})
    choice = choose_network(spec, world(state), frozenset({"10.214.4.6"}), Refused())

    assert ("10.214.4.0/29", "10.214.4.1") == (choice.subnet, choice.gateway)
    assert ("10.214.4.5", "10.214.4.4", "10.214.4.3") == choice.addresses


def test_a_network_with_ipv6_alone_is_refused() -> None:
    """k3s would not come up there; the message names the range."""
    spec = ClusterSpec(name="dev", network="net")
    with pytest.raises(SpecError, match=r"no IPv4 range, only fd00:215::/64"):
        choose_network(spec, world(inspected(V6)), frozenset(), Refused())


def test_a_network_without_any_range_gets_dynamic_addresses() -> None:
    """As of drivers that manage addresses elsewhere."""
    choice = choose_network(
        ClusterSpec(name="dev", network="net"), world(inspected()), frozenset(), Refused()
    )

    assert ((), "", "") == (choice.addresses, choice.subnet, choice.gateway)


def test_a_new_subnet_is_chosen_beside_networks_of_both_families() -> None:
    """IPv6 ranges take no IPv4 ones."""
    other = inspected(V6, {"Subnet": "10.160.0.0/13"})
    choice = choose_network(ClusterSpec(name="dev"), world(other), frozenset(), Refused())

    assert not ipaddress.ip_network(choice.subnet).overlaps(ipaddress.ip_network("10.160.0.0/13"))


def test_a_subnet_of_the_users_is_compared_with_both_families() -> None:
    """An IPv6 range neither overlaps nor breaks the comparison."""
    spec = ClusterSpec(name="dev", subnet="10.9.0.0/24")
    choice = choose_network(spec, world(inspected(V6)), frozenset(), Refused())

    assert "10.9.0.0/24" == choice.subnet


def test_several_networks_of_one_name_are_refused() -> None:
    """Which one a container would join is up to chance."""
    twice = (inspected(), inspected())
    with pytest.raises(NameTaken, match="2 networks at once"):
        choose_network(
            ClusterSpec(name="dev", network="net"), world(*twice), frozenset(), Refused()
        )


# ---- where the API is


def chosen_api(spec: ClusterSpec, host: str, host_ip: str) -> ApiChoice:
    return choose_api(spec, world(host=host), host_ip, Refused())


@pytest.mark.parametrize(
    ("engine", "asked", "expected"),
    [
        ("", None, ("https://127.0.0.1:6550", "127.0.0.1")),
        ("", "0.0.0.0", ("https://0.0.0.0:6550", "0.0.0.0")),
        ("", "::1", ("https://[::1]:6550", "::1")),
        ("10.1.2.3", None, ("https://10.1.2.3:6550", "0.0.0.0")),
        ("10.1.2.3", "0.0.0.0", ("https://10.1.2.3:6550", "0.0.0.0")),
        ("10.1.2.3", "10.9.9.9", ("https://10.9.9.9:6550", "10.9.9.9")),
        ("build.example", "::", ("https://build.example:6550", "::")),
        ("fd00::7", None, ("https://[fd00::7]:6550", "::")),
        ("fd00::7", "0.0.0.0", ("https://[fd00::7]:6550", "0.0.0.0")),
    ],
)
async def test_where_clients_are_sent_and_what_is_bound(
    engine: str, asked: str | None, expected: tuple[str, str]
) -> None:
    """A remote engine's host unless an address is named; IPv6 binds IPv6."""
    spec = ClusterSpec(name="dev", api_port=ApiPort(asked, 6550))
    bound = await host_ip(spec, world(host=engine))

    assert expected == (chosen_api(spec, engine, bound).url, bound)


async def test_a_host_name_is_bound_by_its_address() -> None:
    """Clients are told the name, which the certificate holds."""
    spec = ClusterSpec(name="dev", api_port=ApiPort("localhost", 6550))
    bound = await host_ip(spec, world())
    container = decided(spec, host="localhost").servers[0].container

    assert bound in {"127.0.0.1", "::1"}
    assert "https://localhost:6550" == chosen_api(spec, "", bound).url
    assert "localhost" in (container.command or ())


async def test_a_host_name_that_is_none_is_refused() -> None:
    """Before anything is made."""
    spec = ClusterSpec(name="dev", api_port=ApiPort("no.such.host.invalid", 6550))
    with pytest.raises(SpecError, match=r"cannot look up no\.such\.host\.invalid"):
        await host_ip(spec, world())


# ---- the host's own network


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"agents": 1}, "one server and no agents, not 2 nodes"),
        ({"servers": 3}, "one server and no agents, not 3 nodes"),
        ({"ports": (Filtered("8080:80", (), origin="--port"),)}, "--port 8080:80 cannot be used"),
        ({"registry": RegistrySpec()}, "registries cannot be used with --network host"),
        ({"subnet": "10.1.0.0/24"}, "--subnet cannot be used with --network"),
    ],
    ids=str,
)
def test_what_the_hosts_network_cannot_do(fields: dict[str, Any], words: str) -> None:
    """Refused with the reason."""
    with pytest.raises(SpecError, match=words):
        check(ClusterSpec(name="dev", network="host", **fields))


def test_a_server_on_the_hosts_network() -> None:
    """No load balancer, no address, no port, no resolver moved; k3s listens where it is told."""
    cluster = decided(HOST)
    (server,) = cluster.nodes

    assert cluster.network is None
    assert (None, ()) == (server.container.address, server.container.ports)
    assert () == server.container.extra_hosts
    command = ("server", "--https-listen-port", "16443", "--tls-san", "127.0.0.1")
    assert command == server.container.command
    names = [file.path for file in server.container.files]
    assert not any("dns" in name or "coredns" in name for name in names)
    labels = server.container.labels
    assert ("host", "true", "invalid Prefix") == tuple(
        labels[f"k3d.cluster.network{key}"] for key in ("", ".external", ".iprange")
    )
    assert ("", "16443") == (labels["k3d.server.loadbalancer"], labels["k3d.server.api.port"])
    assert "https://k3d-dev-server-0:16443" == labels["k3d.cluster.url"]


def test_at_k3ss_own_port_nothing_is_said_of_it() -> None:
    """As k3d would have it."""
    spec = ClusterSpec(name="dev", network="host")

    assert ("server", "--tls-san", "127.0.0.1") == decided(spec).nodes[0].container.command


def test_host_aliases_work_there_too() -> None:
    """In the node by its create call, in pods by the manifest."""
    alias = HostAlias(address="10.1.1.1", names=("far",))
    spec = ClusterSpec(name="dev", network="host", host_aliases=(alias,))
    container = decided(spec).nodes[0].container

    assert ("far:10.1.1.1",) == container.extra_hosts
    assert any(file.path.endswith("-coredns.sh") for file in container.files)


def test_the_create_call_of_a_container_on_the_hosts_network() -> None:
    """The engine's mode, and no endpoint of any network."""
    body = translate.container_body(decided(HOST).nodes[0].container)

    assert "host" == body["HostConfig"]["NetworkMode"]
    assert {} == body["NetworkingConfig"]["EndpointsConfig"]


def test_nothing_stands_for_the_host_where_a_node_is_on_it() -> None:
    """Else it is the gateway, or what the engine knows."""
    here, vm = (EngineFacts(id="E", endpoint="", is_desktop=one) for one in (False, True))
    on_host = choose_network(HOST, world(), frozenset(), Refused())
    usual = choose_network(ClusterSpec(name="dev"), world(), frozenset(), Refused())

    assert "" == host_alias(on_host, here)
    assert usual.gateway == host_alias(usual, here)
    assert "host-gateway" == host_alias(usual, vm)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Return a port that somebody on this machine listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def test_a_port_of_the_host_that_is_in_use_is_found_before(taken_port: int) -> None:
    """By somebody on this machine, or by a container that may only be stopped."""
    spec = ClusterSpec(name="dev", network="host", api_port=ApiPort(None, taken_port))
    with pytest.raises(PortTaken, match=f"cannot use port {taken_port} .* --api-port"):
        choose_api(spec, world(), "127.0.0.1", Refused())
    with pytest.raises(PortTaken, match="cannot use port 6443"):
        choose_api(
            ClusterSpec(name="dev", network="host"),
            world(host="remote", ports=frozenset({6443})),
            "0.0.0.0",
            Refused(),
        )


async def test_clusters_on_the_hosts_network_side_by_side() -> None:
    """Each at its port; the network stays when they are deleted, and a warning says who listens."""
    keeper = Keeper()
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        backend = backend_of(runtime)
        outputs = await create(HOST, backend=backend, sinks=(keeper,))
        assert "https://127.0.0.1:16443" == outputs.api
        assert_laws(keeper.events)
        warnings = [one.text for one in keeper.events if isinstance(one, events.Warned)]
        assert ["port 16443 of every address" in text for text in warnings] == [True]

        with pytest.raises(PortTaken):
            await create(
                ClusterSpec(name="two", network="host", api_port=HOST.api_port), backend=backend
            )
        await create(
            ClusterSpec(name="two", network="host", api_port=ApiPort(None, 16444)), backend=backend
        )
        shown = await describe(runtime, await list_clusters(runtime), with_token=False)
        assert ["", ""] == [one["network"]["ipam"]["ipPrefix"] for one in shown]
        assert all(one["network"]["isExternal"] for one in shown), json.dumps(shown)

        await delete(["dev", "two"], backend=backend)
        assert runtime.is_empty()
        assert "host" in [one.name for one in await runtime.networks()]


@virtual_time
async def test_two_at_once_for_one_port_of_the_host() -> None:
    """Neither could know before: k3s itself says so to the loser, of which nothing is left."""
    failed: list[K3dAsyncError] = []
    async with FakeRuntime() as runtime:
        backend = backend_of(runtime)

        async def attempt(name: str) -> None:
            spec = ClusterSpec(name=name, network="host", api_port=HOST.api_port)
            try:
                await create(spec, backend=backend)
            except K3dAsyncError as error:
                failed.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(attempt, "one")
            group.start_soon(attempt, "two")
        left = [one.name for one in await runtime.containers()]

    assert ["PORT_IN_USE"] == [error.code for error in failed]
    assert "bind: address already in use" in str(failed[0])
    assert left in (["k3d-one-server-0"], ["k3d-two-server-0"])


async def test_the_hosts_network_cannot_be_removed() -> None:
    """The fake engine refuses, as a real one does."""
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        with pytest.raises(EngineError, match="pre-defined network"):
            await runtime.remove_network("host", {})
