"""Which node gets what: env, arguments, labels, volumes; and what every node gets."""

import json
from dataclasses import dataclass, replace

import pytest

from k3dasync.cluster import Cluster, NetworkChoice, Node
from k3dasync.docker.translate import container_body
from k3dasync.errors import InvalidFilter, InvalidSyntax, SpecError
from k3dasync.grammar import filtered, filters
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.gpus import GpuRequest
from k3dasync.grammar.node_files import NodeFile
from k3dasync.grammar.words import parse_host_alias, parse_ulimit
from k3dasync.resolve import resolve
from k3dasync.spec import ClusterSpec, check
from tests.unit.worlds import decided


def texts(*flags: str, origin: str = "--flag") -> tuple[Filtered, ...]:
    return tuple(replace(filtered.parse(flag), origin=origin) for flag in flags)


@dataclass
class Made:
    cluster: Cluster

    def __getitem__(self, short: str) -> Node:
        return next(node for node in self.cluster.nodes if node.name == f"k3d-dev-{short}")


def make(**fields: object) -> Made:
    return Made(decided(ClusterSpec(name="dev", servers=2, agents=2, **fields)))  # type: ignore[arg-type]


def test_variables_come_first_and_in_their_order() -> None:
    """The user's, in the order of the flags, then k3s's own, which win."""
    made = make(env=texts("B=2@server:*", "A=1@server:0;agent:1", "C@all"))

    assert ["B=2", "A=1", "C"] == list(made["server-0"].container.env[:3])
    assert ["B=2", "C"] == list(made["server-1"].container.env[:2])
    assert "C" == made["agent-0"].container.env[0]
    assert ["A=1", "C"] == list(made["agent-1"].container.env[:2])
    assert ("C", "K3S_KUBECONFIG_OUTPUT=/output/kubeconfig.yaml") == made["serverlb"].container.env


def test_arguments_stand_where_k3d_puts_them() -> None:
    """Behind the role; then cluster-init, node labels and the names in the certificate."""
    made = make(
        k3s_args=texts("--disable=traefik@server:*", "--flag@server:0;agent:0", "x@loadbalancer"),
        node_labels=texts("a=1@server:0", "b@all"),
    )

    assert (
        *("server", "--disable=traefik", "--flag", "--cluster-init"),
        *("--node-label", "a=1", "--node-label", "b="),
        *("--tls-san", "127.0.0.1", "--tls-san", "k3d-dev-serverlb"),
    ) == made["server-0"].container.command
    assert ("agent", "--flag", "--node-label", "b=") == made["agent-0"].container.command
    assert None is made["serverlb"].container.command


def test_labels_of_the_user_never_win_over_ours() -> None:
    """They are there, beside those from which the state is read."""
    made = make(runtime_labels=texts("team=a@agent:*", "x=y@all"))

    labels = made["agent-0"].container.labels
    assert ("a", "y", "agent") == (labels["team"], labels["x"], labels["k3d.role"])
    assert "team" not in made["server-0"].container.labels
    assert "y" == made["serverlb"].container.labels["x"]


def test_a_volume_without_a_filter_is_for_all_nodes() -> None:
    """The load balancer too, as with k3d; shortcuts become paths."""
    made = make(volumes=texts("/src:/dst:ro", "/m:k3s-manifests@server:0"))

    images = "k3d-dev-images:/k3d/images"
    assert (images, "/src:/dst:ro") == made["serverlb"].container.binds
    assert (images, "/src:/dst:ro") == made["agent-1"].container.binds
    assert (
        *(images, "/src:/dst:ro"),
        "/m:/var/lib/rancher/k3s/server/manifests",
    ) == made["server-0"].container.binds


def test_named_volumes_are_made_unless_they_are_there() -> None:
    """Once each; those that begin with k3d- go with the cluster, others stay their user's."""
    wanted = texts("k3d-data:/a@all", "k3d-data:/b@all", "k3d-old:/c@all", "mine:/d@all", "/e@all")
    spec = ClusterSpec(name="dev", volumes=wanted)
    first = decided(spec)
    again = resolve(
        spec,
        run=first.run,
        token=first.token,
        network=_network(first),
        api=first.api,
        loadbalancer_image="nginx",
        host_alias="",
        present_volumes={"k3d-old"},
    )

    made = {volume.name: volume.labels for volume in again.volumes}
    assert ["k3d-dev-images", "k3d-data", "mine"] == list(made)
    assert "dev" == made["k3d-data"]["k3d.cluster"]
    assert {"k3dasync.run", "k3dasync.version"} == made["mine"].keys()


def _network(cluster: Cluster) -> NetworkChoice:
    return NetworkChoice(
        name=cluster.network_name,
        is_external=False,
        subnet="10.160.7.0/24",
        gateway="10.160.7.1",
        ip_range="10.160.7.128/25",
        addresses=(),
    )


def test_without_an_image_volume_nothing_of_it_is_left() -> None:
    """No volume, no mount, no label."""
    made = make(image_volume=False)

    assert () == made.cluster.volumes
    for node in made.cluster.nodes:
        assert () == node.container.binds
        assert "k3d.cluster.imageVolume" not in node.container.labels


def test_what_has_no_filter_is_for_all() -> None:
    """Ulimits for every container, host entries for nodes, the host's processes for k3s."""
    made = make(
        ulimits=(parse_ulimit("nofile=1:2"),),
        host_aliases=(parse_host_alias("10.0.0.1:a,b"), parse_host_alias("[::1]:c")),
        host_pid_mode=True,
    )

    assert {1} == {len(node.container.ulimits) for node in made.cluster.nodes}
    assert ("a:10.0.0.1", "b:10.0.0.1", "c:::1") == made["agent-0"].container.extra_hosts[:3]
    label = made["server-0"].container.labels["k3d.cluster.start.hostaliases"]
    assert [
        {"ip": "10.0.0.1", "hostnames": ["a", "b"]},
        {"ip": "::1", "hostnames": ["c"]},
    ] == json.loads(label)
    assert made["agent-0"].container.host_pid_mode
    assert not made["serverlb"].container.host_pid_mode


@pytest.mark.parametrize("field", ["env", "k3s_args", "node_labels", "runtime_labels"])
def test_a_filter_is_needed_where_there_is_a_choice(field: str) -> None:
    """With one node there is none."""
    wanted = {field: texts("a=b")}
    with pytest.raises(InvalidFilter, match=r"a=b@all.*3 nodes"):
        decided(ClusterSpec(name="dev", agents=1, **wanted))  # type: ignore[arg-type]

    decided(ClusterSpec(name="dev", loadbalancer=False, **wanted))  # type: ignore[arg-type]


def test_a_suffix_is_for_ports() -> None:
    """Elsewhere it has no meaning."""
    with pytest.raises(InvalidFilter, match=r"--flag 'A=1@servers:0:direct'.*no suffix"):
        make(env=texts("A=1@server:0:direct"))


@pytest.mark.parametrize("field", ["env", "volumes", "node_labels", "runtime_labels"])
def test_values_are_checked_before_anything_else(field: str) -> None:
    """The message says where the value was written."""
    wanted = {field: texts("=x@all", origin="the place")}
    with pytest.raises(InvalidSyntax, match="the place '=x'"):
        check(ClusterSpec(name="dev", **wanted))  # type: ignore[arg-type]


def test_memory_is_limited_by_role_and_shown_to_k3s() -> None:
    """The load balancer has no limit; the nodes' files show theirs instead of the machine's."""
    made = make(servers_memory=2**31, agents_memory=2**29)
    shown = {
        short: [
            file.content.decode().splitlines()[0]
            for file in made[short].container.files
            if file.path.endswith("/meminfo")
        ]
        for short in ("server-1", "agent-0", "serverlb")
    }

    assert (2**31, 2**29, 0) == tuple(made[short].container.memory for short in shown)
    assert {
        "server-1": ["MemTotal: 2097152 kB"],
        "agent-0": ["MemTotal: 524288 kB"],
        "serverlb": [],
    } == shown
    scripts = {file.path for file in made["agent-0"].container.files}
    assert "/bin/k3d-entrypoint-memory.sh" in scripts
    assert "/bin/k3d-entrypoint-memory.sh" not in {
        file.path for file in make()["agent-0"].container.files
    }


def test_the_engine_takes_no_less_than_6_megabytes() -> None:
    """It is said before it is asked."""
    with pytest.raises(SpecError, match="--agents-memory"):
        check(ClusterSpec(agents_memory=2**20))


def test_the_create_call_says_it_all() -> None:
    """As the engine's API has it."""
    made = make(
        ulimits=(parse_ulimit("nofile=1:-1"),),
        host_pid_mode=True,
        agents_memory=2**29,
        gpus=GpuRequest(count=-1),
        ports=texts("8080-8081:80@agent:0:direct", "90@agent:0:direct"),
    )
    host = container_body(made["agent-0"].container)["HostConfig"]

    assert ("host", 2**29) == (host["PidMode"], host["Memory"])
    assert [{"Name": "nofile", "Soft": 1, "Hard": -1}] == host["Ulimits"]
    assert [["gpu"]] == host["DeviceRequests"][0]["Capabilities"]
    assert {
        "80/tcp": [{"HostIp": "", "HostPort": "8080-8081"}],
        "90/tcp": [{"HostIp": "", "HostPort": ""}],
    } == host["PortBindings"]
    assert {"PidMode", "Memory", "Ulimits", "DeviceRequests"}.isdisjoint(
        container_body(make()["agent-0"].container)["HostConfig"]
    )


def test_an_image_volume_that_was_there_before() -> None:
    """It is mounted and not made; nodes say that it is not theirs."""
    made = make(external_image_volume="cache")

    assert () == made.cluster.volumes
    for node in made.cluster.nodes:
        assert ("cache:/k3d/images",) == node.container.binds
        assert ("cache", "true") == (
            node.container.labels["k3d.cluster.imageVolume"],
            node.container.labels["k3d.volumes.imageVolume.external"],
        )


@pytest.mark.parametrize(
    "fields", [{"image_volume": False}, {"external_image_volume": "a b"}], ids=str
)
def test_a_bad_image_volume_is_refused(fields: dict[str, object]) -> None:
    """A contradiction, and what is no name."""
    with pytest.raises(SpecError, match="--image-vol"):
        check(ClusterSpec(**{"external_image_volume": "cache", **fields}))  # type: ignore[arg-type]


def test_files_go_to_every_node_they_are_for() -> None:
    """The init server and the load balancer too; without a filter to all."""
    everywhere = NodeFile(source="a\n", destination="/etc/a", content=b"a\n")
    one = NodeFile(
        source="/b", destination="/b", content=b"b", filters=(filters.parse("server:0"),)
    )
    made = make(files=(everywhere, one))
    got = {
        node.name.removeprefix("k3d-dev-"): [
            (file.path, file.content, file.mode)
            for file in node.container.files
            if file.path in {"/etc/a", "/b"}
        ]
        for node in made.cluster.nodes
    }
    a, b = ("/etc/a", b"a\n", 0o644), ("/b", b"b", 0o644)

    assert {
        "server-0": [a, b],
        "server-1": [a],
        "agent-0": [a],
        "agent-1": [a],
        "serverlb": [a],
    } == got


def test_a_file_for_a_node_that_is_none_is_refused() -> None:
    """Where it stands is said."""
    lost = NodeFile(
        source="a\n",
        destination="/a",
        content=b"",
        filters=(filters.parse("agent:7"),),
        origin="c.yaml:3: files[0].source",
    )
    with pytest.raises(InvalidFilter, match=r"c.yaml:3: files\[0\].source 'agent:7'"):
        make(files=(lost,))


def test_a_users_own_name_for_the_host_wins() -> None:
    """Two addresses of one name would be a choice by chance."""
    made = make(host_aliases=(parse_host_alias("10.0.0.9:host.k3d.internal"),))

    assert ("host.k3d.internal:10.0.0.9",) == made["server-0"].container.extra_hosts


@pytest.mark.parametrize("text", ["nofile=5:2", "nofile=-1:2"])
def test_a_soft_limit_is_not_above_the_hard_one(text: str) -> None:
    """The kernel would say so, but only when the container starts."""
    with pytest.raises(InvalidSyntax, match="hard limit"):
        parse_ulimit(text)


@pytest.mark.parametrize("ipv6", [False, True])
def test_the_load_balancer_listens_where_connections_come(*, ipv6: bool) -> None:
    """With IPv6 in its network the engine hands connections to [::1] on to its IPv6 address."""
    spec = ClusterSpec(name="dev", ports=texts("53:53/udp@server:0"))
    cluster = decided(spec, has_ipv6=ipv6)
    (config,) = (
        one.content.decode()
        for one in cluster.nodes[-1].container.files
        if one.path == "/etc/nginx/nginx.conf"
    )

    assert "listen 6443;" in config
    assert ipv6 == ("listen [::]:6443;" in config)
    assert ipv6 == ("listen [::]:53 udp;" in config)
