"""The Kubernetes API of the simulated clusters, reached through published ports."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, Self, TypeVar

import anyio

from k3dasync.errors import KubernetesError
from k3dasync.fake import certificates
from k3dasync.fake.balancer import API_PORT, Balancer
from k3dasync.fake.datastore import Datastore
from k3dasync.fake.engine import FakeRuntime
from k3dasync.fake.faults import Moment
from k3dasync.fake.machine import Machine
from k3dasync.fake.state import Container, Service
from k3dasync.kubernetes import Credentials, Kubernetes, Nodes
from k3dasync.runtime import ANY_ADDRESS
from k3dasync.workloads import Kind, Workloads

SnapshotT = TypeVar("SnapshotT")

PROBE_SECONDS = 0.003
"""A TLS handshake with a server on the same machine: 2-4 ms."""


class FakeKubernetes:
    """The API behind one published port of a fake engine."""

    def __init__(
        self, runtime: FakeRuntime, host: str, port: int, credentials: Credentials | None
    ) -> None:
        self._runtime, self._machine = runtime, runtime.machine
        self._host, self._port, self._credentials = host, port, credentials

    async def supervisor_answers(self) -> bool:
        await self._probe()
        server = self._server()
        return server is not None and Service.SUPERVISOR in server.serves

    async def is_ready(self) -> bool:
        await self._probe()
        server = self._server()
        return server is not None and Service.API in server.serves and self._is_known(server)

    @asynccontextmanager
    async def nodes(self) -> AsyncIterator[AsyncIterator[Nodes]]:
        await self._ask("nodes")
        server, store = self._connected()
        yield _Snapshots(self._machine, server, lambda: store.nodes)

    @asynccontextmanager
    async def workloads(self, kind: Kind) -> AsyncIterator[AsyncIterator[Workloads]]:
        await self._ask("workloads", kind)
        server, store = self._connected()
        yield _Snapshots(self._machine, server, lambda: store.system[kind])

    async def delete_node(self, name: str) -> bool:
        await self._ask("delete_node", name)
        _, store = self._connected()
        return store.delete_node(name)

    async def delete_secret(self, namespace: str, name: str) -> bool:
        await self._ask("delete_secret", name)
        _, store = self._connected()
        return namespace == "kube-system" and store.delete_secret(name)

    async def _ask(self, verb: str, name: str = "") -> None:
        faults = self._runtime.faults
        hit = faults.arrive(verb, name)
        await faults.strike(hit, Moment.BEFORE)
        await self._probe()

    async def _probe(self) -> None:
        # Not counted among the calls: there are as many as the caller's patience makes.
        self._runtime.faults.check_alive()
        await anyio.sleep(PROBE_SECONDS if self._runtime.latency.engine.read.idle else 0)

    def _connected(self) -> tuple[Container, Datastore]:
        where = f"{self._host}:{self._port}"
        server = self._server()
        if server is None or not isinstance(server.data, Datastore):
            raise KubernetesError(f"cannot reach the API at {where}: connection refused")
        if Service.API not in server.serves:
            raise KubernetesError(f"cannot use the API at {where}: 503 Service Unavailable")
        if not self._is_known(server):
            raise KubernetesError(f"cannot use the API at {where}: 401 Unauthorized")
        return server, server.data

    def _is_known(self, server: Container) -> bool:
        store = server.data
        return (
            isinstance(store, Datastore)
            and self._credentials is not None
            and self._credentials == certificates.credentials(store.name)
        )

    def _server(self) -> Container | None:
        """Return the server a new connection ends at, through the load balancer if there is one."""
        for container in self._machine.inventory.containers.values():
            if not container.is_running or not self._publishes(container):
                continue
            if isinstance(container.data, Balancer):
                return container.data.choose(self._machine, container)
            return container if Service.TCP in container.serves else None
        return None

    def _publishes(self, container: Container) -> bool:
        return container.listens == self._port or any(
            binding.host_port == self._port
            and int(binding.port.partition("/")[0]) == API_PORT
            and (binding.host_ip in ANY_ADDRESS or self._host in {binding.host_ip, "localhost"})
            for binding in container.bound
        )


class _Snapshots(Generic[SnapshotT]):
    """The objects of one watch; it ends with the server it is connected to."""

    def __init__(
        self, machine: Machine, server: Container, current: Callable[[], SnapshotT]
    ) -> None:
        self._machine, self._server, self._current = machine, server, current
        self._seen: SnapshotT | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SnapshotT:
        while Service.API in self._server.serves:
            found = self._current()
            if found is not self._seen:
                self._seen = found
                return found
            await self._machine.changed.wait()
        raise StopAsyncIteration


class Connector:
    """Makes clients for the APIs of one fake engine: a KubernetesConnect."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self._runtime = runtime

    def __call__(
        self, host: str, port: int, credentials: Credentials | None
    ) -> AbstractAsyncContextManager[Kubernetes]:
        """Return a context manager which yields the client; it holds no connection."""
        return self._connect(host, port, credentials)

    @asynccontextmanager
    async def _connect(
        self, host: str, port: int, credentials: Credentials | None
    ) -> AsyncIterator[Kubernetes]:
        yield FakeKubernetes(self._runtime, host, port, credentials)
