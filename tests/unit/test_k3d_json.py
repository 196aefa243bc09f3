"""The JSON of `list` and `node list`, key by key against what k3d v5.9 prints."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from k3dasync import nginx
from k3dasync.fake import FakeRuntime
from k3dasync.grammar import gpus
from k3dasync.grammar.filtered import parse as given
from k3dasync.grammar.words import HostAlias, Ulimit
from k3dasync.operations._k3d_json import human_size
from k3dasync.operations.create import create
from k3dasync.operations.listing import describe, describe_nodes, list_clusters, list_nodes
from k3dasync.runtime import ContainerSpec, File
from k3dasync.spec import ClusterSpec
from tests.unit.test_operations import engine

Shape = Mapping[str, Any]
WHERE: Shape = {"HostIp": str, "HostPort": str}
API: Shape = {"Port": str, "Binding": WHERE, "host?": str}
NODE: Shape = {
    "name": str,
    "role": str,
    "image": str,
    "volumes?": [str],
    "env?": [str],
    "Cmd": [str],
    "extraArgs?": [str],
    "files?": [dict],
    "portMappings?": {...: [WHERE]},
    "restart?": bool,
    "created?": str,
    "hostPidMode?": bool,
    "runtimeLabels?": {...: str},
    "runtimeUlimits?": [{"Name": str, "Hard": int, "Soft": int}],
    "k3sNodeLabels?": {...: str},
    "Networks": [str],
    "ExtraHosts": [str],
    "serverOpts": {"isInitializingServer?": bool, "kubeAPI": API},
    "agentOpts": {},
    "GPURequest": str,
    "Memory": str,
    "State": {"Running": bool, "Status": str, "Started": str},
    "IP": {"IP": str, "Static": bool},
    "hooks?": [dict],
    "K3dEntrypoint": bool,
}
CONFIG: Shape = {
    "ports": {...: [str]},
    "settings": {"workerConnections": int, "defaultProxyTimeout?": int},
}
CLUSTER: Shape = {
    "name": str,
    "network": {
        "name": str,
        "id": str,
        "isExternal?": bool,
        "ipam": {"ipPrefix": str, "ipsUsed?": [str], "Managed": bool},
        "Members": [{"Name": str, "IP": str}],
    },
    "clusterToken?": str,
    "nodes": [NODE],
    "InitNode": None,
    "kubeAPI?": API,
    "serverLoadBalancer?": {**NODE, "config": CONFIG},
    "imageVolume?": str,
    "volumes?": [str],
    "serversRunning": int,
    "serversCount": int,
    "agentsRunning": int,
    "agentsCount": int,
    "hasLoadbalancer?": bool,
}
"""`?`: left out when empty; `...` stands for any key."""


def check(shape: Any, value: Any, where: str = "") -> None:
    """Fail unless *value* has all keys of the shape and only its types."""
    if isinstance(shape, dict):
        check_mapping(shape, value, where)
    elif isinstance(shape, list):
        for number, one in enumerate(value):
            check(shape[0], one, f"{where}[{number}]")
    else:
        assert (shape or type(None)) is type(value), f"{where}: {value!r}"


def check_mapping(shape: Mapping[Any, Any], value: Mapping[str, Any], where: str) -> None:
    if ... in shape:
        for key, one in value.items():
            check(shape[...], one, f"{where}.{key}")
        return
    assert set() == {*value} - {key.removesuffix("?") for key in shape}, where
    for key, inner in shape.items():
        name = key.removesuffix("?")
        if name == key or name in value:
            assert name in value, f"{where}.{name}"
            assert name == key or value[name], f"{where}.{name} is empty"
            check(inner, value[name], f"{where}.{name}")


FULL = ClusterSpec(
    name="dev",
    servers=3,
    agents=1,
    token="hush",
    ports=(given("8080:80@loadbalancer"), given("8080:80/udp@loadbalancer")),
    volumes=(given("k3d-dev-data:/data@agent:0"),),
    node_labels=(given("tier=front@agent:0"),),
    k3s_args=(given("--node-label=a=b@agent:0"),),
    ulimits=(Ulimit("nofile", 1024, 2048),),
    host_aliases=(HostAlias("10.9.8.7", ("far.example",)),),
    host_pid_mode=True,
    gpus=gpus.parse("all"),
    servers_memory=2**30,
)


def by_name(nodes: Sequence[Mapping[str, Any]], suffix: str) -> Mapping[str, Any]:
    return next(node for node in nodes if node["name"].endswith(suffix))


async def described(spec: ClusterSpec, *, with_token: bool = False) -> Mapping[str, Any]:
    async with engine() as (runtime, backend):
        await create(spec, backend=backend)
        clusters = await list_clusters(runtime)
        return (await describe(runtime, clusters, with_token=with_token))[0]


@pytest.mark.parametrize(
    "spec",
    [
        ClusterSpec(name="dev"),
        ClusterSpec(name="dev", agents=1, loadbalancer=False, image_volume=False),
        FULL,
    ],
    ids=["1+0", "1+1 bare", "3+1 full"],
)
@pytest.mark.parametrize("with_token", [False, True])
async def test_a_cluster_has_the_keys_and_types_of_k3d(spec: ClusterSpec, with_token: bool) -> None:
    """All that k3d always has, nothing of another type, and no empty value where k3d leaves out."""
    cluster = await described(spec, with_token=with_token)

    check(CLUSTER, cluster)
    assert with_token == ("clusterToken" in cluster)
    assert spec.loadbalancer == ("serverLoadBalancer" in cluster) == ("hasLoadbalancer" in cluster)
    assert spec.image_volume == ("imageVolume" in cluster)


async def test_all_that_can_be_known_is_filled() -> None:
    """Also what k3d itself does not read back: limits, labels of the Node, GPUs, host entries."""
    cluster = await described(FULL)
    first = by_name(cluster["nodes"], "server-0")
    second, agent = by_name(cluster["nodes"], "server-1"), by_name(cluster["nodes"], "agent-0")

    assert (3, 3, 1, 1, True) == (
        *(cluster["serversRunning"], cluster["serversCount"]),
        *(cluster["agentsRunning"], cluster["agentsCount"], cluster["hasLoadbalancer"]),
    )
    assert ("server", "all", "1.074GB") == (first["role"], first["GPURequest"], first["Memory"])
    assert first["serverOpts"]["isInitializingServer"]
    assert "isInitializingServer" not in second["serverOpts"]
    assert cluster["kubeAPI"] == second["serverOpts"]["kubeAPI"]
    assert {"tier": "front", "a": "b"} == agent["k3sNodeLabels"]
    assert [{"Name": "nofile", "Hard": 2048, "Soft": 1024}] == agent["runtimeUlimits"]
    assert "far.example:10.9.8.7" in agent["ExtraHosts"]
    assert {"hostPidMode", "restart"} <= {*agent}
    assert agent["IP"]["Static"]
    assert agent["IP"]["IP"] in cluster["network"]["ipam"]["ipsUsed"]
    assert {"Name": agent["name"], "IP": agent["IP"]["IP"]} in cluster["network"]["Members"]
    assert agent["K3dEntrypoint"]
    assert {"k3d-dev-images", "k3d-dev-data"} == {*cluster["volumes"]}


async def test_the_load_balancer_stands_beside_the_nodes_with_its_configuration() -> None:
    """As its file in k3d's format says; of several bindings of one port none is lost."""
    balancer = (await described(FULL))["serverLoadBalancer"]
    servers = [f"k3d-dev-server-{number}" for number in range(3)]

    assert "loadbalancer" == balancer["role"]
    assert {"6443", "80/tcp", "80/udp"} == {*balancer["portMappings"]}
    assert servers == balancer["config"]["ports"]["6443.tcp"]
    assert {"workerConnections": 1024} == balancer["config"]["settings"]
    assert not balancer["K3dEntrypoint"]


async def test_two_bindings_of_one_port_are_both_shown() -> None:
    """Neither takes the other's place."""
    ports = (given("8080:80@loadbalancer"), given("8081:80@loadbalancer"))
    balancer = (await described(ClusterSpec(name="dev", ports=ports)))["serverLoadBalancer"]

    assert ["8080", "8081"] == [one["HostPort"] for one in balancer["portMappings"]["80/tcp"]]


async def add_tools(runtime: FakeRuntime) -> None:
    """Add what k3d leaves beside a cluster: its tools container."""
    labels = {"app": "k3d", "k3d.role": "noRole", "k3d.cluster": "dev"}
    spec = ContainerSpec(name="k3d-dev-tools", image="tools", network="k3d-dev", labels=labels)
    runtime.add_image("tools")
    await runtime.create_container(spec)


async def test_helpers_are_nodes_but_have_no_role() -> None:
    """They are shown, with names given as k3d does, and not counted; k3d's `noRole` is none."""
    async with engine() as (runtime, backend):
        await create(ClusterSpec(name="dev"), backend=backend)
        await add_tools(runtime)
        clusters = await list_clusters(runtime, ["dev"])
        with_them = (await describe(runtime, clusters, with_token=False))[0]
        without = (await describe(runtime, clusters, with_token=False, with_helpers=False))[0]
        nodes = await describe_nodes(runtime, await list_nodes(runtime))

    assert "" == by_name(with_them["nodes"], "tools")["role"]
    assert "" == by_name(nodes, "tools")["role"]
    assert ["server-0", "serverlb"] == [
        node["name"].removeprefix("k3d-dev-") for node in without["nodes"]
    ]
    assert (1, 0) == (with_them["serversCount"], with_them["agentsCount"])


async def test_nodes_have_the_keys_and_types_of_k3d() -> None:
    """In `node list` too."""
    async with engine() as (runtime, backend):
        await create(FULL, backend=backend)
        nodes = await describe_nodes(runtime, await list_nodes(runtime))

    assert 5 == len(nodes)
    for node in nodes:
        check(NODE, node, node["name"])


async def test_a_node_that_is_removed_meanwhile_is_left_out() -> None:
    """Between the listing and its inspection; the rest is still shown."""
    async with engine() as (runtime, backend):
        await create(ClusterSpec(name="dev", agents=1), backend=backend)
        clusters = await list_clusters(runtime)
        await runtime.remove_container("k3d-dev-agent-0", {})
        cluster = (await describe(runtime, clusters, with_token=False))[0]

    assert 2 == len(cluster["nodes"])


@pytest.mark.parametrize("content", [b"", b"- a", b"ports: [1]", b"{", b"settings: x"])
async def test_a_load_balancer_without_its_file_is_shown_without_configuration(
    content: bytes,
) -> None:
    """Nothing else of the cluster is less true for it."""
    async with engine() as (runtime, backend):
        await create(ClusterSpec(name="dev"), backend=backend)
        file = File(path=nginx.VALUES_PATH, content=content)
        await runtime.write_files("k3d-dev-serverlb", [file])
        cluster = (await describe(runtime, await list_clusters(runtime), with_token=False))[0]

    assert None is cluster["serverLoadBalancer"]["config"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, ""), (512, "512B"), (2**29, "536.9MB"), (2**30, "1.074GB"), (10**12, "1TB")],
)
def test_memory_is_shown_as_docker_shows_it(size: int, expected: str) -> None:
    """In decimal units, with four digits; no limit is nothing."""
    assert expected == human_size(size)
