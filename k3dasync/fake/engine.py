"""A container engine in memory: the rules of a real one, its times, and trouble on order."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import AnyByteStream

from k3dasync.errors import Conflict, EngineError, ImageUnavailable, NotFound
from k3dasync.fake import archives, programs
from k3dasync.fake.calls import Calls
from k3dasync.fake.claims import network_of
from k3dasync.fake.cores import Cores
from k3dasync.fake.ctr import GOOD
from k3dasync.fake.ctr import converse as converse_with
from k3dasync.fake.ctr import run as run_command
from k3dasync.fake.faults import Faults
from k3dasync.fake.host import TOLD
from k3dasync.fake.laboratory import Laboratory, default_images
from k3dasync.fake.latency import Cost, Latency
from k3dasync.fake.machine import Machine
from k3dasync.fake.process import KILLED
from k3dasync.fake.state import TMPFS, Container, Endpoint, Network, carrying, has_labels
from k3dasync.limits import Limits
from k3dasync.runtime import (
    ContainerDetail,
    ContainerEvent,
    ContainerSpec,
    ContainerState,
    EngineFacts,
    Executed,
    File,
    ImageState,
    NetworkSpec,
    NetworkState,
    PullProgress,
    VolumeSpec,
    VolumeState,
)

NOWHERE = "nonexistent.invalid"
"""A registry that cannot be there: its top-level domain is reserved for that."""
IMAGE_BYTES = 75_000_000
"""The download of every image: k3s's is about that."""
PULL_STEPS = 20
"""Reports of one pull: enough to see it move."""
_LATENCY, _LIMITS = Latency(), Limits()


class FakeRuntime(Laboratory):
    """A Runtime without an engine; inside `async with` the nodes of its clusters live.

    Whatever is on it when the context ends is gone; nothing is ever reset before. It has the
    images of a default cluster unless *images* says otherwise, and can pull any other one.
    """

    def __init__(
        self,
        *,
        latency: Latency = _LATENCY,
        faults: Faults | None = None,
        limits: Limits = _LIMITS,
        images: Iterable[str] | None = None,
        id: str = "FAKE",
    ) -> None:
        self._id = id
        self.latency = latency
        self.faults = faults if faults is not None else Faults()
        self.unpullable: set[str] = set()
        self._calls = Calls(self.faults, limits)
        self._line = Cores(1)
        self._images = tuple(images) if images is not None else default_images()

    async def __aenter__(self) -> Self:
        group = await anyio.create_task_group().__aenter__()
        self._machine = Machine(self.latency, self.faults, group)
        for image in self._images:
            self.add_image(image)
        group.start_soon(self._machine.cores.run)
        group.start_soon(self._line.run)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._machine.cut_streams()
        self._machine.group.cancel_scope.cancel()
        # The group is not told of the body's error: that leaves as it is, not in a group.
        await self._machine.group.__aexit__(None, None, None)

    async def facts(self) -> EngineFacts:
        async with self._calls.read("facts"):
            await self._spend(self.latency.engine.facts)
            self._calls.fit(self.latency.cores)
            return EngineFacts(
                id=self._id,
                endpoint="fake://",
                version="20.10.24",
                name="fake",
                cgroup_version="2",
                cpus=self.latency.cores,
                **TOLD,
            )

    # --- images -----------------------------------------------------------------------------

    async def has_image(self, image: str) -> bool:
        async with self._calls.read("has_image", image):
            await self._spend(self.latency.engine.read)
            return image in self._machine.inventory.images

    async def pull_image(self, image: str, progress: PullProgress) -> None:
        async with self._calls.read("pull_image", image, kind="pull"):
            await anyio.sleep(self.latency.engine.manifest)
            if image in self.unpullable or image.partition("/")[0] == NOWHERE:
                words = f"manifest for {image} not found: manifest unknown"
                raise ImageUnavailable("pull", f"image {image}", words)
            step = IMAGE_BYTES // PULL_STEPS
            for done in range(0, IMAGE_BYTES, step):
                progress(done, IMAGE_BYTES if done else None)
                await self._line.spend(Cost(0, self.latency.engine.pull_megabyte * step / 1e6))
            progress(IMAGE_BYTES, IMAGE_BYTES)
            self.add_image(image)

    async def images(self) -> Sequence[ImageState]:
        async with self._calls.read("images"):
            await self._spend(self.latency.engine.read)
            return list(self._machine.inventory.images.values())

    @asynccontextmanager
    async def export_images(self, tags: Sequence[str]) -> AsyncIterator[AsyncIterator[bytes]]:
        name = ",".join(tags)
        async with self._calls.read("export_images", name):
            await self._spend(self.latency.engine.read)
            known = {
                tag: one for one in self._machine.inventory.images.values() for tag in one.tags
            }
            for tag in tags:
                if tag not in known:
                    raise NotFound("export", f"image {tag}", f"reference does not exist: {tag}")
            images = list({known[tag].id: known[tag] for tag in tags}.values())
        yield archives.Export(partial(self._piece, archives.archive(images, tags), name))

    async def _piece(self, pieces: Iterator[bytes], name: str) -> bytes | None:
        """Return the next piece of an export, None at its end."""
        async with self._calls.read("export_piece", name):
            found = next(pieces, None)
            await anyio.sleep(self.latency.engine.export_megabyte * len(found or b"") / 1e6)
            return found

    # --- networks ---------------------------------------------------------------------------

    async def create_network(self, spec: NetworkSpec) -> str:
        async with self._calls.change("create_network", spec.name):
            network = network_of(self._machine.inventory, spec, self._machine.new_id())
            self._machine.inventory.networks[network.id] = network
            await self._spend(self.latency.engine.network_create)
            return network.id

    async def networks(self, labels: Mapping[str, str] | None = None) -> Sequence[NetworkState]:
        async with self._calls.read("networks"):
            await self._spend(self.latency.engine.read)
            found = carrying(self._machine.inventory.networks.values(), labels)
            return [network.shown() for network in found]

    async def addresses_in_use(self, network: str) -> frozenset[str]:
        async with self._calls.read("addresses_in_use", network):
            await self._spend(self.latency.engine.read)
            found = self._machine.inventory.network("inspect", network)
            members = self._machine.inventory.members(found)
            return frozenset(address for _, address in members if address)

    async def connect_network(
        self, container: str, network: str, *, address: str | None, labels: Mapping[str, str]
    ) -> None:
        async with self._calls.change("connect_network", container):
            found = self._machine.inventory.container("connect", container)
            joined = self._machine.inventory.network("connect", network)
            endpoint = Endpoint(network, address, dict(labels))
            await self._machine.connect(found, endpoint, joined)

    async def disconnect_network(
        self, container: str, network: str, labels: Mapping[str, str]
    ) -> bool:
        async with self._calls.change("disconnect_network", container):
            found = self._machine.inventory.containers.get(container)
            for endpoint in found.endpoints if found else ():
                is_meant = network in {endpoint.name, endpoint.found and endpoint.found.id}
                if found and is_meant and labels.items() <= endpoint.labels.items():
                    await self._machine.disconnect(found, endpoint)
                    return True
            await self._spend(self.latency.engine.read)
            return False

    async def remove_network(self, name: str, labels: Mapping[str, str]) -> bool:
        async with self._calls.change("remove_network", name):
            networks = carrying(self._machine.inventory.networks.values(), labels)
            found = [network for network in networks if network.name == name]
            for network in found:
                self._remove_unused(network)
                await self._spend(self.latency.engine.network_remove)
            return bool(found)

    def _remove_unused(self, network: Network) -> None:
        if network.is_host:
            words = f"{network.name} is a pre-defined network and cannot be removed"
            raise EngineError("remove", f"network {network.name}", words)
        members = [member.name for member, _ in self._machine.inventory.members(network)]
        if members:
            words = f"network has active endpoints: {', '.join(members)}"
            raise Conflict("remove", f"network {network.name}", words)
        self._machine.inventory.networks.pop(network.id, None)

    # --- volumes ----------------------------------------------------------------------------

    async def create_volume(self, spec: VolumeSpec) -> VolumeState:
        async with self._calls.change("create_volume", spec.name):
            await self._spend(self.latency.engine.volume)
            made = VolumeState(name=spec.name, labels=dict(spec.labels))
            return self._machine.inventory.volumes.setdefault(spec.name, made)

    async def volumes(self, labels: Mapping[str, str] | None = None) -> Sequence[VolumeState]:
        async with self._calls.read("volumes"):
            await self._spend(self.latency.engine.read)
            return carrying(self._machine.inventory.volumes.values(), labels)

    async def remove_volume(self, name: str, labels: Mapping[str, str]) -> bool:
        async with self._calls.change("remove_volume", name):
            await self._spend(self.latency.engine.volume)
            found = self._machine.inventory.volumes.get(name)
            if found is None or not has_labels(found, labels):
                return False
            users = self._machine.inventory.users_of(name)
            if users:
                words = f"volume is in use - [{', '.join(user.id for user in users)}]"
                raise Conflict("remove", f"volume {name}", words)
            del self._machine.inventory.volumes[name]
            return True

    # --- containers -------------------------------------------------------------------------

    async def create_container(self, spec: ContainerSpec) -> str:
        async with self._calls.change("create_container", spec.name, kind="create"):
            inventory, resource = self._machine.inventory, f"container {spec.name}"
            if spec.image not in inventory.images:
                raise NotFound("create", resource, f"No such image: {spec.image}")
            if spec.name in inventory.containers:
                owner = inventory.containers[spec.name].id
                words = f'the container name "/{spec.name}" is already in use by container {owner}'
                raise Conflict("create", resource, words)
            container = Container(self._machine.new_id(), spec, anyio.current_time())
            # A network that is not there is no error before the start.
            with suppress(EngineError):
                container.endpoints[0].found = inventory.network("create", spec.network)
            # The name is claimed at once, the files come in a second call of the engine's.
            inventory.containers[spec.name] = container
            inventory.make_volumes(spec.binds)
            await self._spend(self.latency.engine.create)
            container.files.update((file.path, file.content) for file in spec.files)
            self._machine.tell("create", container)
            return container.id

    async def start_container(self, name: str) -> None:
        async with (
            self._calls.change("start_container", name, kind="start"),
            self._locked("start", name) as container,
        ):
            if self._machine.process(container) is None:
                program = programs.of(self._machine, container)
                await self._machine.launch(container, program)

    async def signal_container(self, name: str, signal: str) -> None:
        async with self._calls.change("signal_container", name, kind="execute"):
            await self._spend(self.latency.engine.read)
            container = self._machine.inventory.container("signal", name)
            process = self._machine.process(container)
            if process is None or not container.is_running:
                words = f"Container {container.id} is not running"
                raise Conflict("signal", f"container {name}", words)
            match signal:
                case "SIGHUP":
                    process.reload.tell()
                case "SIGKILL":
                    await self._machine.kill(container)
                case "SIGTERM":
                    await self._machine.end(container)
                case _:
                    pass  # nothing that runs here minds

    async def stop_container(self, name: str, *, grace: int | None = None) -> None:
        async with (
            self._calls.change("stop_container", name),
            self._locked("stop", name) as container,
        ):
            await self._machine.end(container, grace=grace)

    async def remove_container(self, name: str, labels: Mapping[str, str]) -> bool:
        async with self._calls.change("remove_container", name, kind="remove"):
            found = self._machine.inventory.containers.get(name)
            if found is None or not has_labels(found, labels):
                await self._spend(self.latency.engine.read)
                return False
            async with found.lock:
                if self._machine.inventory.containers.get(name) is not found:
                    return False  # somebody else has removed it meanwhile
                await self._machine.remove(found)
                return True

    async def containers(self, labels: Mapping[str, str] | None = None) -> Sequence[ContainerState]:
        async with self._calls.read("containers"):
            await self._spend(self.latency.engine.read)
            found = carrying(self._machine.inventory.containers.values(), labels)
            return [container.shown() for container in found]

    async def inspect_container(self, name: str) -> ContainerDetail:
        async with self._calls.read("inspect_container", name):
            await self._spend(self.latency.engine.read)
            return self._machine.inventory.container("inspect", name).detail()

    # --- what is in them --------------------------------------------------------------------

    async def write_files(self, name: str, files: Sequence[File]) -> None:
        async with self._calls.change("write_files", name, kind="write"):
            await self._spend(self.latency.engine.copy)
            container = self._machine.inventory.container("write files to", name)
            for file in files:
                # In a container that runs, a tmpfs hides what is put under its path.
                if not (container.is_running and file.path.startswith(TMPFS)):
                    container.files[file.path] = file.content

    async def read_file(self, name: str, path: str) -> bytes:
        async with self._calls.read("read_file", name):
            await self._spend(self.latency.engine.copy)
            container = self._machine.inventory.container("read", name)
            if path not in container.files:
                words = f"Could not find the file {path} in container {name}"
                raise NotFound("read", f"file {path} of {name}", words)
            return container.files[path]

    async def list_files(self, name: str, folder: str) -> Sequence[str]:
        async with self._calls.read("list_files", name):
            await self._spend(self.latency.engine.copy)
            container = self._machine.inventory.container("list", name)
            found = sorted(path for path in container.files if path.startswith(f"{folder}/"))
            if not found:
                words = f"Could not find the file {folder} in container {name}"
                raise NotFound("list", f"folder {folder} of {name}", words)
            return found

    async def execute(
        self, name: str, command: Sequence[str], *, stdin: AsyncIterator[bytes] | None = None
    ) -> Executed:
        async with self._calls.read("execute", name):
            async with self._calls.slot("execute"):
                await self._spend(self.latency.engine.execute)
            container, process = self._machine.running(f"run {command[0]} in", name)
            ctr = self._machine.ctr.get(name, GOOD)
            return await process.beside(
                partial(run_command, container, command, stdin, ctr), Executed(code=KILLED)
            )

    @asynccontextmanager
    async def converse(self, name: str, command: Sequence[str]) -> AsyncIterator[AnyByteStream]:
        async with self._calls.read("converse", name):
            async with self._calls.slot("execute"):
                await self._spend(self.latency.engine.execute)
            self._machine.running(f"run {command[0]} in", name)
        async with converse_with(command) as stream:
            yield stream

    async def logs(self, name: str, *, tail: int) -> Sequence[str]:
        async with self._calls.read("logs", name):
            await self._spend(self.latency.engine.read)
            lines = self._machine.inventory.container("read the log of", name).log
            return tuple(lines)[-tail:] if tail else ()

    @asynccontextmanager
    async def container_events(
        self, labels: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[ContainerEvent]]:
        async with self._calls.read("container_events"):
            await self._spend(self.latency.engine.read)
        async with self._machine.events(labels) as stream:
            yield stream

    async def _spend(self, cost: Cost) -> None:
        await self._machine.cores.spend(cost)

    @asynccontextmanager
    async def _locked(self, operation: str, name: str) -> AsyncIterator[Container]:
        """Wait until nobody else starts, stops or removes the container; it may be gone then."""
        container = self._machine.inventory.container(operation, name)
        async with container.lock:
            yield self._machine.inventory.container(operation, container.id)
