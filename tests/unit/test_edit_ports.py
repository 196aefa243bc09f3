"""Ports of a cluster that is there, added and deleted: decided without an engine."""

import pytest

from k3dasync.cluster import ProxiedPort
from k3dasync.errors import InvalidFilter, InvalidPort
from k3dasync.grammar import filtered
from k3dasync.grammar.filters import Members
from k3dasync.resolve import PortEdit, Ports, Standing, api_binding, claims
from k3dasync.runtime import PortBinding

MEMBERS = Members(
    servers=("k3d-dev-server-0", "k3d-dev-server-1"),
    agents=("k3d-dev-agent-0",),
    loadbalancer="k3d-dev-serverlb",
)
API = PortBinding(port="6443", host_ip="127.0.0.1", host_port=26550)


def bound(host: int, port: str, host_ip: str = "", last: int = 0) -> PortBinding:
    return PortBinding(port=port, host_ip=host_ip, host_port=host, last_host_port=last)


def edit_of(*bindings: PortBinding, direct: PortBinding | None = None, **targets: str) -> PortEdit:
    """Return an edit of a load balancer with these; `p80="server-0 agent-0"` are port 80's."""
    proxied = tuple(
        ProxiedPort(
            port=int(key[1:]),
            protocol="tcp",
            nodes=tuple(f"k3d-dev-{name}" for name in names.split()),
        )
        for key, names in targets.items()
    )
    others = {"k3d-dev-server-0": (direct,) if direct else ()}
    ports = Ports(bindings=(API, *bindings), proxied=proxied)
    return PortEdit(Standing(members=MEMBERS, ports=ports, api=API, others=others))


def shown(edit: PortEdit) -> tuple[list[str], dict[str, str]]:
    """Return what is published besides the API, and where it leads, shortened."""
    bindings = [
        f"{one.host_ip}:{one.host_ports or 'any'}:{one.port}".lstrip(":")
        for one in edit.ports.bindings
        if one is not API
    ]
    targets = {
        one.key: " ".join(name.removeprefix("k3d-dev-") for name in one.nodes)
        for one in edit.ports.proxied
    }
    return bindings, targets


EVERY = "server-0 server-1 agent-0"


@pytest.mark.parametrize(
    ("text", "bindings", "targets"),
    [
        ("8080:80", ["8080:80/tcp"], {"80.tcp": EVERY}),
        ("8080:80@loadbalancer", ["8080:80/tcp"], {"80.tcp": EVERY}),
        ("8080:80@k3d-dev-serverlb", ["8080:80/tcp"], {"80.tcp": EVERY}),
        ("8080:80@server:0", ["8080:80/tcp"], {"80.tcp": "server-0"}),
        ("8080:80@k3d-dev-agent-0", ["8080:80/tcp"], {"80.tcp": "agent-0"}),
        ("8080:80@dev-server-1", ["8080:80/tcp"], {"80.tcp": "server-1"}),
        ("8080:80@agent-0", ["8080:80/tcp"], {"80.tcp": "agent-0"}),
        ("8080:80@servers[1]", ["8080:80/tcp"], {"80.tcp": "server-1"}),
        ("8080:80@server:1:proxy", ["8080:80/tcp"], {"80.tcp": "server-1"}),
        ("127.0.0.1:53:53/udp@agent:*", ["127.0.0.1:53:53/udp"], {"53.udp": "agent-0"}),
        ("80@server:0", ["any:80/tcp"], {"80.tcp": "server-0"}),
        ("7443:6443", ["7443:6443"], {}),
        (
            "8080-8081:80-81@agent:0",
            ["8080:80/tcp", "8081:81/tcp"],
            {"80.tcp": "agent-0", "81.tcp": "agent-0"},
        ),
    ],
)
def test_a_port_is_added_as_at_create_and_deleted_again(
    text: str, bindings: list[str], targets: dict[str, str]
) -> None:
    """What one text adds, the same text takes away, and the API's port stays."""
    edit = edit_of()
    asked = [filtered.parse(text)]
    edit.add(asked)
    assert (bindings, targets) == shown(edit)
    edit.delete(asked)
    assert ([], {}) == shown(edit)
    assert API in edit.ports.bindings
    assert [] == edit.unchanged


def test_what_is_there_is_not_added_and_what_is_not_is_not_deleted() -> None:
    """Both are said, and nothing changes."""
    edit = edit_of(bound(8080, "80/tcp"), p80=EVERY)
    before = edit.ports
    edit.add([filtered.parse("8080:80"), filtered.parse("0.0.0.0:8080:80@server:0")])
    edit.delete([filtered.parse("8081:80"), filtered.parse("9090:90@server:0:direct")])
    assert before == edit.ports
    assert [
        "8080:80 is published already",
        "0.0.0.0:8080:80@server:0 is published already",
        "8081:80 is not published",
        "9090:90@server:0:direct is not published",
    ] == edit.unchanged


def test_what_a_deleted_mapping_leaves_open_means_any() -> None:
    """No address means every one, and no host port all of them."""
    edit = edit_of(bound(8080, "80/tcp", "127.0.0.1"), bound(8081, "80/tcp"), p80="server-0")
    edit.delete([filtered.parse("8080:80")])
    assert (["8081:80/tcp"], {"80.tcp": "server-0"}) == shown(edit)
    edit = edit_of(bound(8080, "80/tcp", "127.0.0.1"), bound(8081, "80/tcp"), p80="server-0")
    edit.delete([filtered.parse("80")])
    assert ([], {}) == shown(edit)
    edit = edit_of(bound(8080, "80/tcp", "127.0.0.1"), p80="server-0")
    edit.delete([filtered.parse("192.168.1.1:8080:80")])
    assert ["192.168.1.1:8080:80 is not published"] == edit.unchanged


def test_some_nodes_of_a_port_are_taken_away_alone() -> None:
    """The port stays published for the others; with the last one it goes."""
    edit = edit_of(bound(8080, "80/tcp"), p80=EVERY)
    edit.delete([filtered.parse("8080:80@server:*")])
    assert (["8080:80/tcp"], {"80.tcp": "agent-0"}) == shown(edit)
    edit.delete([filtered.parse("8080:80@agent:0")])
    assert ([], {}) == shown(edit)


def test_some_nodes_of_a_port_with_two_host_ports_are_refused() -> None:
    """Both lead to the same nodes: what is asked for cannot be had for one of them."""
    edit = edit_of(bound(8080, "80/tcp"), bound(8081, "80/tcp"), p80=EVERY)
    with pytest.raises(InvalidPort, match="no filter: host port 8081 leads to the same nodes"):
        edit.delete([filtered.parse("8080:80@agent:0")])


def test_nodes_that_are_gone_do_not_keep_a_port() -> None:
    """A target which somebody has removed is none of those that are left."""
    edit = edit_of(bound(8080, "80/tcp"), p80="server-0 agent-7")
    edit.delete([filtered.parse("8080:80@server:0")])
    assert ([], {}) == shown(edit)


def test_the_port_of_the_api_is_not_deleted() -> None:
    """Whether it is named or left open; another host port of it is."""
    edit = edit_of(bound(7443, "6443"))
    for text in ("6443", "26550:6443"):
        with pytest.raises(InvalidPort, match="the API is published there"):
            edit.delete([filtered.parse(text)])
    edit.delete([filtered.parse("7443:6443")])
    assert ([], {}) == shown(edit)


@pytest.mark.parametrize("text", ["8080:81", "8080:80@server:0", "127.0.0.1:26550:90"])
def test_a_host_port_that_leads_elsewhere_is_refused(text: str) -> None:
    """Of the load balancer, of a node itself, and of the API."""
    held = bound(8080, "90/tcp")
    for edit in (edit_of(held, p90="server-0"), edit_of(direct=held)):
        with pytest.raises(InvalidPort, match=r"another host port: .* leads to port \S+ already"):
            edit.add([filtered.parse(text)])


def test_a_host_port_that_is_deleted_is_free_for_another() -> None:
    """In one call: what is deleted goes first."""
    edit = edit_of(bound(8080, "80/tcp"), p80="server-0")
    edit.delete([filtered.parse("8080:80")])
    edit.add([filtered.parse("8080:443")])
    assert (["8080:443/tcp"], {"443.tcp": EVERY}) == shown(edit)


def test_what_nodes_publish_themselves_stays() -> None:
    """It can be named if it is there, and neither be added nor be deleted."""
    edit = edit_of(direct=bound(9090, "90/tcp"))
    edit.add([filtered.parse("9090:90@server:0:direct")])
    assert ["9090:90@server:0:direct is published already"] == edit.unchanged
    for act in (edit.add, edit.delete):
        text = "9090:90" if act == edit.delete else "9091:90"
        with pytest.raises(InvalidPort, match="fixed when it is made"):
            act([filtered.parse(f"{text}@server:0:direct")])


def test_a_nodes_name_means_what_it_publishes_itself() -> None:
    """Where it does; then there is no other way for that port."""
    edit = edit_of(direct=bound(9090, "90/tcp"))
    edit.add([filtered.parse("9090:90@server-0")])
    assert ["9090:90@server-0 is published already"] == edit.unchanged
    with pytest.raises(InvalidPort, match="fixed when it is made"):
        edit.delete([filtered.parse("90@k3d-dev-server-0")])
    with pytest.raises(InvalidFilter, match="expected one of k3d-dev-server-0, "):
        edit.add([filtered.parse("8080:80@server-7")])


def test_more_nodes_for_a_port_that_is_forwarded() -> None:
    """They are added to those which it has; and without a filter it may keep them."""
    edit = edit_of(bound(8080, "80/tcp"), p80="server-0")
    edit.add([filtered.parse("8080:80@agent:0")])
    assert (["8080:80/tcp"], {"80.tcp": "server-0 agent-0"}) == shown(edit)
    edit.add([filtered.parse("8081:80")], keeps_targets=True)
    assert (["8080:80/tcp", "8081:80/tcp"], {"80.tcp": "server-0 agent-0"}) == shown(edit)
    edit.add([filtered.parse("8082:80")])
    assert {"80.tcp": "server-0 agent-0 server-1"} == shown(edit)[1]


def test_filters_mean_nodes_that_are_there() -> None:
    """One that is not there is refused, and so is a host port named twice."""
    edit = edit_of()
    with pytest.raises(InvalidFilter, match="below 1"):
        edit.add([filtered.parse("8080:80@agent:1")])
    with pytest.raises(InvalidPort, match="8080 leads to port 80/tcp already"):
        edit.add([filtered.parse("8080:80@agent:0"), filtered.parse("8080:81")])


def test_claims_are_what_was_not_held_before() -> None:
    """By number, protocol and address; ranges always are, as the engine chooses again."""
    before = [API, bound(8080, "80/tcp"), bound(0, "81/tcp")]
    new = bound(8080, "80/udp")
    after = [API, bound(8080, "443/tcp"), new, bound(8090, "90/tcp", last=8099)]
    assert [new, after[3]] == claims(after, before)


def test_the_port_of_the_api_is_known_by_its_host_port() -> None:
    """In both spellings of the engine; another port of the host is not it."""
    spelt = bound(26550, "6443/tcp")
    assert spelt == api_binding([bound(7443, "6443"), spelt], 26550)
    assert api_binding([bound(7443, "6443")], 26550) is None
