"""How ports reach their nodes: the table of docs/ports.md, line by line."""

import re
from pathlib import Path

import pytest

from k3dasync.cluster import Cluster
from k3dasync.errors import InvalidFilter, InvalidPort, InvalidSyntax
from k3dasync.grammar import filtered
from k3dasync.grammar.balancer import parse
from k3dasync.spec import ClusterSpec
from tests.unit.worlds import decided

TABLE = (Path(__file__).parents[2] / "docs" / "ports.md").read_text()
NOTHING = "–"  # noqa: RUF001 - as the table has it
ROWS = re.findall(r"^\| `(.*?80.*?|53.*?)` \| (.+?) \| (.+?) \|", TABLE, re.MULTILINE)


def make(*flags: str, fixed: bool = True, **fields: object) -> Cluster:
    wanted = {"servers": 2, "agents": 3, **fields}
    asked = tuple(filtered.parse(flag) for flag in flags)
    spec = ClusterSpec(name="dev", ports=asked, **wanted)  # type: ignore[arg-type]
    return decided(spec, is_external=not fixed, fixed=fixed)


def shown(cluster: Cluster) -> tuple[str, str]:
    """Return what is published besides the API, and what is forwarded, as the table has it."""
    published = [
        f"{node.name.removeprefix('k3d-dev-')} {binding.host_ip}{':' * bool(binding.host_ip)}"
        f"{binding.host_ports or 'any'}→{binding.port.removesuffix('/tcp')}"
        for node in cluster.nodes
        for binding in node.container.ports
        if (binding.host_ip, binding.host_port) != (cluster.api.host_ip, cluster.api.port)
    ]
    forwarded = [
        f"{port.port}{'' if port.protocol == 'tcp' else f'/{port.protocol}'} to "
        + " ".join(name.removeprefix("k3d-dev-") for name in port.nodes)
        for port in cluster.proxied
    ]
    return ", ".join(published), ", ".join(forwarded) or NOTHING


@pytest.mark.parametrize(("flag", "published", "forwarded"), ROWS, ids=[row[0] for row in ROWS])
def test_the_table_in_the_documents_is_true(flag: str, published: str, forwarded: str) -> None:
    """For a cluster of two servers and three agents, each spelling."""
    if published.startswith("refused"):
        with pytest.raises((InvalidPort, InvalidFilter)):
            make(flag)
    else:
        assert (published, forwarded) == shown(make(flag))


def test_the_table_has_every_spelling() -> None:
    """Both forms of filters, names, suffixes, ranges, no filter."""
    flags = " ".join(row[0] for row in ROWS)

    assert 20 <= len(ROWS)
    for part in (":direct", ":proxy", "[", "k3d-dev-", "loadbalancer", "all", "/udp", "::"):
        assert part in flags


def test_without_a_load_balancer_a_port_is_published_by_the_node() -> None:
    """By the only one without a filter, else a filter has to say which."""
    alone = make("8080:80", servers=1, agents=0, loadbalancer=False)
    assert ("server-0 8080→80", NOTHING) == shown(alone)
    direct = make("8080:80@agent:0:direct", loadbalancer=False)
    assert ("agent-0 8080→80", NOTHING) == shown(direct)
    for flag in ("8080:80", "8080:80@agent:0", "8080:80@loadbalancer"):
        with pytest.raises(InvalidPort, match="no load balancer"):
            make(flag, loadbalancer=False)


def test_the_load_balancer_forwards_to_addresses() -> None:
    """Nginx gets an upstream a port, k3d its description; udp says so."""
    cluster = make("8080:80@server:0", "53:53/udp@agent:*")
    assert cluster.loadbalancer is not None
    files = {file.path: file.content.decode() for file in cluster.loadbalancer.container.files}
    config = files["/etc/nginx/nginx.conf"]
    addresses = {node.name: node.container.address for node in cluster.nodes}

    assert f"upstream port_80 {{\n    server {addresses['k3d-dev-server-0']}:80" in config
    assert "listen 53 udp;\n    proxy_pass port_53_udp;" in config
    assert "  80.tcp:\n  - k3d-dev-server-0\n  53.udp:\n" in files["/etc/confd/values.yaml"]


def test_on_a_network_without_fixed_addresses_it_forwards_to_names() -> None:
    """The nodes of one port share an alias, which is resolved at each connection."""
    cluster = make("8080:80@agent:0,2", fixed=False)
    assert cluster.loadbalancer is not None
    config = cluster.loadbalancer.container.files[0].content.decode()
    aliased = {
        node.name for node in cluster.nodes if "k3d-dev-port-80-tcp" in node.container.aliases
    }

    assert {"k3d-dev-agent-0", "k3d-dev-agent-2"} == aliased
    assert "k3d-dev-port-80-tcp:80" in config


@pytest.mark.parametrize(
    "flags",
    [
        ("8080:80@server:0", "8080:81@agent:0"),
        ("127.0.0.1:8080:80@server:0", "8080:80@agents[0]"),
        ("8080-8081:80-81@server:0", "8081:90"),
    ],
    ids=str,
)
def test_a_host_port_is_published_once(flags: tuple[str, ...]) -> None:
    """It is found out before anything is made; other addresses and protocols are others."""
    with pytest.raises(InvalidPort, match="another host port"):
        make(*flags)

    make("127.0.0.1:8080:80@server:0", "127.0.0.2:8080:80@server:0", "8080:80/udp@server:0")


def test_another_host_port_of_the_api_goes_to_servers_only() -> None:
    """Agents have no API to forward to; the binding has the API's own key."""
    cluster = make("7443:6443@loadbalancer")
    assert cluster.loadbalancer is not None

    assert ["6443", "6443"] == [one.port for one in cluster.loadbalancer.container.ports]
    assert () == cluster.proxied


def test_settings_of_the_load_balancer() -> None:
    """k3d's names; its description says what is not as usual."""
    cluster = make(
        balancer=parse(["settings.workerConnections=9", "settings.defaultProxyTimeout=7"])
    )
    assert cluster.loadbalancer is not None
    usual = make().loadbalancer
    assert usual is not None
    config, values = (file.content.decode() for file in cluster.loadbalancer.container.files)

    assert "worker_connections 9;" in config
    assert "proxy_timeout 7s;" in config
    assert "settings:\n  workerConnections: 9\n  defaultProxyTimeout: 7\n" in values
    assert "defaultProxyTimeout" not in usual.container.files[1].content.decode()


@pytest.mark.parametrize(
    "text", ["", "a=1", "settings.workerConnections", "settings.workerConnections=0"]
)
def test_bad_settings_are_refused(text: str) -> None:
    """An unknown name, no number."""
    with pytest.raises(InvalidSyntax, match="expected"):
        parse([text])
