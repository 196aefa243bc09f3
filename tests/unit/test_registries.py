"""Registries: what nodes are told of them, where they are, and what becomes of them at a delete."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from k3dasync import events, registries_yaml
from k3dasync.backend import Backend
from k3dasync.cluster import Node, Registry, Role, UsedRegistry
from k3dasync.commands._create_flags import CreateFlags
from k3dasync.commands._registry_flags import RegistryFlags
from k3dasync.commands.create import made, pushing
from k3dasync.errors import (
    ClusterNotFound,
    EngineError,
    NameTaken,
    PortTaken,
    RegistryUnusable,
    SpecError,
    TaskFailed,
)
from k3dasync.events import Outputs
from k3dasync.fake import Fail, FakeRuntime, Fault, Faults, Latency, backend_of
from k3dasync.grammar.exposure import Exposure
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.registries import RegistryReference, parse_reference
from k3dasync.operations.create import create, plan
from k3dasync.operations.delete import delete
from k3dasync.operations.listing import describe_nodes, list_clusters, list_nodes
from k3dasync.resolve._registries import HOSTING_PATH
from k3dasync.runtime import PortBinding
from k3dasync.spec import ClusterSpec, RegistryProxy, RegistrySpec, check
from tests.laws import Keeper
from tests.support import virtual_time
from tests.unit.worlds import decided

MIRRORED = ClusterSpec(name="dev", agents=1, registry=RegistrySpec())
SHARED = Registry(name="k3d-shared", port=5000, host="localhost", host_port=5001)
DOCKER = "https://registry-1.docker.io"


def using(**changes: object) -> tuple[UsedRegistry, ...]:
    registry = {"name": "k3d-shared", "port": 5000, "host": "localhost", "host_port": 5001}
    return (UsedRegistry(registry=Registry(**registry | changes), is_connected=False),)  # type: ignore[arg-type]


def registry_of(spec: ClusterSpec, **world: object) -> Node:
    found = decided(spec, **world).registry  # type: ignore[arg-type]
    assert found is not None
    return found


def files_of(node: Node) -> dict[str, str]:
    return {file.path: file.content.decode() for file in node.container.files}


def told(spec: ClusterSpec, **world: object) -> dict[str, object]:
    """Return the registries.yaml that every node of a cluster has."""
    cluster = decided(spec, **world)  # type: ignore[arg-type]
    nodes = (*cluster.servers, *cluster.agents)
    (text,) = {files_of(node)[registries_yaml.PATH] for node in nodes}
    return dict(yaml.safe_load(text))


# ---- the file for k3s


def test_without_mirrors_the_file_is_as_it_was() -> None:
    """Every blank and comment."""
    text = "# mine\nconfigs:   {}\n"

    assert text == registries_yaml.merged(text, {})


def test_mirrors_are_added_and_the_rest_stays_as_written() -> None:
    """Words that YAML would read as numbers or booleans, and keys that nobody knows, too."""
    text = (
        "mirrors:\n  example.com:\n    endpoint: [https://mine]\n    future: 1_000\n"
        "configs:\n  example.com:\n    auth: {username: no, password: 0644}\nnew: [0x10, on]\n"
    )

    merged = registries_yaml.merged(text, {"reg:5000": "http://reg:5000"})

    assert {"example.com", "reg:5000"} == set(yaml.safe_load(merged)["mirrors"])
    assert ["http://reg:5000"] == yaml.safe_load(merged)["mirrors"]["reg:5000"]["endpoint"]
    for word in ("future: 1_000", "username: no", "password: 0644", "[0x10, on]"):
        assert word in merged


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ('mirrors: {"docker.io": {endpoint: [https://mine]}}', ["https://mine"]),
        ('mirrors: {"docker.io": {rewrite: {a: b}}}', ["http://ours"]),
        ('mirrors: {"docker.io": {endpoint: []}}', ["http://ours"]),
        ('mirrors: {"docker.io": }', ["http://ours"]),
        ("mirrors:", ["http://ours"]),
        ("", ["http://ours"]),
        ("# nothing", ["http://ours"]),
    ],
)
def test_what_the_user_says_of_a_host_wins(text: str, endpoints: list[str]) -> None:
    """Ours is taken where the user names no endpoint."""
    merged = yaml.safe_load(registries_yaml.merged(text, {"docker.io": "http://ours"}))

    assert endpoints == merged["mirrors"]["docker.io"]["endpoint"]
    assert ("rewrite" in text) == ("rewrite" in merged["mirrors"]["docker.io"])


@given(st.text(max_size=60) | st.text("ab:-[]{}&*!|>\n '\"%@#", max_size=40))
def test_no_text_crashes_the_reader(text: str) -> None:
    """It is merged to a document with our mirror, or refused without quoting it."""
    try:
        registries_yaml.check(text)
    except SpecError as error:
        assert "--registry-config: " in str(error)  # noqa: PT017 - both outcomes are right
        return
    assert "reg:5000" in registries_yaml.merged(text, {"reg:5000": "http://reg:5000"})


@pytest.mark.parametrize("text", ["- a", "a: b: c", "mirrors: [a]", "configs: x", "[" * 5000])
def test_what_is_no_registries_yaml_is_refused(text: str) -> None:
    """Before anything is made."""
    with pytest.raises(SpecError, match="--registry-config"):
        check(ClusterSpec(registry_config=text))


def test_a_refusal_tells_no_password() -> None:
    """Only where it stands."""
    with pytest.raises(SpecError, match="line 2") as caught:
        check(ClusterSpec(registry_config="auth:\n  password: hush: hush"))

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (DOCKER, "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("https://quay.example", "quay.example"),
        ("http://user:pass@Reg.example:5000/", "reg.example:5000"),
        ("https://[fd00::1]:5000", "[fd00::1]:5000"),
    ],
)
def test_what_images_of_a_remote_registry_are_called(url: str, host: str) -> None:
    """Docker's have another name than the address; nothing secret is in it."""
    assert host == registries_yaml.mirrored_host(url)


@pytest.mark.parametrize("url", ["", "quay.example", "ftp://x", "https://", "https://x:port"])
def test_a_remote_that_is_no_address_is_refused(url: str) -> None:
    """Before anything is made."""
    spec = ClusterSpec(registry=RegistrySpec(proxy=RegistryProxy(url, "me", "hush")))
    with pytest.raises(SpecError, match="remoteURL"):
        check(spec)


def test_a_config_is_a_file_or_its_text(tmp_path: object) -> None:
    """A text has more than one line."""
    path = tmp_path / "r.yaml"  # type: ignore[operator]
    path.write_text("mirrors: {}")

    assert "mirrors: {}" == registries_yaml.text_of(str(path))
    assert "a:\n" == registries_yaml.text_of("a:\n")
    with pytest.raises(SpecError, match="cannot read"):
        registries_yaml.text_of(f"{path}.none")
    path.write_bytes(b"\xff")
    with pytest.raises(SpecError, match="not UTF-8"):
        registries_yaml.text_of(str(path))


# ---- what is asked for


def test_flags_change_what_a_file_asks_for() -> None:
    """Name and place of the registry; image, proxy and volumes stay; used ones are replaced."""
    base = ClusterSpec(
        registry=RegistrySpec(name="old", image="mine", volumes=("/a:/b",)),
        registries=(RegistryReference("a"),),
        registry_config="mirrors: {}",
    )
    flags = RegistryFlags(
        registry_create="new:0.0.0.0:5005",
        registry_use=("b,c", "http://d:5000"),
        enforce_registry_port_match=True,
    )

    spec = CreateFlags(registries=flags).spec(None, base)

    assert spec.registry == RegistrySpec(
        name="new",
        exposure=Exposure("0.0.0.0", 5005),
        image="mine",
        volumes=("/a:/b",),
        enforce_port_match=True,
    )
    assert ["b", "c", "d"] == [one.name for one in spec.registries]
    assert base.registry_config == spec.registry_config
    nothing = CreateFlags(registries=RegistryFlags(registry_create="", registry_config=""))
    assert base == nothing.spec(None, base)


def test_a_port_match_alone_makes_no_registry() -> None:
    """It is about the one that is made."""
    flags = CreateFlags(registries=RegistryFlags(enforce_registry_port_match=True))

    assert flags.spec(None).registry is None


# ---- what is made


def test_a_registry_is_labelled_as_k3ds() -> None:
    """And has no token; whoever reads it back finds its ports."""
    node = registry_of(MIRRORED)
    labels = dict(node.container.labels)

    assert ("k3d-dev-registry", Role.REGISTRY) == (node.name, node.role)
    assert {
        "app": "k3d",
        "k3d.cluster": "dev",
        "k3d.role": "registry",
        "k3d.registry.host": "",
        "k3d.registry.hostIP": "127.0.0.1",
        "k3s.registry.port.external": "26551",
        "k3s.registry.port.internal": "5000",
    }.items() <= labels.items()
    assert "20261122-181500-abcdef" == labels["k3dasync.run"]
    assert [] == [key for key in labels if "token" in key]


def test_a_registry_has_an_address_after_the_nodes() -> None:
    """And its port on the host, the same after every start."""
    container = registry_of(MIRRORED).container
    expected = PortBinding(port="5000/tcp", host_ip="127.0.0.1", host_port=26551)

    assert "10.160.7.5" == container.address  # after server, agent and load balancer
    assert (expected,) == container.ports
    assert ("K3S_KUBECONFIG_OUTPUT=/output/kubeconfig.yaml",) == container.env


def test_nodes_keep_their_addresses_with_a_registry() -> None:
    """A registry more changes nothing else."""
    without = decided(msgspec.structs.replace(MIRRORED, registry=None))

    assert [node.container.address for node in without.nodes] == [
        node.container.address for node in decided(MIRRORED).nodes[:-1]
    ]


def test_one_port_everywhere() -> None:
    """With a port match it listens where it is published."""
    asked = RegistrySpec(name="reg", exposure=Exposure(None, 5005), enforce_port_match=True)
    spec = ClusterSpec(name="dev", registry=asked)
    container = registry_of(spec).container

    assert "5005/tcp" == container.ports[0].port
    assert "REGISTRY_HTTP_ADDR=:5005" in container.env
    assert {"reg:5005": {"endpoint": ["http://reg:5005"]}} == told(spec)["mirrors"]


def test_a_registry_that_hands_on_is_asked_for_the_others_images() -> None:
    """The mirror is that of the name in images, and no secret is where it need not be."""
    proxy = RegistryProxy(DOCKER, "me", "hush")
    spec = ClusterSpec(name="dev", registry=RegistrySpec(proxy=proxy))
    container = registry_of(spec).container

    assert {
        f"REGISTRY_PROXY_REMOTEURL={DOCKER}",
        "REGISTRY_PROXY_USERNAME=me",
        "REGISTRY_PROXY_PASSWORD=hush",
    } <= set(container.env)
    mirrors = told(spec)["mirrors"]
    assert isinstance(mirrors, dict)
    assert {"endpoint": ["http://k3d-dev-registry:5000"]} == mirrors["docker.io"]
    assert "hush" not in repr(spec.registry)
    assert "hush" not in repr(container)


def test_volumes_of_a_registry() -> None:
    """As they are asked for."""
    spec = ClusterSpec(name="dev", registry=RegistrySpec(volumes=("/data:/var/lib/registry",)))

    assert ("/data:/var/lib/registry",) == registry_of(spec).container.binds


def test_nodes_are_told_of_every_registry() -> None:
    """By both ports: of the host, as images are called that were pushed there, and inside."""
    spec = msgspec.structs.replace(MIRRORED, registry_config="mirrors: {a: {endpoint: [b]}}")

    mirrors = told(spec, used=using())["mirrors"]

    assert {
        "a": {"endpoint": ["b"]},
        "k3d-shared:5001": {"endpoint": ["http://k3d-shared:5000"]},
        "k3d-shared:5000": {"endpoint": ["http://k3d-shared:5000"]},
        "k3d-dev-registry:26551": {"endpoint": ["http://k3d-dev-registry:5000"]},
        "k3d-dev-registry:5000": {"endpoint": ["http://k3d-dev-registry:5000"]},
    } == mirrors


def test_only_k3s_reads_the_registries_yaml() -> None:
    """It can hold passwords."""
    (server,) = decided(ClusterSpec(name="dev", registry_config="configs: {}\n")).servers
    (file,) = [file for file in server.container.files if file.path == registries_yaml.PATH]

    assert ("configs: {}\n", 0o600) == (file.content.decode(), file.mode)


def test_tools_find_the_first_registry_by_a_config_map() -> None:
    """On the init server alone: from there on it is in the datastore."""
    servers = decided(
        ClusterSpec(name="dev", servers=3, registry=RegistrySpec()), used=using()
    ).servers

    assert [True, False, False] == [HOSTING_PATH in files_of(one) for one in servers]
    document = yaml.safe_load(files_of(servers[0])[HOSTING_PATH])
    hosting = yaml.safe_load(document["data"]["localRegistryHosting.v1"])
    assert ("local-registry-hosting", "kube-public") == (
        document["metadata"]["name"],
        document["metadata"]["namespace"],
    )
    assert hosting.pop("help").startswith("https://")
    assert {
        "host": "localhost:5001",
        "hostFromClusterNetwork": "k3d-shared:5000",
        "hostFromContainerRuntime": "k3d-shared:5000",
    } == hosting


def test_pods_find_registries_by_fixed_addresses() -> None:
    """Those of the cluster's network, on servers; nodes ask the engine."""
    cluster = decided(MIRRORED, used=using())
    expected = "10.160.7.5 k3d-dev-registry\n10.160.7.6 k3d-shared\n"

    assert expected == files_of(cluster.servers[0])["/etc/k3d/hosts"]
    assert "/etc/k3d/hosts" not in files_of(cluster.agents[0])
    assert ["10.160.7.6"] == [one.address for one in cluster.connections]


def test_without_fixed_addresses_pods_are_told_nothing() -> None:
    """An address that may change would be worse than none."""
    cluster = decided(MIRRORED, is_external=True, fixed=False, used=using())

    assert "/etc/k3d/hosts" not in files_of(cluster.servers[0])
    assert [None] == [one.address for one in cluster.connections]


def test_a_mount_over_the_file_is_left_alone_and_said() -> None:
    """Nothing is written through it into the user's own file."""
    mount = Filtered("/mine.yaml:/etc/rancher/k3s/registries.yaml")
    cluster = decided(ClusterSpec(name="dev", registry=RegistrySpec(), volumes=(mount,)))

    assert registries_yaml.PATH not in files_of(cluster.servers[0])
    assert ["nodes on which a volume is mounted"] == [text[:34] for text in cluster.warnings]


@pytest.mark.parametrize("where", ["/etc/rancher/k3s/registries.yaml", "/etc/rancher/", "/"])
def test_a_mount_over_a_file_that_is_asked_for_is_refused(where: str) -> None:
    """One of the two would not be seen."""
    spec = ClusterSpec(
        name="dev", registry_config="mirrors: {}", volumes=(Filtered(f"/mine:{where}"),)
    )
    with pytest.raises(SpecError, match="--registry-config cannot be used"):
        decided(spec)


def test_mounts_elsewhere_do_not_matter() -> None:
    """Nor does one that only begins alike."""
    mount = Filtered("/mine:/etc/rancher/k3s/registries.yaml.d")
    cluster = decided(ClusterSpec(name="dev", registry=RegistrySpec(), volumes=(mount,)))

    assert registries_yaml.PATH in files_of(cluster.servers[0])
    assert () == cluster.warnings


def test_a_create_says_where_to_push() -> None:
    """And what the images are called then."""
    outputs = Outputs(
        api="", context="", kubeconfig=None, nodes=("k3d-a-server-0", "reg"), registry="localhost:1"
    )

    assert "1 server, registry" == made(outputs.nodes)
    assert ["push images to localhost:1/…, the cluster knows them as reg:1/…"] == pushing(outputs)


# ---- on an engine


@asynccontextmanager
async def engine(*orders: Fault) -> AsyncIterator[tuple[FakeRuntime, Backend]]:
    async with FakeRuntime(latency=Latency.instant(), faults=Faults(orders)) as runtime:
        yield runtime, backend_of(runtime)


LABELS = {"app": "k3d", "k3d.role": "registry", "k3d.cluster": ""}
PORT = PortBinding(port="5000/tcp", host_ip="127.0.0.1", host_port=5001)


async def add_shared(runtime: FakeRuntime, **changes: object) -> None:
    """Let there be a registry that somebody has made."""
    network = runtime.add_foreign_network("theirs")
    asked = {"labels": LABELS, "ports": (PORT,)} | changes
    await runtime.add_foreign_container("k3d-shared", network, **asked)  # type: ignore[arg-type]


def networks_of(runtime: FakeRuntime, name: str) -> set[str]:
    return {one.name for one in runtime.machine.inventory.containers[name].endpoints}


def use(name: str, *registries: str) -> ClusterSpec:
    return ClusterSpec(name=name, registries=tuple(map(parse_reference, registries)))


async def test_a_registry_is_made_with_the_cluster_and_goes_with_it() -> None:
    """It runs, is in the network, and nothing is left of it."""
    async with engine() as (runtime, backend):
        outputs = await create(MIRRORED, backend=backend)
        (registry,) = [n for n in await list_nodes(runtime) if n.name == "k3d-dev-registry"]

        assert "running" == registry.status
        assert ["k3d-dev"] == list(registry.addresses)
        assert f"localhost:{registry.bound_ports[0]}" == outputs.registry
        assert 26000 <= registry.bound_ports[0] < 30000

        await delete(["dev"], backend=backend)
        assert runtime.is_empty()


async def test_the_same_registry_gets_the_same_port_again() -> None:
    """It is derived from its name, and is not the API's."""
    async with engine() as (_, backend):
        first = await create(MIRRORED, backend=backend)
        await delete(["dev"], backend=backend)
        second = await create(MIRRORED, backend=backend)

        assert first.registry == second.registry
        assert first.registry is not None
        assert not first.api.endswith(first.registry.rpartition(":")[2])


async def test_a_lost_port_of_a_registry_is_planned_anew() -> None:
    """Unless the user has named it."""
    async with engine() as (runtime, backend):
        decision = await plan(MIRRORED, backend=backend)
        assert decision.cluster.made_registry is not None
        port = decision.cluster.made_registry.host_port
        network = runtime.add_foreign_network("theirs")

        async def steal() -> None:
            await runtime.add_foreign_container(
                "thief",
                network,
                ports=(PortBinding(port="80", host_ip="127.0.0.1", host_port=port),),
            )

        named = RegistrySpec(exposure=Exposure(None, port))
        refused = ClusterSpec(name="other", registry=named)
        await steal()
        outputs = await create(MIRRORED, backend=backend)
        with pytest.raises(PortTaken, match="container thief has it"):
            await create(refused, backend=backend)

        assert outputs.registry != f"localhost:{port}"
        assert not [n for n in await list_nodes(runtime) if "other" in n.name]


async def test_a_registry_is_used_by_two_clusters() -> None:
    """It is in both networks, and in neither after their deletes; it stays itself."""
    async with engine() as (runtime, backend):
        await add_shared(runtime)
        before = runtime.snapshot()
        await create(use("a", "shared"), backend=backend)
        await create(use("b", "k3d-shared:5000", "shared"), backend=backend)
        assert {"theirs", "k3d-a", "k3d-b"} == networks_of(runtime, "k3d-shared")

        await delete(["a"], backend=backend)
        assert {"theirs", "k3d-b"} == networks_of(runtime, "k3d-shared")
        await delete(["b"], backend=backend)

        assert {"theirs"} == networks_of(runtime, "k3d-shared")
        assert before == runtime.snapshot()


async def test_a_registry_that_is_in_the_network_already_is_left_there() -> None:
    """By the create and by the rollback of one that fails."""
    order = Fault(trouble=Fail(EngineError("do", "it", "no")), verb="start_container", nth=1)
    async with engine(order) as (runtime, backend):
        await add_shared(runtime)
        spec = msgspec.structs.replace(use("a", "shared"), network="theirs")
        with pytest.raises(TaskFailed):
            await create(spec, backend=backend)
        assert {"theirs"} == networks_of(runtime, "k3d-shared")

        await create(spec, backend=backend)

        assert [("disconnect_network", "k3d-shared")] != runtime.faults.calls[-1:]
        assert "connect_network" not in {verb for verb, _ in runtime.faults.calls}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": {}}, "no registry made by k3d"),
        ({"labels": LABELS | {"k3d.role": "agent"}}, "no registry made by k3d"),
        ({"is_running": False}, "it is created; start it: k3dasync registry start k3d-shared"),
        ({"ports": ()}, "publishes 0 ports"),
    ],
)
async def test_what_cannot_be_used_is_refused_before_anything_is_made(
    changes: dict[str, object], words: str
) -> None:
    """A foreign container, another kind of node, one that does not run, one without a port."""
    async with engine() as (runtime, backend):
        await add_shared(runtime, **changes)
        before = runtime.snapshot()
        with pytest.raises(RegistryUnusable, match=words):
            await create(use("a", "shared"), backend=backend)

        assert before == runtime.snapshot()
        assert {"theirs"} == networks_of(runtime, "k3d-shared")


async def test_a_registry_that_is_not_there_is_refused_before_anything_is_made() -> None:
    """And the message says how to find out what is."""
    async with engine() as (runtime, backend):
        with pytest.raises(RegistryUnusable, match="k3dasync node list"):
            await create(use("a", "none"), backend=backend)

        assert runtime.is_empty()


async def test_a_registry_whose_name_is_taken_can_be_used_instead() -> None:
    """The refusal says how, and naming it both ways makes none."""
    async with engine() as (runtime, backend):
        await add_shared(runtime)
        spec = ClusterSpec(name="a", registry=RegistrySpec(name="k3d-shared"))
        with pytest.raises(NameTaken, match="--registry-use k3d-shared"):
            await create(spec, backend=backend)

        both = msgspec.structs.replace(spec, registries=(RegistryReference("shared"),))
        outputs = await create(both, backend=backend)

        assert outputs.registry is None
        assert {"theirs", "k3d-a"} == networks_of(runtime, "k3d-shared")


async def test_a_used_registry_that_hands_on_is_asked_too() -> None:
    """As it says itself, in its environment."""
    proxied = RegistrySpec(name="cache", proxy=RegistryProxy(DOCKER, "me", "hush"))
    async with engine() as (_, backend):
        await create(ClusterSpec(name="a", registry=proxied), backend=backend)
        decision = await plan(use("b", "cache"), backend=backend)

    text = files_of(decision.cluster.servers[0])[registries_yaml.PATH]
    assert {"endpoint": ["http://cache:5000"]} == yaml.safe_load(text)["mirrors"]["docker.io"]


async def test_no_password_of_a_registry_is_told() -> None:
    """Not in events, and not in lists, where even clusters' secrets are masked."""
    proxied = RegistrySpec(name="cache", proxy=RegistryProxy(DOCKER, "me", "hush"))
    keeper = Keeper()
    async with engine() as (runtime, backend):
        spec = ClusterSpec(name="a", registry=proxied, registry_config="x: {password: hush}")
        await create(spec, backend=backend, sinks=(keeper,))
        shown = await describe_nodes(runtime, await list_nodes(runtime))

    assert b"hush" not in b"".join(map(msgspec.json.encode, keeper.events))
    assert "hush" not in str(shown)
    assert "REGISTRY_PROXY_PASSWORD=***" in str(shown)


# ---- the end of clusters with registries


def warnings(keeper: Keeper) -> list[str]:
    return [one.text for one in keeper.events if isinstance(one, events.Warned)]


async def test_a_registry_that_another_cluster_uses_stays_and_goes_with_that() -> None:
    """Both deletes say so; in between the first cluster's name can be used again."""
    keeper = Keeper()
    async with engine() as (runtime, backend):
        await create(ClusterSpec(name="a", registry=RegistrySpec(name="reg")), backend=backend)
        await create(use("b", "reg"), backend=backend)
        await delete(["a"], backend=backend, sinks=(keeper,))

        assert {"k3d-b"} == networks_of(runtime, "reg")
        assert ["registry reg stays: it is in use in network k3d-b"] == warnings(keeper)
        assert ["b"] == [one.name for one in await list_clusters(runtime)]
        with pytest.raises(ClusterNotFound):
            await list_clusters(runtime, ["a"])

        await create(use("a", "reg"), backend=backend)
        await delete(["a"], backend=backend)
        assert {"k3d-b"} == networks_of(runtime, "reg")

        await delete(["b"], backend=backend, sinks=(keeper,))
        assert warnings(keeper)[-1].startswith("registry reg goes too: it was made with cluster a")
        assert runtime.is_empty()


async def test_a_registry_of_a_cluster_that_lives_stays_when_another_goes() -> None:
    """Only its place in that network goes."""
    keeper = Keeper()
    async with engine() as (runtime, backend):
        await create(ClusterSpec(name="a", registry=RegistrySpec(name="reg")), backend=backend)
        await create(use("b", "reg"), backend=backend)
        await delete(["b"], backend=backend, sinks=(keeper,))

        assert {"k3d-a"} == networks_of(runtime, "reg")
        assert [] == warnings(keeper)
        await delete(["a"], backend=backend)
        assert runtime.is_empty()


@pytest.mark.parametrize("names", [["a", "b"], ["b", "a"], None])
async def test_clusters_that_share_a_registry_go_together(names: list[str] | None) -> None:
    """In any order: the network of one that goes is no use of it."""
    async with engine() as (runtime, backend):
        await create(ClusterSpec(name="a", registry=RegistrySpec(name="reg")), backend=backend)
        await create(use("b", "reg"), backend=backend)

        await delete(names, backend=backend)

        assert runtime.is_empty()


async def test_what_is_left_of_a_deleted_cluster_can_be_deleted() -> None:
    """A registry that other networks than clusters' kept, once it is in none of them."""
    async with engine() as (runtime, backend):
        theirs = runtime.add_foreign_network("theirs")
        await create(ClusterSpec(name="a", registry=RegistrySpec(name="reg")), backend=backend)
        await runtime.connect_network("reg", theirs, address=None, labels={})
        await delete(["a"], backend=backend)
        assert {"theirs"} == networks_of(runtime, "reg")

        await runtime.disconnect_network("reg", theirs, {})
        await delete(["a"], backend=backend)

        assert [] == list(await list_nodes(runtime))


async def test_a_registry_in_a_network_that_clusters_share_goes_with_the_last() -> None:
    """Any of them may use it."""
    async with engine() as (runtime, backend):
        runtime.add_foreign_network("theirs", subnet="10.9.0.0/24")
        spec = ClusterSpec(name="a", registry=RegistrySpec(name="reg"), network="theirs")
        await create(spec, backend=backend)
        other = msgspec.structs.replace(use("b", "reg"), network="theirs")
        await create(other, backend=backend)

        await delete(["a"], backend=backend)
        assert {"theirs"} == networks_of(runtime, "reg")
        await delete(["b"], backend=backend)

        assert [] == list(await list_nodes(runtime))


async def test_k3ds_clusters_let_go_of_registries_too() -> None:
    """A network of k3d's has no cluster's label; its members are known by it all the same."""
    async with engine() as (runtime, backend):
        await add_shared(runtime)
        network = runtime.add_foreign_network("k3d-old", labels={"app": "k3d"})
        labels = {
            "app": "k3d",
            "k3d.cluster": "old",
            "k3d.role": "server",
            "k3d.cluster.network": "k3d-old",
            "k3d.cluster.network.external": "false",
        }
        await runtime.add_foreign_container("k3d-old-server-0", network, labels=labels)
        await runtime.connect_network("k3d-shared", network, address=None, labels={})

        await delete(["old"], backend=backend)

        assert {"theirs"} == networks_of(runtime, "k3d-shared")
        left = {one.name for one in await runtime.networks()}
        assert {"theirs", "host", "bridge"} == left


@virtual_time
async def test_a_registry_that_does_not_stay_up_fails_the_create_with_its_words() -> None:
    """Nobody waits for it, but what it was made for does not work."""
    name = "k3d-dev-registry"
    says = ("panic: no route to the other registry", "", "goroutine 1 [running]:", "main.main()")
    async with FakeRuntime(latency=Latency()) as runtime, anyio.create_task_group() as group:

        async def crash() -> None:
            async with runtime.container_events({"k3d.role": "registry"}) as stream:
                async for event in stream:
                    if event.action == "start":
                        runtime.machine.inventory.containers[name].log.extend(says)
                        runtime.crash(name, exit_code=2)

        group.start_soon(crash)
        with pytest.raises(
            TaskFailed, match=f"{name} exited with code 2.*words:\n.*panic"
        ) as caught:
            await create(MIRRORED, backend=backend_of(runtime))

        assert "NODE_CRASHLOOP" == caught.value.code
        assert "main.main" not in str(caught.value)
        assert runtime.is_empty()
        group.cancel_scope.cancel()
