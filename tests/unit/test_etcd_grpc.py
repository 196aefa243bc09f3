"""The few messages of etcd's that we read and write by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k3dasync.etcd import EtcdRefused, Member
from k3dasync.etcd_grpc import decode_members, encode_varint


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return encode_varint(number << 3) + encode_varint(value)
    return encode_varint(number << 3 | 2) + encode_varint(len(value)) + value


def encoded(member: Member) -> bytes:
    body = field(1, member.id) + field(2, member.name.encode())
    body += field(3, b"https://10.0.0.2:2380") + field(4, b"https://10.0.0.2:2379")
    return body + (field(5, 1) if member.is_learner else b"")


members = st.builds(
    Member,
    id=st.integers(1, 2**64 - 1),
    name=st.text(max_size=40),
    is_learner=st.booleans(),
)


@given(st.lists(members, max_size=5))
def test_what_is_written_is_read(some: list[Member]) -> None:
    """Ids of 64 bits, names of any letters, voting members and learners."""
    header = field(1, field(1, 2**63) + field(3, 7))
    message = header + b"".join(field(2, encoded(one)) for one in some)

    assert tuple(some) == decode_members(message)


@given(st.binary(max_size=60))
def test_no_bytes_crash_the_reader(message: bytes) -> None:
    """What is no list of members is refused in our own words."""
    try:
        decode_members(message)
    except EtcdRefused as error:
        assert str(error)  # noqa: PT017 - both outcomes are right


def test_a_field_that_ends_too_early_is_refused() -> None:
    """A torn message is not read as a shorter one."""
    with pytest.raises(EtcdRefused, match="cannot be read"):
        decode_members(field(2, encoded(Member(id=1, name="a", is_learner=True)))[:-3])
