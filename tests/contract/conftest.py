"""The engines that the contract is tried on: the fake one on virtual time, and a real one."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from trio.testing import MockClock

from k3dasync.docker.runtime import DockerRuntime
from k3dasync.errors import NotFound, SubnetTaken
from k3dasync.fake import FakeRuntime
from k3dasync.runtime import ContainerSpec, File, NetworkSpec, PortBinding, Runtime
from tests.engine import NODE_IMAGE, remove_all

PROGRAM = (
    'trap "exit 3" USR1; trap "exit 0" TERM; cat /lines 2>/dev/null; while :; do sleep 0.05; done'
)
"""What the containers on a real engine run: it says what it is told, and exits when it is told."""
RUN = "k3dasync.run"


class Bench:
    """An engine with a name that is ours alone, and what the Protocol has no words for."""

    def __init__(self, runtime: Runtime, image: str) -> None:
        self.runtime, self.image = runtime, image
        self.name = f"t{secrets.token_hex(4)}"
        self.labels = {RUN: self.name}
        self._hosts = count(10)

    async def network(self, suffix: str = "net", *, labels: dict[str, str] | None = None) -> str:
        """Create a network with a subnet that nobody has, and return its id."""
        for _ in range(20):
            try:
                return await self.runtime.create_network(self.network_spec(suffix, labels))
            except SubnetTaken:
                continue  # somebody else's; chosen anew below
        raise AssertionError("no subnet is free")

    def network_spec(
        self, suffix: str = "net", labels: dict[str, str] | None = None
    ) -> NetworkSpec:
        """Return a network of 256 addresses whose upper half is dynamic."""
        subnet = f"10.213.{secrets.randbelow(256)}"
        return NetworkSpec(
            name=f"{self.name}-{suffix}",
            subnet=f"{subnet}.0/24",
            gateway=f"{subnet}.1",
            ip_range=f"{subnet}.128/25",
            labels=self.labels if labels is None else labels,
        )

    async def address(self, network: str) -> str:
        """Return a new address in the fixed half of a network."""
        found = next(one for one in await self.runtime.networks() if one.id == network)
        return found.gateway.rpartition(".")[0] + f".{next(self._hosts)}"

    def spec(self, network: str, suffix: str = "a", **changes: Any) -> ContainerSpec:
        """Return a container that runs until it is told to stop."""
        asked = {"name": f"{self.name}-{suffix}", "labels": self.labels, **changes}
        return ContainerSpec(image=self.image, network=network, **self._program(), **asked)

    def port(self) -> PortBinding:
        """Return a host port nobody has, of those that no engine chooses by itself."""
        number = 20000 + secrets.randbelow(10000)
        return PortBinding(port="6443", host_ip="127.0.0.1", host_port=number)

    def _program(self) -> dict[str, Any]:
        return {}

    async def foreign_network(self, suffix: str) -> str:
        """Add a network whose subnet the engine has chosen, and return its id."""
        raise NotImplementedError

    async def run_with_log(self, network: str, *lines: str) -> str:
        """Start a container that writes these lines, and return its name."""
        raise NotImplementedError

    async def exit(self, name: str) -> None:
        """Let a container's process exit with code 3."""
        raise NotImplementedError

    async def sees(self, name: str, path: str) -> bool:
        """Say whether a container's process sees a file, which a mount may hide from it."""
        raise NotImplementedError

    @property
    def image_tag(self) -> str:
        """The image's name as the engine lists it."""
        return self.image

    async def executes(self, name: str, program: str) -> bool:
        """Say whether a command of that name is being executed in a container."""
        raise NotImplementedError

    async def forget(self, *tags: str) -> None:
        """Remove images, for which the Protocol has no words."""
        raise NotImplementedError


class FakeBench(Bench):
    """The fake engine, at its usual speed in virtual time."""

    def __init__(self, runtime: FakeRuntime) -> None:
        super().__init__(runtime, "program")
        self.fake = runtime
        self.fake.add_image("program", volumes=("/var/lib/kubelet",))

    async def foreign_network(self, suffix: str) -> str:
        return self.fake.add_foreign_network(f"{self.name}-{suffix}", labels=self.labels)

    async def run_with_log(self, network: str, *lines: str) -> str:
        spec = self.spec(network, "log")
        await self.runtime.create_container(spec)
        await self.runtime.start_container(spec.name)
        self.fake.machine.inventory.containers[spec.name].log.extend(lines)
        return spec.name

    async def exit(self, name: str) -> None:
        self.fake.crash(name, exit_code=3)

    async def sees(self, name: str, path: str) -> bool:
        try:
            await self.runtime.read_file(name, path)
        except NotFound:
            return False
        return True

    @property
    def image_tag(self) -> str:
        return f"{self.image}:latest"

    async def executes(self, name: str, program: str) -> bool:
        return program in self.fake.executing(name)

    async def forget(self, *tags: str) -> None:
        for tag in tags:
            self.fake.remove_image(tag)


class DockerBench(Bench):
    """A real engine."""

    def __init__(self, runtime: DockerRuntime) -> None:
        super().__init__(runtime, NODE_IMAGE)
        self.docker = runtime

    def _program(self) -> dict[str, Any]:
        return {"entrypoint": ("sh", "-c", PROGRAM), "command": ()}

    async def foreign_network(self, suffix: str) -> str:
        body = {"Name": f"{self.name}-{suffix}", "Labels": self.labels}
        made = await self.docker._engine.docker.networks.create(body)
        return str(made.id)

    async def run_with_log(self, network: str, *lines: str) -> str:
        said = File(path="/lines", content="".join(f"{line}\n" for line in lines).encode())
        spec = self.spec(network, "log", files=(said,))
        await self.runtime.create_container(spec)
        await self.runtime.start_container(spec.name)
        while not await self.runtime.logs(spec.name, tail=1):
            pass  # each turn is a round trip to the engine, and a process starts in a few of them
        return spec.name

    async def exit(self, name: str) -> None:
        await self.runtime.signal_container(name, "SIGUSR1")

    async def sees(self, name: str, path: str) -> bool:
        container = self.docker._engine.docker.containers.container(name)
        command = await container.exec(["test", "-e", path])
        async with command.start(detach=False) as output:
            while await output.read_out() is not None:
                pass
        return bool((await command.inspect())["ExitCode"] == 0)

    async def executes(self, name: str, program: str) -> bool:
        found = await self.docker.execute(name, ["ps", "-o", "comm"])
        assert 0 == found.code, found.err
        return program in found.out.decode().split()

    async def forget(self, *tags: str) -> None:
        for tag in tags:
            await self.docker._engine.docker.images.delete(tag)


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.engine)])
def side(request: pytest.FixtureRequest) -> str:
    """Say which engine this test is for."""
    if request.param == "docker":
        request.getfixturevalue("docker_host")
    return str(request.param)


@pytest.fixture
def anyio_backend(side: str) -> object:
    """Run the fake engine on virtual time; the real one needs asyncio and has its own time."""
    return "asyncio" if side == "docker" else ("trio", {"clock": MockClock(autojump_threshold=0)})


@pytest.fixture
async def bench(side: str) -> AsyncIterator[Bench]:
    """Return an engine; what the test leaves on it is removed."""
    async with _docker() if side == "docker" else _fake() as bench:
        yield bench


@asynccontextmanager
async def _fake() -> AsyncIterator[Bench]:
    async with FakeRuntime() as runtime:
        yield FakeBench(runtime)


@asynccontextmanager
async def _docker() -> AsyncIterator[Bench]:
    async with DockerRuntime() as runtime:
        bench = DockerBench(runtime)
        try:
            yield bench
        finally:
            await remove_all(bench.name)
