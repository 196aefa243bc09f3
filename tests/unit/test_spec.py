"""What the user asks for: the small grammars, and what cannot be built."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k3dasync.errors import SpecError
from k3dasync.spec import (
    ApiPort,
    ClusterSpec,
    WaitLevel,
    check,
    check_name,
    parse_api_port,
    parse_duration,
    parse_subnet,
    parse_wait,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1m30s", 90), ("1.5h", 5400), ("250ms", 0.25), ("0s", None), ("0", None)],
)
def test_durations_are_gos(text: str, seconds: float | None) -> None:
    """Durations are written as in Go; zero is no limit."""
    assert seconds == parse_duration(text)


@pytest.mark.parametrize("text", ["", "5", "s", "1m x", "-1s", "1d", "90s "[:-1] + "9"])
def test_other_durations_are_refused_with_an_example(text: str) -> None:
    """A number without a unit is refused, and the message shows how to write one."""
    with pytest.raises(SpecError, match="for example 90s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["9" * 400 + "h", "99999999999h", "2562048h"])
def test_a_duration_that_go_cannot_count_is_refused(text: str) -> None:
    """Go's longest is 292 years, and k3d refuses more."""
    with pytest.raises(SpecError, match="too long, at most 2562047h"):
        parse_duration(text)
    assert 2562047 * 3600 == parse_duration("2562047h")


@given(st.text(max_size=20))
def test_no_text_crashes_a_parser(text: str) -> None:
    """Whatever is typed, the answer is a value or one line that says what is wrong."""
    for parse in (parse_duration, parse_api_port, parse_subnet, parse_wait, check_name):
        try:
            parse(text)
        except SpecError as error:
            assert str(error)  # noqa: PT017 - both outcomes are right


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6550", ApiPort(None, 6550)),
        ("0.0.0.0:6550", ApiPort("0.0.0.0", 6550)),
        ("myhost:6550", ApiPort("myhost", 6550)),
        ("[::1]:6550", ApiPort("::1", 6550)),
        ("random", ApiPort(None, None)),
        ("127.0.0.1:random", ApiPort("127.0.0.1", None)),
    ],
)
def test_api_port(text: str, expected: ApiPort) -> None:
    """[HOST:]PORT, an IPv6 address in brackets, random for our choice."""
    assert expected == parse_api_port(text)


@pytest.mark.parametrize("text", ["", "0", "65536", "a", ":6550", "::1:6550", "[x]:1", "h:", "-1"])
def test_bad_api_ports_are_refused(text: str) -> None:
    """What is no port or no host is named in the message."""
    with pytest.raises(SpecError, match="--api-port"):
        parse_api_port(text)


def test_subnets_lose_their_host_bits() -> None:
    """A CIDR with host bits means its network."""
    assert ("10.1.2.0/24", None) == (parse_subnet("10.1.2.3/24"), parse_subnet("auto"))


BAD_SUBNETS = [
    *("10.0.0.0/30", "10.0.0.0/33", "10.1.0.0", "fd00::/64", "bla", ""),
    *("127.0.0.0/8", "127.9.0.0/16", "0.0.0.0/0", "224.1.0.0/16", "169.254.3.0/24", "255.0.0.0/8"),
]


@pytest.mark.parametrize("text", BAD_SUBNETS)
def test_bad_subnets_are_refused(text: str) -> None:
    """A range too small for a node, of IPv6, of nothing, or for other things is refused."""
    with pytest.raises(SpecError, match="--subnet"):
        parse_subnet(text)


@pytest.mark.parametrize(
    ("text", "level"),
    [("true", "nodes"), ("false", "none"), ("API", "api"), *((one, one) for one in WaitLevel)],
)
def test_wait_levels(text: str, level: str) -> None:
    """k3d's booleans are levels too."""
    assert WaitLevel(level) is parse_wait(text)


@pytest.mark.parametrize("name", ["a", "dev", "a-1", "a.b", "x" * 32])
def test_good_names(name: str) -> None:
    """Names are hostnames of at most 32 characters."""
    assert name == check_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a b", "x" * 33, "a..b", "ä"])
def test_bad_names(name: str) -> None:
    """Everything else is refused."""
    with pytest.raises(SpecError, match="cluster name"):
        check_name(name)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (ClusterSpec(servers=0), "--servers is 0"),
        (ClusterSpec(agents=-1), "--agents is -1"),
        (ClusterSpec(servers=1000, agents=1001), "too many"),
        (ClusterSpec(image=""), "--image"),
        (ClusterSpec(image="UPPER:x"), "--image"),
        (ClusterSpec(image="a b"), "--image"),
        (ClusterSpec(network="host", agents=1), "--network host takes one server"),
        (ClusterSpec(network="bridge"), "--network bridge"),
        (ClusterSpec(network="none"), "--network none"),
        (ClusterSpec(network="a/b"), "not the name of a network"),
        (ClusterSpec(network=""), "not the name of a network"),
        (ClusterSpec(network="n", subnet="10.0.0.0/24"), "--subnet cannot be used"),
        (ClusterSpec(token="a b"), "--token"),
        (ClusterSpec(api_port=ApiPort(host_ip="here")), "'here' is not an address"),
    ],
)
def test_what_cannot_be_built_is_refused_by_flag(spec: ClusterSpec, words: str) -> None:
    """The message names the flag."""
    with pytest.raises(SpecError, match=words):
        check(spec)


@pytest.mark.parametrize(
    "image",
    [
        "k3s",
        "rancher/k3s:v1.35.5-k3s1",
        "docker.io/rancher/k3s:v1.35.5-k3s1",
        "localhost:5000/a/b_c/d-e:T.1_x-2",
        "[fd00::1]:5000/k3s",
        f"k3s@sha256:{'a' * 64}",
        f"REGISTRY.example/k3s:v1@sha256:{'0' * 64}",
        "e48e51d296f3",
    ],
)
def test_image_references(image: str) -> None:
    """With host, port, tag and digest, or an image's id."""
    assert image == check(ClusterSpec(image=image)).image


def test_repr_shows_no_token() -> None:
    """A spec in a traceback tells no secret."""
    assert "hush" not in repr(ClusterSpec(token="hush"))
