"""The grammars of flags: what they read, what they print, and that they never crash."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k3dasync.errors import InvalidFilter, InvalidSyntax, InvalidVolume
from k3dasync.grammar import (
    exposure,
    filtered,
    filters,
    gpus,
    node_files,
    ports,
    registries,
    volumes,
    words,
)
from k3dasync.grammar.exposure import Exposure
from k3dasync.grammar.filtered import Filtered
from k3dasync.grammar.filters import EVERY, Group, Members, NodeFilter, Range, Suffix
from k3dasync.grammar.gpus import GpuRequest
from k3dasync.grammar.ports import PortMapping, PortRange, Protocol
from k3dasync.grammar.registries import NewRegistry, RegistryReference
from k3dasync.grammar.volumes import VolumeMapping
from k3dasync.grammar.words import HostAlias, Ulimit

PARSERS: dict[str, Callable[[str], object]] = {
    "filter": filters.parse,
    "filtered": filtered.parse,
    "port": ports.parse,
    "volume": volumes.parse,
    "variable": words.parse_variable,
    "label": words.parse_label,
    "runtime label": words.parse_runtime_label,
    "ulimit": words.parse_ulimit,
    "host alias": words.parse_host_alias,
    "size": words.parse_size,
    "gpus": gpus.parse,
    "exposure": exposure.parse,
    "registry reference": registries.parse_reference,
    "new registry": registries.parse_new,
    "registry name": registries.parse_name,
}
ALPHABET = "abk03:;@,-*[]/.=\\ 1é\n\0servagntpoxydic"

ranges = st.builds(
    lambda first, length, open_ends: Range(
        None if "<" in open_ends else first, None if ">" in open_ends else first + length
    ),
    st.integers(0, 20),
    st.integers(0, 5),
    st.sampled_from(["", "<", ">"]),
)
suffixes = st.sampled_from([None, *Suffix])
node_filters = st.one_of(
    st.builds(
        NodeFilter,
        group=st.sampled_from([Group.SERVERS, Group.AGENTS]),
        subset=st.lists(ranges, min_size=1, max_size=4).map(tuple) | st.just(EVERY),
        suffix=suffixes,
        is_bracket=st.booleans(),
    ),
    st.builds(NodeFilter, group=st.sampled_from([Group.ALL, Group.LOADBALANCER]), suffix=suffixes),
    st.builds(NodeFilter, name=st.just("k3d-dev-agent-0"), suffix=suffixes),
)
port_ranges = st.builds(
    lambda first, length: PortRange(first, first + length),
    st.integers(1, 60000),
    st.integers(0, 9),
)


@st.composite
def port_mappings(draw: st.DrawFn) -> PortMapping:
    container = draw(port_ranges)
    length = len(container) if len(container) > 1 else draw(st.integers(1, 9))
    first = draw(st.none() | st.integers(1, 60000))
    return PortMapping(
        container=container,
        protocol=draw(st.sampled_from(Protocol)),
        host=None if first is None else PortRange(first, first + length - 1),
        host_ip=draw(st.just("") | st.ip_addresses().map(str)),
    )


@pytest.mark.parametrize("name", PARSERS)
@given(text=st.text(ALPHABET, max_size=30) | st.text(max_size=30))
def test_no_text_crashes_a_parser(name: str, text: str) -> None:
    """It is read, or refused in one line that quotes it and says what was expected."""
    error = refusal(PARSERS[name], text)
    if error is not None:
        assert 0 <= error.at <= len(text)
        assert repr(error.text) in str(error)
        assert "expected" in str(error)
        assert 1 == len(str(error).splitlines())


def refusal(parse: Callable[[str], object], text: str) -> InvalidSyntax | None:
    """Return what a parser says against a text, None if it reads it."""
    try:
        parse(text)
    except InvalidSyntax as error:
        return error
    return None


@given(node_filters)
def test_filters_are_read_as_they_are_printed(one: NodeFilter) -> None:
    """Printing and reading is the same filter again."""
    assert one == filters.parse(str(one))


@given(
    st.builds(
        Filtered, st.text(ALPHABET, max_size=20), st.lists(node_filters, max_size=3).map(tuple)
    )
)
def test_filtered_values_are_read_as_they_are_printed(one: Filtered) -> None:
    """Whatever stands in the value, also what looks like a filter."""
    assert one == filtered.parse(str(one))


@given(port_mappings())
def test_ports_are_read_as_they_are_printed(one: PortMapping) -> None:
    """Addresses of both families, ranges, protocols."""
    assert one == ports.parse(str(one))


@given(
    st.builds(
        VolumeMapping,
        destination=st.text("abc/._", max_size=9).map(lambda text: f"/{text}"),
        source=st.text("abc/._", min_size=0, max_size=9),
        options=st.just(""),
    )
    | st.just(VolumeMapping(source="a", destination="/b", options="ro,z"))
)
def test_volumes_are_read_as_they_are_printed(one: VolumeMapping) -> None:
    """With and without a source."""
    assert one == volumes.parse(str(one))


@given(
    st.builds(
        lambda name, soft, more: Ulimit(name, soft, -1 if soft < 0 or more < 0 else soft + more),
        st.sampled_from(words.ULIMITS),
        st.integers(-1, 2**62),
        st.integers(-1, 9),
    )
)
def test_ulimits_are_read_as_they_are_printed(one: Ulimit) -> None:
    """-1 is no limit."""
    assert one == words.parse_ulimit(str(one))


@given(
    st.builds(
        HostAlias,
        st.ip_addresses().map(str),
        st.lists(st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True), min_size=1).map(tuple),
    )
)
def test_host_aliases_are_read_as_they_are_printed(one: HostAlias) -> None:
    """Addresses of both families."""
    assert one == words.parse_host_alias(str(one))


host_names = st.from_regex(r"[a-zA-Z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]{1,8})?", fullmatch=True)
exposures = st.builds(
    Exposure,
    st.none()
    | st.ip_addresses().map(str)
    | host_names.filter(lambda name: name.strip("0123456789.") != ""),
    st.none() | st.integers(1, 65535),
)


@given(exposures)
def test_exposures_are_read_as_they_are_printed(one: Exposure) -> None:
    """Addresses of both families, names, our choice of the port."""
    assert one == exposure.parse(str(one))


@given(
    st.builds(
        RegistryReference,
        host_names,
        st.sampled_from(["", "http", "https"]),
        st.lists(st.integers(1, 65535), max_size=2).map(tuple),
    )
)
def test_registry_references_are_read_as_they_are_printed(one: RegistryReference) -> None:
    """With and without protocol and ports."""
    assert one == registries.parse_reference(str(one))


@given(st.builds(NewRegistry, host_names, exposures))
def test_new_registries_are_read_as_they_are_printed(one: NewRegistry) -> None:
    """With and without where they are published."""
    assert one == registries.parse_new(str(one))


MEMBERS = Members(
    servers=("s0", "s1"), agents=("a0", "a1", "a2", "a3"), loadbalancer="k3d-dev-serverlb"
)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["server:0"], ["s0"]),
        (["servers:*"], ["s0", "s1"]),
        (["agents:0,2-3"], ["a0", "a2", "a3"]),
        (["agent:2-"], ["a2", "a3"]),
        (["agent:-1"], ["a0", "a1"]),
        (["agent:-"], ["a0", "a1", "a2", "a3"]),
        (["agent:1,"], ["a1"]),
        (["agents[0,2-3]"], ["a0", "a2", "a3"]),
        (["servers[*]"], ["s0", "s1"]),
        (["loadbalancer"], ["k3d-dev-serverlb"]),
        (["k3d-dev-serverlb"], ["k3d-dev-serverlb"]),
        (["loadbalancer", "server:1"], ["k3d-dev-serverlb", "s1"]),
        (["all"], ["s0", "s1", "a0", "a1", "a2", "a3", "k3d-dev-serverlb"]),
        (["agent:1", "server:0", "agent:0-1"], ["a1", "s0", "a0"]),
    ],
    ids=str,
)
def test_filters_choose_nodes(texts: list[str], expected: list[str]) -> None:
    """Each node once, in the order of the filters; both spellings alike."""
    assert expected == list(filters.select([filters.parse(text) for text in texts], MEMBERS))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        *(("server", 6), ("server:", 6), ("lb", 0), ("", 0), ("agents[0", 8), ("agents[]", 7)),
        *(("agent:3-1", 8), ("agent:0:foo", 8), ("server:0x", 8), ("agent:0,,1", 8)),
    ],
)
def test_bad_filters_are_refused_at_their_place(text: str, at: int) -> None:
    """The place is that of the first character which has no meaning."""
    with pytest.raises(InvalidFilter) as caught:
        filters.parse(text)

    assert (at, 2, "INVALID_FILTER") == (
        caught.value.at,
        caught.value.exit_code,
        caught.value.code,
    )


@pytest.mark.parametrize("text", ["server:2", "agents[1-4]", "k3d-other-agent-0"])
def test_nodes_that_will_not_be_there_are_refused(text: str) -> None:
    """An index or name beyond the cluster's; it is quoted as it was written."""
    with pytest.raises(InvalidFilter, match=re.escape(f"'{text}': expected")):
        filters.select([filters.parse(text)], MEMBERS)


def test_a_load_balancer_that_will_not_be_there_is_refused() -> None:
    """And everything is everything else then."""
    members = Members(servers=("s0",), agents=(), loadbalancer=None)
    with pytest.raises(InvalidFilter, match="no load balancer"):
        filters.select([filters.parse("loadbalancer")], members)

    assert ("s0",) == filters.select([filters.parse("all")], members)
    assert () == filters.select([filters.parse("agent:*")], members)


@pytest.mark.parametrize(
    ("text", "value", "count"),
    [
        ("a", "a", 0),
        ("a@", "a", 0),
        ("a@server:0", "a", 1),
        ("a@server:0;agent:*", "a", 2),
        ("80@k3d-test-server-0@agents[1-5]", "80", 2),
        (r"user\@pass\\@server:0", "user@pass\\", 1),
        (r"a\@b", "a@b", 0),
        (r"C:\dir", r"C:\dir", 0),
    ],
)
def test_values_and_filters_are_told_apart(text: str, value: str, count: int) -> None:
    """At the first `@` without an odd number of backslashes before it."""
    found = filtered.parse(text)

    assert (value, count) == (found.value, len(found.filters))


def test_a_bad_filter_is_marked_in_the_whole_value() -> None:
    """Where it stands in what the user wrote."""
    with pytest.raises(InvalidFilter, match=r"'8080:80@server:0@foo'.*at character 18"):
        filtered.parse("8080:80@server:0@foo")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", ["80/tcp -> any"]),
        ("8080:80", ["80/tcp -> 8080"]),
        (":80", ["80/tcp -> any"]),
        ("0:80", ["80/tcp -> any"]),
        ("127.0.0.1:8080:80/udp", ["80/udp -> 127.0.0.1:8080"]),
        ("127.0.0.1::80", ["80/tcp -> 127.0.0.1:any"]),
        ("[::1]:8080:80/sctp", ["80/sctp -> ::1:8080"]),
        ("8000-8001:80-81", ["80/tcp -> 8000", "81/tcp -> 8001"]),
        ("8000-8010:80", ["80/tcp -> 8000-8010"]),
        ("80-81", ["80/tcp -> any", "81/tcp -> any"]),
    ],
)
def test_ports(text: str, expected: list[str]) -> None:
    """Docker's grammar; ranges go pair by pair, or are the engine's choice for one port."""
    found = [
        f"{one.port} -> {one.host_ip}{':' * bool(one.host_ip)}{one.host or 'any'}"
        for one in ports.parse(text).publications()
    ]

    assert expected == found


@pytest.mark.parametrize(
    ("text", "at"),
    [
        *(("", 0), ("x:80", 0), ("1.2.3:80:80", 0), ("65536", 0), ("8080:", 5), ("80:90:80", 5)),
        *(("80/foo", 3), ("8000-8001:80-85", 0), ("90-80", 3), ("127.0.0.1:80", 12), ("-1", 0)),
    ],
)
def test_bad_ports_are_refused_at_their_place(text: str, at: int) -> None:
    """The place is that of the first character which has no meaning."""
    with pytest.raises(InvalidSyntax) as caught:
        ports.parse(text)

    assert (at, "INVALID_PORT") == (caught.value.at, caught.value.code)


@pytest.mark.parametrize(
    ("text", "source", "destination", "options"),
    [
        ("/a:/b", "/a", "/b", ""),
        ("/a:/b:ro", "/a", "/b", "ro"),
        ("name:/b", "name", "/b", ""),
        ("/b", "", "/b", ""),
        ("/a:k3s-storage", "/a", "/var/lib/rancher/k3s/storage", ""),
        ("/k3s-storage:/b", "/k3s-storage", "/b", ""),
        ("/m:k3s-manifests-custom:ro", "/m", "/var/lib/rancher/k3s/server/manifests/custom", "ro"),
    ],
)
def test_volumes(text: str, source: str, destination: str, options: str) -> None:
    """Docker's grammar, with k3d's shortcuts as destinations."""
    expected = VolumeMapping(source=source, destination=destination, options=options)

    assert expected == volumes.parse(text)


@pytest.mark.parametrize("text", ["", ":", "a", "/a:b", "/a:/b:ro:x", "/a:", "/a:/b:"])
def test_bad_volumes_are_refused(text: str) -> None:
    """A relative destination, a part too many, a part that is empty."""
    with pytest.raises(InvalidSyntax) as caught:
        volumes.parse(text)

    assert "INVALID_VOLUME" == caught.value.code


@pytest.mark.parametrize(
    ("text", "bytes"),
    [
        ("512m", 2**29),
        ("1.5g", 3 * 2**29),
        ("2GiB", 2**31),
        ("1024", 1024),
        ("7b", 7),
        ("1 k", 1024),
    ],
)
def test_sizes(text: str, bytes: int) -> None:
    """Docker's sizes, powers of 1024."""
    assert bytes == words.parse_size(text)


@pytest.mark.parametrize("text", ["app=x", "k3d.role=server", "k3s.x", "k3dasync.run=1"])
def test_reserved_labels_are_refused(text: str) -> None:
    """They hold the state of clusters."""
    with pytest.raises(InvalidSyntax, match="reserved"):
        words.parse_runtime_label(text)


def test_labels() -> None:
    """Split at the first equals sign; without one the value is empty."""
    assert ("a", "b=c") == words.parse_runtime_label("a=b=c")
    assert ("a", "") == words.parse_label("a")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", GpuRequest(count=-1)),
        ("2", GpuRequest(count=2)),
        ("driver=nvidia", GpuRequest(count=1, driver="nvidia")),
        ('"device=0,1",driver=x', GpuRequest(count=0, devices=("0", "1"), driver="x")),
        (
            'count=3,"capabilities=compute,utility"',
            GpuRequest(count=3, capabilities=("compute", "utility", "gpu")),
        ),
        ("options=a=b", GpuRequest(count=1, options=(("a", "b"),))),
    ],
)
def test_gpus(text: str, expected: GpuRequest) -> None:
    """Docker's grammar and defaults; what is printed is read again as the same."""
    assert expected == gpus.parse(text)
    assert expected == gpus.parse(str(expected))


@pytest.mark.parametrize(
    "text", ["", "x", "0", "-1", "count=", "a=b", "1,2", "device=0,count=1", '"']
)
def test_bad_gpus_are_refused(text: str) -> None:
    """Words that are no field, fields twice, and what contradicts itself."""
    with pytest.raises(InvalidSyntax, match="expected"):
        gpus.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5000", Exposure(None, 5000)),
        ("random", Exposure()),
        ("0.0.0.0:5000", Exposure("0.0.0.0", 5000)),
        ("127.0.0.1:random", Exposure("127.0.0.1", None)),
        ("my-host.example:5000", Exposure("my-host.example", 5000)),
        ("random.example:5000", Exposure("random.example", 5000)),
        ("[fd00::0001]:5000", Exposure("fd00::1", 5000)),
    ],
)
def test_exposures(text: str, expected: Exposure) -> None:
    """An address or a name, and a port or our choice."""
    assert expected == exposure.parse(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        *(("", 0), ("x", 0), (":5000", 0), ("0", 0), ("65536", 0), ("5000:", 0), ("h:", 2)),
        *(("6550:6550", 0), ("[x]:1", 0), ("fd00::1:5000", 5), ("randomly", 0), ("1.2.3:5", 0)),
    ],
)
def test_bad_exposures_are_refused_at_their_place(text: str, at: int) -> None:
    """The place is that of the first character which has no meaning."""
    error = refusal(exposure.parse, text)

    assert error is not None
    assert at == error.at


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("k3d-registry", "k3d-registry"),
        ("k3d-registry:5000", "k3d-registry"),
        ("registry.localhost:5000:5001", "registry.localhost"),
        ("https://registry.localhost:5000", "registry.localhost"),
    ],
)
def test_registry_references(text: str, name: str) -> None:
    """Only the name counts."""
    assert name == registries.parse_reference(text).name


@pytest.mark.parametrize(
    ("text", "at"),
    [
        *(("", 0), ("a_b", 1), ("http://", 7), ("ftp://a", 4), ("a:b", 2), ("a:1:2:3", 5)),
        *((":5000", 0), ("a:0", 2), ("x" * 64, 63), ("a/b", 1)),
    ],
)
def test_bad_registry_references_are_refused_at_their_place(text: str, at: int) -> None:
    """No image's name could begin with them, or no port is there."""
    error = refusal(registries.parse_reference, text)

    assert error is not None
    assert at == error.at


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("reg", NewRegistry("reg")),
        ("reg:5000", NewRegistry("reg", Exposure(None, 5000))),
        ("reg:random", NewRegistry("reg")),
        ("reg.localhost:0.0.0.0:5000", NewRegistry("reg.localhost", Exposure("0.0.0.0", 5000))),
        ("reg:[::1]:random", NewRegistry("reg", Exposure("::1", None))),
    ],
)
def test_new_registries(text: str, expected: NewRegistry) -> None:
    """A name, and where it is published."""
    assert expected == registries.parse_new(text)


@given(
    st.builds(GpuRequest, count=st.integers(-1, 99).filter(bool), driver=st.sampled_from(["", "x"]))
    | st.just(
        GpuRequest(
            count=0,
            devices=("0", "GPU-3a,b"[:5]),
            capabilities=("compute", "gpu"),
            options=(("a", "b"), ("c", "")),
        )
    )
)
def test_gpu_requests_are_read_as_they_are_printed(one: GpuRequest) -> None:
    """Counts, and devices by name, with all that may be said of them."""
    assert one == gpus.parse(str(one))


@given(st.integers(1, 10**15 - 1))
def test_sizes_are_read_as_they_are_printed(number: int) -> None:
    """In whatever unit has no rest."""
    assert number == words.parse_size(words.size(number))


@pytest.mark.parametrize("text", ["9" * 400, f"{'9' * 400}g", f".{'9' * 5000}"])
def test_sizes_beyond_all_bounds_crash_nothing(text: str) -> None:
    """They are refused, or a number."""
    try:
        assert words.parse_size(text) < 2
    except InvalidSyntax as error:
        assert error.expected  # noqa: PT017 - both outcomes are right


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("./a/../b:/x:ro", "/from/b:/x:ro"),
        ("..:/x", "/:/x"),
        ("~/a:/x", "/home/me/a:/x"),
        ("name:/x", "name:/x"),
        ("/x", "/x"),
    ],
)
def test_sources_start_from_a_folder(
    text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or from home; names and absolute paths stay what they are."""
    monkeypatch.setenv("HOME", "/home/me")

    assert expected == str(volumes.from_folder(volumes.parse(text), "/from"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a", "/a"),
        ("//a/./b/../c", "/a/c"),
        ("k3s-manifests/a.yaml", "/var/lib/rancher/k3s/server/manifests/a.yaml"),
        ("k3s-registry-config", "/etc/rancher/k3s/registries.yaml"),
        ("/k3s-storage/a", "/k3s-storage/a"),
        ("/runner/a", "/runner/a"),
    ],
)
def test_destinations_of_files(text: str, expected: str) -> None:
    """Absolute paths, a shortcut only as first element."""
    assert expected == node_files.parse_destination(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "a/k3s-storage", "/", "/a/", "k3s-storage/", "/run/a", "/var/run/a", "/proc/a"),
        *("/a/../run/a", "/dev", "/..", "/a\0"),
    ],
)
def test_bad_destinations_are_refused(text: str) -> None:
    """No file, or a place where it would not stay."""
    with pytest.raises(InvalidVolume):
        node_files.parse_destination(text)
