"""The Kubernetes API of a cluster over HTTPS. aiohttp and ssl are imported when it is used."""

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote

import anyio

from k3dasync.errors import KubernetesError
from k3dasync.jsonlines import JsonLines
from k3dasync.kubernetes import Credentials, Nodes, NodeStatus, node_status
from k3dasync.workloads import NAMESPACE, Kind, Workload, Workloads, workload

if TYPE_CHECKING:
    import ssl

    import aiohttp

PROBE_TIMEOUT = 2.0
"""A probe of an API that is there takes 2-4 ms, on a busy machine a tenth of a second. One that
hangs, in a load balancer whose server is not up yet, must not keep the next one waiting."""
REQUEST_TIMEOUT = 15.0
"""For a list or a delete. An API server that is coming up on two busy cores takes seconds; it cuts
its own requests at 60."""
WATCH_SECONDS = 60
"""We ask the server to end a watch after this, and list anew: what was missed is then found."""
WATCH_SILENCE = WATCH_SECONDS + 15.0
"""Without a byte for so long the other end is gone: it should have ended the watch."""

_GROUPS = {
    Kind.ADDON: ("apis/k3s.cattle.io/v1", "addons"),
    Kind.CHART: ("apis/helm.cattle.io/v1", "helmcharts"),
    Kind.JOB: ("apis/batch/v1", "jobs"),
    Kind.DEPLOYMENT: ("apis/apps/v1", "deployments"),
    Kind.DAEMONSET: ("apis/apps/v1", "daemonsets"),
    Kind.POD: ("api/v1", "pods"),
}

ObjectT = TypeVar("ObjectT", bound=NodeStatus | Workload)


@dataclass(frozen=True, slots=True)
class _Collection(Generic[ObjectT]):
    """Objects of one kind: where they are, what people call them, how one of them is read."""

    path: str
    name: str
    read: Callable[[Mapping[str, Any]], ObjectT]


_NODES = _Collection("/api/v1/nodes", "nodes", node_status)


@asynccontextmanager
async def connect(
    host: str, port: int, credentials: Credentials | None
) -> AsyncIterator["KubernetesHttp"]:
    """Make a client for the API at *host*, *port*; connects when it is asked something.

    Without credentials the server's certificate is not verified, and there is little to ask it
    but whether it is there. Raises KubernetesError if the credentials cannot be used.
    """
    name = f"[{host}]" if ":" in host else host
    context = _unverified() if credentials is None else _verified(credentials)
    async with AsyncExitStack() as kept:
        yield KubernetesHttp(context, f"https://{name}:{port}", kept)


class KubernetesHttp:
    """The API at one address, made by `connect`, which closes what is *kept*."""

    def __init__(self, context: "ssl.SSLContext", base: str, kept: AsyncExitStack) -> None:
        self._context, self._base, self._kept = context, base, kept
        self._for_changes: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def _ask(
        self, path: str, *, method: str = "GET", **options: Any
    ) -> AsyncIterator["aiohttp.ClientResponse"]:
        """Send one request, on a connection of its own.

        A probe is to find out what the next newcomer gets, and a load balancer would keep a
        reused connection at the server it chose at first. The connection is closed with its
        session, which cuts it: by itself TLS waits for the other end's good-bye, and nobody
        would be left to hear that.
        """
        async with self._session() as session:
            answer = await session.request(method, self._base + path, **options)
            try:
                yield answer
            finally:
                with anyio.CancelScope(shield=True):  # closing takes a round of the event loop
                    await session.close()
                answer.close()

    def _session(self, limit: int = 0) -> "aiohttp.ClientSession":
        """Return what makes connections, so many at a time; 0: without a limit."""
        import aiohttp  # 0.1 s, only for those who ask a cluster

        connector = aiohttp.TCPConnector(limit=limit, ssl=self._context)
        # Deadlines are set round each request.
        return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))

    async def _change(self, path: str, *, method: str) -> "aiohttp.ClientResponse":
        """Send one request on the connection that all changes share, and read its answer.

        It does not matter which server is asked: so twenty nodes need no forty handshakes.
        """
        if self._for_changes is None:
            self._for_changes = self._session(limit=1)
            self._kept.push_async_callback(_close, self._for_changes)
        async with self._for_changes.request(method, self._base + path) as answer:
            await answer.read()
            return answer

    async def supervisor_answers(self) -> bool:
        return await self._probe("/cacerts")

    async def is_ready(self) -> bool:
        return await self._probe("/readyz")

    async def _probe(self, path: str) -> bool:
        try:
            with self._mapped("probe"), anyio.fail_after(PROBE_TIMEOUT):
                async with self._ask(path) as answer:
                    return answer.status == 200
        except KubernetesError:
            return False

    def nodes(self) -> AbstractAsyncContextManager[AsyncIterator[Nodes]]:
        return self._follow(_NODES)

    def workloads(self, kind: Kind) -> AbstractAsyncContextManager[AsyncIterator[Workloads]]:
        version, name = _GROUPS[kind]
        path = f"/{version}/namespaces/{NAMESPACE}/{name}"
        return self._follow(_Collection(path, name, partial(workload, kind)))

    @asynccontextmanager
    async def _follow(
        self, wanted: _Collection[ObjectT]
    ) -> AsyncIterator[AsyncIterator[Mapping[str, ObjectT]]]:
        import aiohttp

        operation = f"watch the {wanted.name}"
        listed, version = await self._list(wanted)
        parameters = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_read=WATCH_SILENCE)
        async with AsyncExitStack() as stack:
            with self._mapped(operation), anyio.fail_after(REQUEST_TIMEOUT):
                asked = self._ask(wanted.path, params=parameters, timeout=timeout)
                answer = await stack.enter_async_context(asked)
            # Gone: the list is too old to be watched from; not found: see `_list`. As at any end,
            # the caller asks again.
            if answer.status not in {200, 404, 410}:
                raise await self._refusal(operation, answer)
            is_watched = answer.status == 200
            chunks = answer.content.iter_any() if is_watched else _nothing()
            yield _Snapshots(listed, wanted.read, JsonLines(chunks))

    async def _list(self, wanted: _Collection[ObjectT]) -> tuple[dict[str, ObjectT], str]:
        operation = f"list the {wanted.name}"
        with self._mapped(operation), anyio.fail_after(REQUEST_TIMEOUT):
            async with self._ask(wanted.path) as answer:
                if answer.status == 404:  # k3s makes its own kinds known when its API is up
                    return {}, "0"
                if answer.status != 200:
                    raise await self._refusal(operation, answer)
                found = await answer.json()
        try:
            objects = [wanted.read(entry) for entry in found.get("items") or []]
            version = str(found["metadata"]["resourceVersion"])
        except (KeyError, TypeError, AttributeError) as error:
            raise KubernetesError(f"cannot {operation}: that is no list: {error!r}") from error
        return {one.name: one for one in objects}, version

    async def delete_node(self, name: str) -> bool:
        return await self._delete(f"node {name}", f"nodes/{quote(name, safe='')}")

    async def delete_secret(self, namespace: str, name: str) -> bool:
        path = f"namespaces/{quote(namespace, safe='')}/secrets/{quote(name, safe='')}"
        return await self._delete(f"secret {name}", path)

    async def _delete(self, what: str, where: str) -> bool:
        operation, path = f"delete {what}", f"/api/v1/{where}"
        with self._mapped(operation), anyio.fail_after(REQUEST_TIMEOUT):
            answer = await self._change(path, method="DELETE")
        if answer.status not in {200, 202, 404}:
            raise await self._refusal(operation, answer)
        return answer.status != 404

    async def _refusal(self, operation: str, answer: "aiohttp.ClientResponse") -> KubernetesError:
        text = " ".join((await answer.text())[:500].split())
        return KubernetesError(
            f"cannot {operation}: {self._base} answers {answer.status}: {text or answer.reason}"
        )

    @contextmanager
    def _mapped(self, operation: str) -> Iterator[None]:
        import aiohttp

        try:
            yield
        # OSError: also that nothing answers in time, and that a certificate is not the expected.
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = " ".join(str(error).split()) or "no answer in time"
            raise KubernetesError(f"cannot {operation} at {self._base}: {reason}") from error


class _Snapshots(Generic[ObjectT]):
    """Objects of one kind, first as listed, then after each change; ends as the watch does."""

    def __init__(
        self,
        listed: Mapping[str, ObjectT],
        read: Callable[[Mapping[str, Any]], ObjectT],
        events: JsonLines,
    ) -> None:
        self._objects, self._read, self._events = dict(listed), read, events
        self._is_first = True

    def __aiter__(self) -> "_Snapshots[ObjectT]":
        return self

    async def __anext__(self) -> Mapping[str, ObjectT]:
        import aiohttp

        if self._is_first:
            self._is_first = False
            return dict(self._objects)
        try:
            while not self._apply(await anext(self._events)):
                pass
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise StopAsyncIteration from error
        return dict(self._objects)

    def _apply(self, event: Mapping[str, Any]) -> bool:
        """Take in one event and say whether it changed anything we know of an object."""
        kind = event.get("type")
        if kind == "ERROR":  # most often 410: the server has forgotten the version we watch from
            raise StopAsyncIteration
        if kind == "BOOKMARK":
            return False
        try:
            found = self._read(event["object"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an object of that kind: {error!r}") from error
        before = self._objects.get(found.name)
        if kind == "DELETED":
            self._objects.pop(found.name, None)
            return before is not None
        self._objects[found.name] = found
        return found != before


async def _close(session: "aiohttp.ClientSession") -> None:
    with anyio.CancelScope(shield=True):  # closing takes a round of the event loop
        await session.close()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""  # what makes this a generator


def _unverified() -> "ssl.SSLContext":
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _verified(credentials: Credentials) -> "ssl.SSLContext":
    import ssl

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=credentials.ca.decode())
        with _as_file(credentials.certificate + b"\n" + credentials.key) as path:
            context.load_cert_chain(path)
    except (ssl.SSLError, ValueError) as error:
        raise KubernetesError(f"cannot use the cluster's credentials: {error}") from error
    return context


@contextmanager
def _as_file(content: bytes) -> Iterator[Path]:
    """Keep a secret in a file that only we can read, for libraries that take nothing else."""
    with tempfile.TemporaryDirectory(prefix="k3dasync-") as folder:  # made with mode 0700
        path = Path(folder, "secret.pem")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        yield path
