"""What a cluster's containers are, down to labels, env and commands."""

import pytest

from k3dasync.cluster import ApiChoice, Role, k3s_version
from k3dasync.resolve import balancer_files
from k3dasync.spec import ClusterSpec
from tests.unit.worlds import SUBNET, TOKEN, decided

HA = ClusterSpec(name="dev", servers=3, agents=2, image="k3s:test")


def by_name(spec: ClusterSpec, name: str, **world: object):  # type: ignore[no-untyped-def]
    return next(node for node in decided(spec, **world).nodes if node.name == name)  # type: ignore[arg-type]


def test_names_and_roles_are_k3ds() -> None:
    """Containers are called and labelled as k3d does it."""
    found = [(node.name, node.role, node.is_init) for node in decided(HA).nodes]

    assert [
        ("k3d-dev-server-0", Role.SERVER, True),
        ("k3d-dev-server-1", Role.SERVER, False),
        ("k3d-dev-server-2", Role.SERVER, False),
        ("k3d-dev-agent-0", Role.AGENT, False),
        ("k3d-dev-agent-1", Role.AGENT, False),
        ("k3d-dev-serverlb", Role.LOADBALANCER, False),
    ] == found


def test_the_init_server_starts_the_datastore_and_joins_nobody() -> None:
    """Several servers: --cluster-init on the first, which has no K3S_URL."""
    container = by_name(HA, "k3d-dev-server-0").container

    assert (
        "server",
        "--cluster-init",
        "--tls-san",
        "127.0.0.1",
        "--tls-san",
        "k3d-dev-serverlb",
    ) == container.command
    assert (
        f"K3S_TOKEN={TOKEN}",
        "K3S_KUBECONFIG_OUTPUT=/output/kubeconfig.yaml",
    ) == container.env


def test_one_server_alone_has_no_etcd() -> None:
    """A single server keeps k3s's own default datastore, and no init label."""
    container = by_name(ClusterSpec(name="dev"), "k3d-dev-server-0").container

    assert container.command is not None
    assert "--cluster-init" not in container.command
    assert "k3d.server.init" not in container.labels


@pytest.mark.parametrize("name", ["k3d-dev-server-1", "k3d-dev-agent-0"])
def test_others_join_server_0(name: str) -> None:
    """Joining servers and agents are told where to go, the kubeconfig path comes last."""
    env = by_name(HA, name).container.env

    assert "K3S_URL=https://k3d-dev-server-0:6443" == env[1]
    assert "K3S_KUBECONFIG_OUTPUT=/output/kubeconfig.yaml" == env[-1]


def test_labels_of_a_server() -> None:
    """k3d reads these back; ours are on top."""
    labels = dict(by_name(HA, "k3d-dev-server-1").container.labels)
    ours = {key: labels.pop(key) for key in ("k3dasync.run", "k3dasync.version", "k3d.version")}

    assert "20261122-181500-abcdef" == ours["k3dasync.run"]
    assert {
        "app": "k3d",
        "k3d.cluster": "dev",
        "k3d.role": "server",
        "k3d.cluster.url": "https://k3d-dev-server-0:6443",
        "k3d.cluster.token": TOKEN,
        "k3d.cluster.imageVolume": "k3d-dev-images",
        "k3d.cluster.network": "k3d-dev",
        "k3d.cluster.network.iprange": SUBNET,
        "k3d.cluster.network.external": "false",
        "k3d.server.loadbalancer": "k3d-dev-serverlb",
        "k3d.server.init": "false",
        "k3d.server.api.host": "127.0.0.1",
        "k3d.server.api.hostIP": "127.0.0.1",
        "k3d.server.api.port": "26550",
        "k3d.node.staticIP": "10.160.7.3",
    } == labels


def test_everything_carries_the_runs_label() -> None:
    """Networks and volumes too: a rollback goes by it."""
    cluster = decided(HA)
    assert cluster.network is not None
    labelled = [node.container.labels for node in cluster.nodes]
    labelled += [cluster.network.labels, cluster.volumes[0].labels]

    assert {"20261122-181500-abcdef"} == {labels["k3dasync.run"] for labels in labelled}


def test_the_api_is_published_by_the_load_balancer() -> None:
    """Only the load balancer binds a host port, under k3d's key without a protocol."""
    ports = {node.name: node.container.ports for node in decided(HA).nodes if node.container.ports}

    assert ["k3d-dev-serverlb"] == list(ports)
    assert ("6443", "127.0.0.1", 26550) == (
        ports["k3d-dev-serverlb"][0].port,
        ports["k3d-dev-serverlb"][0].host_ip,
        ports["k3d-dev-serverlb"][0].host_port,
    )


def test_without_load_balancer_server_0_publishes_it() -> None:
    """And nobody promises the load balancer's name in a certificate."""
    spec = ClusterSpec(name="dev", loadbalancer=False)
    container = by_name(spec, "k3d-dev-server-0").container

    assert 1 == len(container.ports)
    assert ("server", "--tls-san", "127.0.0.1") == container.command
    assert "" == container.labels["k3d.server.loadbalancer"]


def test_every_node_has_its_own_fixed_address() -> None:
    """Addresses are in the create call, so no restart order can swap them."""
    found = [node.container.address for node in decided(HA).nodes]

    assert len(found) == len(set(found))
    assert None not in found


def test_dynamic_addresses_use_names() -> None:
    """Without fixed addresses the load balancer resolves a server's name, then that of all."""
    cluster = decided(HA, is_external=True, fixed=False)
    balancer = cluster.loadbalancer
    assert balancer is not None
    names = [server.name for server in cluster.servers]
    first, some, every = (
        files[0].content.decode()
        for files in (
            balancer.container.files,
            balancer_files(cluster, names[1:]),
            balancer_files(cluster, names),
        )
    )

    assert cluster.network is None
    assert ("k3d-dev-servers",) == cluster.servers[1].container.aliases
    assert "resolver 127.0.0.11" in first
    assert "default k3d-dev-server-0:6443;" in first
    assert "default k3d-dev-server-1:6443;" in some
    assert "default k3d-dev-servers:6443;" in every


def test_joining_servers_come_in_when_they_run_and_share_when_they_are_ready() -> None:
    """At first server-0 is alone; then those stand by that do not answer yet."""
    cluster = decided(HA)
    assert cluster.loadbalancer is not None
    first = cluster.loadbalancer.container.files[0].content.decode()
    names = [server.name for server in cluster.servers]
    configs = [
        balancer_files(cluster, answering)[0].content.decode()
        for answering in (names[:1], names[1:], names)
    ]

    assert [1, 3, 3, 3] == [text.count("max_fails=0") for text in (first, *configs)]
    assert [0, 2, 1, 0] == [text.count(" backup;") for text in (first, *configs)]
    assert f"server {cluster.servers[0].container.address}:6443 max_fails=0 backup;" in configs[1]


def test_k3ds_own_description_is_in_the_load_balancer() -> None:
    """k3d reads values.yaml back from the container."""
    cluster = decided(HA)
    assert cluster.loadbalancer is not None
    files = {file.path: file.content.decode() for file in cluster.loadbalancer.container.files}

    assert (
        "ports:\n  6443.tcp:\n  - k3d-dev-server-0\n  - k3d-dev-server-1\n  - k3d-dev-server-2\n"
        "settings:\n  workerConnections: 1024\n"
    ) == files["/etc/confd/values.yaml"]


def test_the_host_alias_is_in_the_create_call() -> None:
    """host.k3d.internal survives restarts, on server-0 too."""
    for node in (*decided(HA).servers, *decided(HA).agents):
        assert ("host.k3d.internal:10.160.7.1",) == node.container.extra_hosts


def test_equal_inputs_give_equal_clusters() -> None:
    """Deciding has no randomness and no clock of its own."""
    assert decided(HA) == decided(HA)


def test_no_secret_in_a_repr() -> None:
    """Tracebacks and debug output show no token."""
    assert TOKEN not in repr(decided(HA))


@pytest.mark.parametrize(
    ("host", "connect", "url"),
    [
        ("0.0.0.0", "127.0.0.1", "https://0.0.0.0:6550"),
        ("::1", "::1", "https://[::1]:6550"),
        ("engine", "engine", "https://engine:6550"),
    ],
)
def test_api_addresses(host: str, connect: str, url: str) -> None:
    """What clients are told, and what we connect to ourselves."""
    api = ApiChoice(host=host, host_ip="0.0.0.0", port=6550)

    assert (connect, url) == (api.connect_host, api.url)


@pytest.mark.parametrize(
    ("image", "version"),
    [("rancher/k3s:v1.31.1-k3s1", "v1.31.1-k3s1"), ("host:5000/k3s", "v1.35.5-k3s1")],
)
def test_the_version_is_the_images_tag(image: str, version: str) -> None:
    """A registry's port is no tag."""
    assert version == k3s_version(image)
