"""The few messages of etcd's that we read and write by hand."""

import subprocess
import sys
from pathlib import Path

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


STRANGER = """
import asyncio
import pathlib
import ssl
import sys
from k3dasync import etcd_grpc
from k3dasync.etcd import EtcdRefused
from k3dasync.kubernetes import Credentials
from tests.certificates import Authority

folder = pathlib.Path(sys.argv[1])
ours, theirs = Authority("ours"), Authority("theirs")
theirs.sign("localhost").write(folder)
own = ours.sign("client")


async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    known = Credentials(ca=ours.certificate, certificate=own.certificate, key=own.key)
    async with etcd_grpc.connect("127.0.0.1", known, port=port) as etcd:
        try:
            await etcd.members()
        except EtcdRefused as error:
            print(error)


asyncio.run(main())
"""


def test_a_stranger_at_the_other_end_is_refused_in_silence(tmp_path: Path) -> None:
    """Another authority's certificate: one error of ours, and nothing on our standard error.

    In a process of its own, as the library beneath writes past Python.
    """
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert "" == done.stderr
    assert done.stdout.startswith("etcd refuses MemberList: ")
    assert 1 == len(done.stdout.splitlines())
