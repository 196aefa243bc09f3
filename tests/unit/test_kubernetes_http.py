"""The Kubernetes API over HTTPS, against a small server that answers as told."""

import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from anyio.abc import SocketAttribute

from k3dasync import kubernetes_http
from k3dasync.errors import KubernetesError
from k3dasync.kubernetes import Credentials, NodeStatus
from k3dasync.workloads import Kind, Workload
from tests.certificates import Authority
from tests.support import asyncio_only

pytestmark = asyncio_only

AUTHORITY = Authority()
SERVER = AUTHORITY.sign("k3s")
CLIENT = AUTHORITY.sign("admin")
CREDENTIALS = Credentials(ca=AUTHORITY.certificate, certificate=CLIENT.certificate, key=CLIENT.key)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def node(name: str, *, ready: bool = False, images: int = 0) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True" if ready else "False", "message": "cni"}
    return {
        "metadata": {"name": name},
        "status": {"conditions": [condition], "images": ["x" * 1000] * images},
    }


def node_list(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "NodeList", "metadata": {"resourceVersion": "7"}, "items": list(nodes)}


def event(kind: str, thing: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


class Api:
    """A server's answers, what it was asked, and by whom."""

    def __init__(self) -> None:
        self.status = 200
        self.listed: Any = node_list()
        self.watch_status = 200
        self.watched: list[bytes] = []
        self.stays_open = False
        self.asked: list[str] = []
        self.peers: list[tuple[str, int]] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path_qs}")
        assert request.transport is not None
        self.peers.append(request.transport.get_extra_info("peername"))
        if "watch" in request.query:
            return await self._watch(request)
        if request.path == "/readyz":
            is_client = request.transport.get_extra_info("peercert")
            return web.Response(status=self.status if is_client else 401)
        if request.path == "/api/v1/nodes" or "/namespaces/" in request.path:
            return web.json_response(self.listed, status=self.status)
        return web.Response(status=self.status, text="says\nthe server")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=self.watch_status)
        await response.prepare(request)
        for line in self.watched:
            await response.write(line)
        if self.stays_open:
            await anyio.sleep_forever()
        return response


def server_context(folder: Path) -> ssl.SSLContext:
    SERVER.write(folder)
    (folder / "ca.pem").write_bytes(AUTHORITY.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.verify_mode = ssl.CERT_OPTIONAL  # k3s serves `/cacerts` to everybody
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@asynccontextmanager
async def served(handler: Handler, context: ssl.SSLContext) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    # A watch that stays open ends when its client has left.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """Return a server that answers, with the certificates of a cluster."""
    api = Api()
    async with served(api.answer, server_context(tmp_path / "tls")) as api.port:
        yield api


# ---- probes


async def test_the_supervisor_is_asked_without_credentials(api: Api) -> None:
    """Its certificate is not verified: nobody knows the authority yet."""
    async with kubernetes_http.connect("127.0.0.1", api.port, None) as kubernetes:
        assert await kubernetes.supervisor_answers()

    assert ["GET /cacerts"] == api.asked


async def test_readiness_is_asked_with_credentials(api: Api) -> None:
    """Without, the API does not say."""
    async with kubernetes_http.connect("127.0.0.1", api.port, CREDENTIALS) as kubernetes:
        assert await kubernetes.is_ready()
    async with kubernetes_http.connect("127.0.0.1", api.port, None) as kubernetes:
        assert not await kubernetes.is_ready()


async def test_an_api_that_is_half_up(api: Api) -> None:
    """A 503 is no answer yet."""
    api.status = 503
    async with kubernetes_http.connect("127.0.0.1", api.port, CREDENTIALS) as kubernetes:
        assert not await kubernetes.supervisor_answers()
        assert not await kubernetes.is_ready()


async def test_nobody_listens() -> None:
    """Probes say no, everything else raises."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
    async with kubernetes_http.connect("127.0.0.1", port, CREDENTIALS) as kubernetes:
        assert not await kubernetes.supervisor_answers()
        assert not await kubernetes.is_ready()
        with pytest.raises(KubernetesError, match=rf"cannot list the nodes at .*:{port}: "):
            async with kubernetes.nodes():
                pass


async def test_a_connection_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load balancer whose server is not up takes the connection and says nothing."""
    monkeypatch.setattr(kubernetes_http, "PROBE_TIMEOUT", 0.05)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        async with kubernetes_http.connect("127.0.0.1", port, None) as kubernetes:
            assert not await kubernetes.supervisor_answers()


async def test_probes_use_a_connection_each(api: Api) -> None:
    """So that each one is balanced anew."""
    async with kubernetes_http.connect("127.0.0.1", api.port, CREDENTIALS) as kubernetes:
        for _ in range(3):
            await kubernetes.is_ready()

    assert 3 == len(set(api.peers))


# ---- trust


async def test_another_authority_s_server(api: Api) -> None:
    """Somebody else listens on the port: never ready, and the reason is told."""
    other = Authority()
    pair = other.sign("admin")
    credentials = Credentials(ca=other.certificate, certificate=pair.certificate, key=pair.key)
    async with kubernetes_http.connect("127.0.0.1", api.port, credentials) as kubernetes:
        assert not await kubernetes.is_ready()
        with pytest.raises(KubernetesError, match="certificate verify failed"):
            async with kubernetes.nodes():
                pass

    assert [] == api.asked


async def test_a_server_under_another_name(api: Api) -> None:
    """The address must be one the certificate is for."""
    async with kubernetes_http.connect("localhost", api.port, CREDENTIALS) as kubernetes:
        assert not await kubernetes.is_ready()


async def test_credentials_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused before anybody is asked, and leave no file behind."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    broken = Credentials(ca=AUTHORITY.certificate, certificate=b"x", key=b"y")
    with pytest.raises(KubernetesError, match="cannot use the cluster's credentials"):
        async with kubernetes_http.connect("127.0.0.1", 1, broken):
            pass

    assert [] == list(folder.iterdir())


# ---- nodes


async def snapshots(api: Api) -> list[dict[str, NodeStatus]]:
    async with (
        kubernetes_http.connect("127.0.0.1", api.port, CREDENTIALS) as kubernetes,
        kubernetes.nodes() as stream,
    ):
        return [dict(nodes) async for nodes in stream]


async def test_nodes_are_listed_and_then_watched(api: Api) -> None:
    """All at once first, then all again at each change; the end of the watch is the end."""
    api.listed = node_list(node("a"))
    api.watched = [
        event("BOOKMARK", {"metadata": {"resourceVersion": "9"}}),
        event("ADDED", node("b")),
        event("MODIFIED", node("a", ready=True)),
        event("DELETED", node("b")),
    ]
    waiting = NodeStatus(name="a", is_ready=False, reason="cni")
    other = NodeStatus(name="b", is_ready=False, reason="cni")
    ready = NodeStatus(name="a", is_ready=True, reason="cni")

    expected = [
        {"a": waiting},
        {"a": waiting, "b": other},
        {"a": ready, "b": other},
        {"a": ready},
    ]
    assert expected == await snapshots(api)
    assert "GET /api/v1/nodes" == api.asked[0]
    assert "resourceVersion=7" in api.asked[1]
    assert "allowWatchBookmarks=true" in api.asked[1]


async def test_heartbeats_are_no_changes(api: Api) -> None:
    """A kubelet writes its status every few seconds; what we know of it stays the same."""
    api.listed = node_list(node("a"))
    api.watched = [event("MODIFIED", node("a", images=1))] * 3

    assert 1 == len(await snapshots(api))


async def test_a_node_that_lists_many_images(api: Api) -> None:
    """Its line is longer than any reader's buffer."""
    api.watched = [event("ADDED", node("a", ready=True, images=500))]

    assert [set(), {"a"}] == [set(found) for found in await snapshots(api)]


async def test_a_watch_that_came_too_late(api: Api) -> None:
    """The list is a snapshot all the same; then the caller asks again."""
    api.listed, api.watch_status = node_list(node("a")), 410

    assert [{"a"}] == [set(found) for found in await snapshots(api)]


@pytest.mark.parametrize(
    "line", [event("ERROR", {"code": 410}), b"no JSON\n", b'{"type":"ADDED"}\n']
)
async def test_an_event_that_is_an_end(api: Api, line: bytes) -> None:
    """What comes after it cannot be trusted."""
    api.watched = [line, event("ADDED", node("a"))]

    assert [{}] == await snapshots(api)


@pytest.mark.parametrize("listed", [{"kind": "Status"}, [], {"metadata": {}, "items": [{}]}])
async def test_a_list_that_is_none(api: Api, listed: Any) -> None:
    """An error of ours, whatever came."""
    api.listed = listed

    with pytest.raises(KubernetesError, match="cannot list the nodes"):
        await snapshots(api)


@pytest.mark.parametrize(("status", "watch_status"), [(403, 200), (200, 403)])
async def test_an_api_that_refuses(api: Api, status: int, watch_status: int) -> None:
    """The status is told."""
    api.status, api.watch_status = status, watch_status

    with pytest.raises(KubernetesError, match="answers 403"):
        await snapshots(api)


async def test_a_watch_can_be_left(api: Api) -> None:
    """A cancelled wait ends at once."""
    api.stays_open = True
    async with kubernetes_http.connect("127.0.0.1", api.port, CREDENTIALS) as kubernetes:
        with anyio.CancelScope() as scope:
            async with kubernetes.nodes() as stream:
                async for _ in stream:
                    scope.cancel()

    assert scope.cancelled_caught


# ---- workloads

COREDNS = Workload(kind=Kind.DEPLOYMENT, name="coredns", is_available=False, reason="too few")


def deployment(name: str, *, available: bool = False) -> dict[str, Any]:
    status = "True" if available else "False"
    condition = {"type": "Available", "status": status, "message": "too few"}
    return {
        "metadata": {"name": name, "generation": 1},
        "status": {"observedGeneration": 1, "conditions": [condition]},
    }


async def followed(api: Api, kind: Kind) -> list[dict[str, Workload]]:
    async with (
        kubernetes_http.connect("127.0.0.1", api.port, CREDENTIALS) as kubernetes,
        kubernetes.workloads(kind) as stream,
    ):
        return [dict(found) async for found in stream]


async def test_workloads_are_listed_and_then_watched(api: Api) -> None:
    """As nodes are, and only those of k3s's own namespace."""
    api.listed = {"metadata": {"resourceVersion": "7"}, "items": [deployment("coredns")]}
    api.watched = [
        event("MODIFIED", deployment("coredns")),
        event("MODIFIED", deployment("coredns", available=True)),
    ]
    available = replace(COREDNS, is_available=True, reason="")

    assert [{"coredns": COREDNS}, {"coredns": available}] == await followed(api, Kind.DEPLOYMENT)
    path = "GET /apis/apps/v1/namespaces/kube-system/deployments"
    assert path == api.asked[0]
    assert f"{path}?watch=1&resourceVersion=7&" in api.asked[1]


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Kind.ADDON, "/apis/k3s.cattle.io/v1/namespaces/kube-system/addons"),
        (Kind.CHART, "/apis/helm.cattle.io/v1/namespaces/kube-system/helmcharts"),
        (Kind.JOB, "/apis/batch/v1/namespaces/kube-system/jobs"),
        (Kind.POD, "/api/v1/namespaces/kube-system/pods"),
        (Kind.DAEMONSET, "/apis/apps/v1/namespaces/kube-system/daemonsets"),
    ],
)
async def test_a_kind_that_the_api_does_not_know(api: Api, kind: Kind, path: str) -> None:
    """There are none of it, yet: k3s makes its own kinds known a moment after its API is up."""
    api.status = api.watch_status = 404

    assert [{}] == await followed(api, kind)
    assert f"GET {path}" == api.asked[0]


async def test_workloads_that_are_refused(api: Api) -> None:
    """The error says what could not be listed."""
    api.status = 403

    with pytest.raises(KubernetesError, match=r"cannot list the addons: .* answers 403"):
        await followed(api, Kind.ADDON)


# ---- deletion


@pytest.mark.parametrize(("status", "was_there"), [(200, True), (404, False)])
async def test_a_node_is_deleted(api: Api, status: int, was_there: bool) -> None:
    """Or was not there."""
    api.status = status
    async with kubernetes_http.connect("127.0.0.1", api.port, CREDENTIALS) as kubernetes:
        assert was_there == await kubernetes.delete_node("k3d-dev-agent-0")

    assert ["DELETE /api/v1/nodes/k3d-dev-agent-0"] == api.asked


async def test_a_deletion_that_is_refused(api: Api) -> None:
    """In the API's words, on one line."""
    api.status = 500
    async with kubernetes_http.connect("127.0.0.1", api.port, CREDENTIALS) as kubernetes:
        with pytest.raises(KubernetesError, match=r"answers 500: says the server$"):
            await kubernetes.delete_node("a")


@pytest.mark.parametrize(("status", "was_there"), [(200, True), (404, False)])
async def test_a_secret_is_deleted(api: Api, status: int, was_there: bool) -> None:
    """In its namespace; or it was not there."""
    api.status = status
    async with kubernetes_http.connect("127.0.0.1", api.port, CREDENTIALS) as kubernetes:
        assert was_there == await kubernetes.delete_secret("kube-system", "a.node-password.k3s")

    assert ["DELETE /api/v1/namespaces/kube-system/secrets/a.node-password.k3s"] == api.asked


async def test_deletions_share_a_connection(api: Api) -> None:
    """Twenty nodes need no twenty handshakes."""
    async with (
        kubernetes_http.connect("127.0.0.1", api.port, CREDENTIALS) as kubernetes,
        anyio.create_task_group() as group,
    ):
        for number in range(20):
            group.start_soon(kubernetes.delete_node, f"k3d-dev-agent-{number}")

    assert 20 == len(api.asked)
    assert 1 == len(set(api.peers))
