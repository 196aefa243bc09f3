"""The membership of a cluster's etcd over gRPC, which is all that k3s leaves open of it.

Three calls of etcdserverpb.Cluster, their few fields read and written by hand: generated code and a
protobuf runtime would be larger than this. grpcio is imported when it is used.
"""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from k3dasync.etcd import EtcdRefused, Member
from k3dasync.kubernetes import Credentials

if TYPE_CHECKING:
    import grpc.aio

CLIENT_PORT = 2379
"""On every server's own address, with mutual TLS."""
TLS_PATH = "/var/lib/rancher/k3s/server/tls/etcd"
"""Where a server has the certificates: `client.crt`, `client.key`, `server-ca.crt`."""
CALL_TIMEOUT = 5.0
"""A call takes milliseconds; a cluster without a leader answers none, and is asked again."""
AGREE_TIMEOUT = 15.0
"""For what members have to agree on: etcd itself waits for five seconds and twice its election
timeout, which is five with k3s. One of them may just be coming up."""
_LIST = "/etcdserverpb.Cluster/MemberList"
_PROMOTE = "/etcdserverpb.Cluster/MemberPromote"
_REMOVE = "/etcdserverpb.Cluster/MemberRemove"


@asynccontextmanager
async def connect(
    host: str,
    credentials: Credentials,
    *,
    port: int = CLIENT_PORT,
    name: str | None = None,
    way: str = "",
) -> AsyncIterator["EtcdGrpc"]:
    """Make a client for the etcd of the server at *host*; it connects when it is asked.

    *credentials* are etcd's own, not those of the Kubernetes API. *name* is what the server's
    certificate must be for, if not *host*. *way* is told to people. Needs asyncio.
    """
    # Its C library writes to standard error whatever goes wrong with a connection, which is ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import grpc
    import grpc.aio

    secrets = grpc.ssl_channel_credentials(
        root_certificates=credentials.ca,
        private_key=credentials.key,
        certificate_chain=credentials.certificate,
    )
    target = f"{f'[{host}]' if ':' in host else host}:{port}"
    options = [("grpc.ssl_target_name_override", name)] if name else []
    async with grpc.aio.secure_channel(target, secrets, options) as channel:
        yield EtcdGrpc(channel, way or f"at {target}")


class EtcdGrpc:
    """An EtcdMembership, made by `connect`."""

    def __init__(self, channel: "grpc.aio.Channel", way: str) -> None:
        self._channel, self.way = channel, way

    async def members(self) -> Sequence[Member]:
        return decode_members(await self._call(_LIST, b""))

    async def promote(self, id: int) -> None:
        await self._call(_PROMOTE, b"\x08" + encode_varint(id))

    async def remove(self, id: int) -> None:
        await self._call(_REMOVE, b"\x08" + encode_varint(id), seconds=AGREE_TIMEOUT)

    async def _call(self, method: str, request: bytes, *, seconds: float = CALL_TIMEOUT) -> bytes:
        import grpc.aio

        call: Any = self._channel.unary_unary(method)  # bytes in, bytes out
        try:
            return bytes(await call(request, timeout=seconds))
        except grpc.aio.AioRpcError as error:
            words = " ".join((error.details() or error.code().name).split())
            raise EtcdRefused(f"etcd refuses {method.rpartition('/')[2]}: {words}") from error


def encode_varint(number: int) -> bytes:
    """Return protobuf's form of a number: seven bits a byte, the lowest first."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def decode_members(message: bytes) -> tuple[Member, ...]:
    """Read a MemberListResponse: field 2 is repeated, a Member of ID 1, name 2 and isLearner 5.

    Raises EtcdRefused if it is none.
    """
    try:
        return tuple(
            _member(dict(_fields(value)))
            for number, value in _fields(message)
            if number == 2 and isinstance(value, bytes)
        )
    except (IndexError, ValueError) as error:  # a UnicodeDecodeError is a ValueError
        raise EtcdRefused(f"etcd's list of members cannot be read: {error}") from error


def _member(fields: dict[int, int | bytes]) -> Member:
    id, name, is_learner = fields.get(1, 0), fields.get(2, b""), fields.get(5, 0)
    if not isinstance(id, int) or not isinstance(name, bytes):
        raise ValueError("a member has fields of another type")  # noqa: TRY004 - as any damage
    return Member(id=id, name=name.decode(), is_learner=bool(is_learner))


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field; of a repeated one a dict keeps the last."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        if key & 7 == 0:
            value, position = _varint(message, position)
            yield key >> 3, value
        elif key & 7 == 2:
            length, position = _varint(message, position)
            if position + length > len(message):
                raise ValueError("a field is longer than its message")
            yield key >> 3, message[position : position + length]
            position += length
        else:
            raise ValueError(f"a field of wire type {key & 7}")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[position]
        number |= (byte & 0x7F) << shift
        shift, position = shift + 7, position + 1
        if byte < 0x80:
            return number, position
