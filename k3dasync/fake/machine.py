"""The insides of the fake engine: what it keeps, what runs on it, and what it tells of that."""

import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from k3dasync.errors import Conflict
from k3dasync.fake.changed import Changed
from k3dasync.fake.claims import FIRST_EPHEMERAL_PORT, claim_address, claim_ports
from k3dasync.fake.cores import Cores
from k3dasync.fake.ctr import Ctr
from k3dasync.fake.faults import Faults
from k3dasync.fake.latency import Latency
from k3dasync.fake.log import EPOCH
from k3dasync.fake.process import KILLED, Exit, Process, Program
from k3dasync.fake.state import Container, Endpoint, Inventory, Network, has_labels
from k3dasync.runtime import ContainerEvent, Status


@dataclass(eq=False, slots=True)
class _Listener:
    labels: Mapping[str, str]
    send: MemoryObjectSendStream[ContainerEvent]


class Machine:
    """Runs the processes of containers in one task group and keeps everything they share.

    `outside` are the datastores that belong to no container, by endpoint.
    """

    def __init__(self, latency: Latency, faults: Faults, group: TaskGroup) -> None:
        self.latency, self.faults, self.group = latency, faults, group
        self.cores = Cores(latency.cores)
        self.inventory = Inventory()
        self.changed = Changed()
        self.removal = anyio.Lock()
        self.ctr: dict[str, Ctr] = {}
        self._processes: dict[str, Process] = {}
        self._listeners: list[_Listener] = []
        self._ephemeral = itertools.count(FIRST_EPHEMERAL_PORT)
        self._ids = itertools.count(1)
        self.outside: dict[str, object] = {}

    def new_id(self) -> str:
        """Return an id as long as the engine's."""
        return f"{next(self._ids):064x}"

    def now(self) -> float:
        """Return the time by the engine's clock, in seconds since 1970."""
        return EPOCH.timestamp() + anyio.current_time()

    def process(self, container: Container) -> Process | None:
        """Return the process of a container, if it is started."""
        return self._processes.get(container.id)

    def running(self, operation: str, name: str) -> tuple[Container, Process]:
        """Return a container that runs, and its process; raises NotFound or Conflict if none."""
        container = self.inventory.container(operation, name)
        process = self.process(container)
        if process is None or not container.is_running:
            words = f"Container {container.id} is not running"
            if container.status is Status.PAUSED:
                words = f"Container {name} is paused, unpause the container before exec"
            raise Conflict(operation, f"container {name}", words)
        return container, process

    def find(self, host: str, near: Container) -> Container | None:
        """Return a running container by address, name or alias, as *near* would resolve it."""
        return next(self.find_all(host, near), None)

    def find_all(self, host: str, near: Container) -> Iterator[Container]:
        """Yield all of them: several can share an alias."""
        shared = [one.found for one in near.endpoints if one.found is not None]
        for other in self.inventory.containers.values():
            found = [one for network in shared if (one := other.endpoint(network))]
            if not other.is_running or not found:
                continue
            if host in {other.name, *other.spec.aliases, *(one.address for one in found)}:
                yield other

    # --- events -----------------------------------------------------------------------------

    @asynccontextmanager
    async def events(
        self, labels: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[ContainerEvent]]:
        """Follow what happens to containers with *labels* from now on."""
        send, receive = anyio.create_memory_object_stream[ContainerEvent](float("inf"))
        listener = _Listener(labels, send)
        self._listeners.append(listener)
        with send, receive:
            try:
                yield receive
            finally:
                if listener in self._listeners:
                    self._listeners.remove(listener)

    def tell(self, action: str, container: Container, exit_code: int | None = None) -> None:
        """Tell all who follow, and wake all who wait for a change."""
        for listener in self._listeners:
            if has_labels(container, listener.labels):
                event = ContainerEvent(action=action, name=container.name, exit_code=exit_code)
                listener.send.send_nowait(event)
        container.log.changed.tell()
        self.changed.tell()

    def cut_streams(self) -> None:
        """End every stream of events, as an engine does that restarts."""
        for listener in self._listeners:
            listener.send.close()
        self._listeners.clear()

    # --- life and death ---------------------------------------------------------------------

    async def launch(self, container: Container, program: Program) -> None:
        """Claim address and ports for a container, and let it run when that is granted."""
        engine = self.latency.engine
        await self.cores.spend(engine.start)
        networks = [self.inventory.network("start", one.network) for one in container.endpoints]
        async with networks[0].lock if networks else anyio.Lock():
            container.exit_code = 128  # the engine's for a start that fails
            try:
                for endpoint, network in zip(container.endpoints, networks, strict=True):
                    address = claim_address(self.inventory, container, endpoint, network)
                    endpoint.found, endpoint.address = network, address
                # Ports lead to an address: without one they are not bound, and nobody is told.
                if networks:
                    container.bound = claim_ports(self.inventory, container, self._ephemeral)
            except BaseException:
                container.release()
                raise
            container.restarts, container.exit_code = 0, 0
            # Nobody else is given the same while the endpoint is being made.
            container.status = Status.RUNNING
            await anyio.sleep(engine.start_serial)
        process = Process(program.term_code)
        self._processes[container.id] = process
        self._begin(container)
        self.group.start_soon(self._run, container, program, process)

    def _begin(self, container: Container) -> None:
        container.status, container.is_oom = Status.RUNNING, False
        container.started = anyio.current_time()
        container.lose_tmpfs()
        self.tell("start", container)

    async def _run(self, container: Container, program: Program, process: Process) -> None:
        with process.whole:
            await self._run_and_restart(container, program, process)
        if container.status in {Status.RUNNING, Status.PAUSED}:
            self._exited(container, Exit(process.code))
        container.status = Status.EXITED
        container.release()
        del self._processes[container.id]
        process.ended.set()
        self.changed.tell()

    async def _run_and_restart(
        self, container: Container, program: Program, process: Process
    ) -> None:
        latency = self.latency
        delay = latency.restart_first
        while True:
            began = anyio.current_time()
            exit = await process.live(program.main)
            self._exited(container, exit)
            if anyio.current_time() - began > latency.restart_peace:
                delay = latency.restart_first
            container.status = Status.RESTARTING
            await anyio.sleep(delay)
            delay = min(delay * 2, latency.restart_longest)
            container.restarts += 1
            self._begin(container)

    def _exited(self, container: Container, exit: Exit) -> None:
        container.serves.clear()
        container.listens, container.sockets = 0, ()
        container.status, container.exit_code = Status.EXITED, exit.code
        container.is_oom = exit.is_oom
        if exit.is_oom:
            self.tell("oom", container)
        self.tell("die", container, exit.code)

    async def connect(self, container: Container, endpoint: Endpoint, network: Network) -> None:
        """Add a place in a network; one that runs gets its address, and in the first its ports."""
        resource = f"container {container.name}"
        if container.endpoint(network) is not None:
            words = f"endpoint with name {container.name} already exists in network {network.name}"
            raise Conflict("connect", resource, words)
        if container.is_live:
            endpoint.address = claim_address(self.inventory, container, endpoint, network)
            if not container.endpoints:
                container.bound = claim_ports(self.inventory, container, self._ephemeral)
        endpoint.found = network
        container.endpoints.append(endpoint)
        self.changed.tell()
        await self.cores.spend(self.latency.engine.network_connect)

    async def disconnect(self, container: Container, endpoint: Endpoint) -> None:
        """Take a place in a network away; without any other, its ports are not bound any more."""
        container.endpoints.remove(endpoint)
        if not container.endpoints:
            container.bound = ()
        self.changed.tell()
        await self.cores.spend(self.latency.engine.network_connect)

    async def end(self, container: Container, *, grace: float | None = None) -> None:
        """End a container's process, by force if that takes longer than *grace*."""
        process = self.process(container)
        if process is None:
            return
        takes = self.latency.engine.stop
        self.tell("kill", container)
        if grace is not None and (grace == 0 or grace < takes.idle):
            await anyio.sleep(grace)
            process.end(KILLED)
        else:
            await self.cores.spend(takes)
            process.end(process.term_code)
        await process.ended.wait()

    async def kill(self, container: Container, code: int = KILLED) -> None:
        """End a container's process at once and for good."""
        process = self.process(container)
        if process is not None:
            self.tell("kill", container)
            process.end(code)
            await process.ended.wait()

    def pause(self, container: Container) -> None:
        """Freeze what runs: nobody reaches it, although time goes on for it, as for a clock."""
        if not container.is_running:
            state = "already paused" if container.status is Status.PAUSED else "not running"
            words = f"Container {container.id} is {state}"
            raise Conflict("pause", f"container {container.name}", words)
        container.status = Status.PAUSED
        self.tell("pause", container)

    def unpause(self, container: Container) -> None:
        """Let it go on."""
        if container.status is not Status.PAUSED:
            words = f"Container {container.id} is not paused"
            raise Conflict("resume", f"container {container.name}", words)
        container.status = Status.RUNNING
        self.tell("unpause", container)

    async def remove(self, container: Container, *, keeps_volumes: bool = False) -> None:
        """End a container and take it apart; its name is free when this returns."""
        engine = self.latency.engine
        await self.kill(container)
        container.status = Status.REMOVING
        await self.cores.spend(engine.remove)
        async with self.removal:
            await anyio.sleep(engine.remove_serial)
        del self.inventory.containers[container.name]
        for name in () if keeps_volumes else container.anonymous.values():
            self.inventory.volumes.pop(name, None)
        self.tell("destroy", container)
