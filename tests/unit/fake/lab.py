"""A small cluster driven by hand on a fake engine, and the shapes it is made of."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import anyio

from k3dasync import kubeconfig
from k3dasync.etcd import EtcdRefused
from k3dasync.fake import Connector, FakeEtcd, FakeRuntime, Faults, Latency
from k3dasync.fake.datastore import Datastore
from k3dasync.fake.state import Container, Service
from k3dasync.kubernetes import Credentials, Kubernetes, credentials_of
from k3dasync.runtime import ContainerSpec, NetworkSpec, PortBinding

IMAGE = "k3s:test"
KUBECONFIG = "/output/kubeconfig.yaml"
PORT = 26000
OURS = {"run": "1"}
INSTANT = Latency.instant()
NETWORK = NetworkSpec(
    name="net",
    subnet="10.160.0.0/24",
    gateway="10.160.0.1",
    ip_range="10.160.0.128/25",
    labels=OURS,
)


def binding(host_port: int = PORT, *, host_ip: str = "127.0.0.1") -> PortBinding:
    return PortBinding(port="6443", host_ip=host_ip, host_port=host_port)


def idle(name: str, **changes: Any) -> ContainerSpec:
    """Return a container that does nothing for ever."""
    spec = ContainerSpec(name=name, image=IMAGE, network="net", labels=OURS)
    return replace(spec, **changes)


def node(
    name: str, role: str, *arguments: str, token: str = "t", url: str = "", **changes: Any
) -> ContainerSpec:
    env = [f"K3S_TOKEN={token}", f"K3S_KUBECONFIG_OUTPUT={KUBECONFIG}"]
    if url:
        env.append(f"K3S_URL=https://{url}:6443")
    return idle(name, command=(role, *arguments), env=tuple(env), **changes)


@asynccontextmanager
async def engine(
    faults: Faults | None = None, latency: Latency = INSTANT
) -> AsyncIterator[FakeRuntime]:
    """Open an engine that has the test image and the network `net`."""
    async with FakeRuntime(latency=latency, faults=faults, images=[IMAGE]) as runtime:
        await runtime.create_network(NETWORK)
        yield runtime


class Lab:
    """Servers `s0`, `s1`, … and agents `a0`, …, created and not started, on one engine."""

    def __init__(self, runtime: FakeRuntime, servers: int, agents: int) -> None:
        self.runtime = runtime
        self.servers = [f"s{index}" for index in range(servers)]
        self.agents = [f"a{index}" for index in range(agents)]
        self.began = 0.0

    async def create(self) -> None:
        """Create every container; time counts from the end of this."""
        if self.servers:
            await self.create_first(ports=(binding(),))
        for index, name in enumerate(self.servers[1:], start=1):
            spec = node(name, "server", url="s0", address=f"10.160.0.{10 + index}")
            await self.runtime.create_container(spec)
        for index, name in enumerate(self.agents):
            spec = node(name, "agent", url="s0", address=f"10.160.0.{20 + index}")
            await self.runtime.create_container(spec)
        self.began = anyio.current_time()

    async def create_first(self, **changes: Any) -> None:
        """Create the init server."""
        arguments = ("--cluster-init",) if len(self.servers) > 1 else ()
        spec = node("s0", "server", *arguments, address="10.160.0.10", **changes)
        await self.runtime.create_container(spec)

    async def start(self, *names: str) -> None:
        """Start containers, all at once."""
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(self.runtime.start_container, name)

    async def until(self, condition: Callable[[], bool]) -> float:
        """Wait for a condition and return when that was, in seconds since the creation."""
        while not condition():
            await self.runtime.machine.changed.wait()
        return anyio.current_time() - self.began

    def container(self, name: str) -> Container:
        return self.runtime.machine.inventory.containers[name]

    def serves(self, name: str, service: Service) -> bool:
        return service in self.container(name).serves

    async def supervisor(self) -> float:
        return await self.until(lambda: self.serves("s0", Service.SUPERVISOR))

    async def up(self, name: str) -> float:
        return await self.until(lambda: self.serves(name, Service.API))

    @property
    def store(self) -> Datastore | None:
        store = self.container("s0").data
        return store if isinstance(store, Datastore) else None

    def readiness(self) -> Mapping[str, bool]:
        """Return what every Node object says."""
        nodes = self.store.nodes if self.store else {}
        return {name: status.is_ready for name, status in nodes.items()}

    async def registered(self) -> float:
        count = len(self.servers) + len(self.agents)
        return await self.until(lambda: len(self.readiness()) == count)

    async def ready(self) -> float:
        count = len(self.servers) + len(self.agents)
        return await self.until(lambda: sum(self.readiness().values()) == count)

    async def ready_of(self, name: str) -> float:
        return await self.until(lambda: self.readiness().get(name, False))

    async def restarts(self) -> int:
        details = [
            await self.runtime.inspect_container(name) for name in (*self.servers, *self.agents)
        ]
        return sum(detail.restarts for detail in details)

    async def promote(self, name: str) -> None:
        """Promote a joining server from outside, as soon as etcd lets us."""
        etcd = FakeEtcd(self.runtime, "s0")
        while True:
            for member in await etcd.members():
                if member.name.startswith(f"{name}-"):
                    if not member.is_learner:
                        return
                    with suppress(EtcdRefused):
                        await etcd.promote(member.id)
            await anyio.sleep(0.1)

    async def credentials(self) -> Credentials:
        content = await self.runtime.read_file("s0", KUBECONFIG)
        return credentials_of(kubeconfig.parse(content, "s0"))

    @asynccontextmanager
    async def api(self, credentials: Credentials | None = None) -> AsyncIterator[Kubernetes]:
        """Open the API through the published port."""
        async with Connector(self.runtime)("127.0.0.1", PORT, credentials) as kubernetes:
            yield kubernetes


@asynccontextmanager
async def lab(
    servers: int = 1,
    agents: int = 0,
    *,
    faults: Faults | None = None,
    latency: Latency = INSTANT,
) -> AsyncIterator[Lab]:
    """Open a lab whose containers are there and not started."""
    async with engine(faults, latency) as runtime:
        found = Lab(runtime, servers, agents)
        await found.create()
        yield found
