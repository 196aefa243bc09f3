"""The way to a cluster's etcd: straight to the server's address, or through the engine.

The address of a container is reached from the engine's own host only, and not even from there if
the engine runs in a virtual machine. Then a command in the server's container carries the bytes.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import AnyByteReceiveStream, AnyByteSendStream, SocketAttribute, SocketStream

from k3dasync import etcd_grpc
from k3dasync.errors import K3dAsyncError, NotFound
from k3dasync.etcd import EtcdAbsent, EtcdMembership, EtcdRefused, EtcdUnreachable
from k3dasync.kubernetes import Credentials
from k3dasync.runtime import Runtime

DIRECT_SECONDS = 2.0
"""For the first answer of an etcd at an address: milliseconds on an idle machine, and half a second
while nodes boot. Packets to an address that is somewhere else get no answer at all."""
TUNNEL_SECONDS = 5.0
"""The same through the engine, which starts a process in the container first."""
_PORT = etcd_grpc.CLIENT_PORT
CARRIER = (
    "sh",
    "-c",
    f"command -v nc >/dev/null && exec nc 127.0.0.1 {_PORT}; exec socat - TCP:127.0.0.1:{_PORT}",
)
"""Of an image's programs busybox's `nc`, or `socat`, which the kubelet of older k3s needs."""
_NAME = "localhost"
"""In the certificates of every etcd of k3s, besides its addresses."""
_ENDS = (EndOfStream, BrokenResourceError, ClosedResourceError, K3dAsyncError)


@asynccontextmanager
async def connect(runtime: Runtime, server: str) -> AsyncIterator[EtcdMembership]:
    """Connect to the etcd of a running server; needs asyncio.

    Raises EtcdAbsent if it has none, EtcdUnreachable if there is no way, with what is wrong with
    each.
    """
    async with AsyncExitStack() as stack:
        yield await _first_that_answers(stack, runtime, server)


async def _first_that_answers(
    stack: AsyncExitStack, runtime: Runtime, server: str
) -> EtcdMembership:
    try:
        addresses = (await runtime.inspect_container(server)).state.addresses.values()
        credentials = await _credentials(runtime, server)
    except EtcdAbsent:
        raise
    except K3dAsyncError as error:
        raise EtcdUnreachable(f"cannot reach etcd of {server}: {error}") from error
    ways = [(_direct(host, credentials), DIRECT_SECONDS) for host in addresses if host]
    ways.append((_tunnelled(runtime, server, credentials), TUNNEL_SECONDS))
    reasons = []
    for way, seconds in ways:
        try:
            return await _answering(stack, way, seconds)
        except EtcdRefused as error:
            reasons.append(str(error))
    raise EtcdUnreachable(f"cannot reach etcd of {server}: {'; '.join(reasons)}")


async def _credentials(runtime: Runtime, server: str) -> Credentials:
    try:
        ca, certificate, key = [
            await runtime.read_file(server, f"{etcd_grpc.TLS_PATH}/{name}")
            for name in ("server-ca.crt", "client.crt", "client.key")
        ]
    except NotFound as error:  # made before a server takes others
        raise EtcdAbsent(f"{server} has no etcd: there is no {error.resource}") from error
    return Credentials(ca=ca, certificate=certificate, key=key)


async def _answering(
    stack: AsyncExitStack, way: AbstractAsyncContextManager[EtcdMembership], seconds: float
) -> EtcdMembership:
    """Open a way, and keep it open if etcd answers there; raises EtcdRefused if it does not."""
    async with AsyncExitStack() as trial:
        etcd = await trial.enter_async_context(way)
        try:
            with anyio.fail_after(seconds):
                await etcd.members()
        except TimeoutError:
            raise EtcdRefused(f"no answer {etcd.way} within {seconds:g} s") from None
        stack.push_async_exit(trial.pop_all())
        return etcd


@asynccontextmanager
async def _direct(host: str, credentials: Credentials) -> AsyncIterator[EtcdMembership]:
    shown = f"[{host}]" if ":" in host else host
    way = f"at {shown}:{_PORT}"
    async with etcd_grpc.connect(host, credentials, way=way) as etcd:
        yield etcd


@asynccontextmanager
async def _tunnelled(
    runtime: Runtime, server: str, credentials: Credentials
) -> AsyncIterator[EtcdMembership]:
    way = f"through the engine, by a command in {server}"
    host, failure = "127.0.0.1", None
    listener = await anyio.create_tcp_listener(local_host=host, local_port=0)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, partial(_carry, runtime, server))
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no query of Django
        try:
            async with etcd_grpc.connect(host, credentials, port=port, name=_NAME, way=way) as etcd:
                yield etcd
        except Exception as error:  # noqa: BLE001 - raised below, as a group would not raise it
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _carry(runtime: Runtime, server: str, near: SocketStream) -> None:
    """Carry one connection; whatever goes wrong with it ends it, as a network would."""
    with suppress(*_ENDS):
        async with (
            near,
            runtime.converse(server, CARRIER) as far,
            anyio.create_task_group() as group,
        ):
            for source, sink in ((near, far), (far, near)):
                group.start_soon(_pump, source, sink, group.cancel_scope)


async def _pump(
    source: AnyByteReceiveStream, sink: AnyByteSendStream, both: anyio.CancelScope
) -> None:
    with suppress(*_ENDS):
        while piece := await source.receive():
            await sink.send(piece)
    both.cancel()
