"""The containers of the fake engine: their lives, seen from outside."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from k3dasync.errors import Conflict, EngineError, NotFound
from k3dasync.fake import programs
from k3dasync.fake.insides import Insides
from k3dasync.fake.networks import Networks
from k3dasync.fake.state import Container, carrying, has_labels
from k3dasync.runtime import (
    ContainerDetail,
    ContainerSpec,
    ContainerState,
    Status,
)


class Containers(Insides, Networks):
    """That part of the Runtime."""

    async def create_container(self, spec: ContainerSpec) -> str:
        async with self._calls.change("create_container", spec.name, kind="create"):
            inventory, resource = self._machine.inventory, f"container {spec.name}"
            image = inventory.image(spec.image)
            if image is None:
                raise NotFound("create", resource, f"No such image: {spec.image}")
            if spec.name in inventory.containers:
                owner = inventory.containers[spec.name].id
                words = f'the container name "/{spec.name}" is already in use by container {owner}'
                raise Conflict("create", resource, words)
            container = Container(
                self._machine.new_id(), spec, self._machine.now(), image_id=image.id
            )
            # A network that is not there is no error before the start.
            with suppress(EngineError):
                container.endpoints[0].found = inventory.network("create", spec.network)
            # The name is claimed at once, the files come in a second call of the engine's.
            inventory.containers[spec.name] = container
            inventory.make_volumes(container, self._machine.new_id)
            await self._spend(self.latency.engine.create)
            container.files.update((file.path, file.content) for file in spec.files)
            self._machine.tell("create", container)
            return container.id

    async def start_container(self, name: str) -> None:
        async with (
            self._calls.change("start_container", name, kind="start"),
            self._locked("start", name) as container,
        ):
            if container.status is Status.PAUSED:
                words = "cannot start a paused container, try unpause instead"
                raise Conflict("start", f"container {name}", words)
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

    async def pause_container(self, name: str) -> None:
        async with (
            self._calls.change("pause_container", name),
            self._locked("pause", name) as container,
        ):
            self._machine.pause(container)

    async def unpause_container(self, name: str) -> None:
        async with (
            self._calls.change("unpause_container", name),
            self._locked("resume", name) as container,
        ):
            self._machine.unpause(container)

    async def rename_container(self, name: str, new_name: str) -> None:
        async with (
            self._calls.change("rename_container", name),
            self._locked("rename", name) as container,
        ):
            self._machine.inventory.rename(container, new_name)

    async def remove_container(
        self, name: str, labels: Mapping[str, str], *, keeps_volumes: bool = False
    ) -> bool:
        async with self._calls.change("remove_container", name, kind="remove"):
            found = self._machine.inventory.containers.get(name)
            if found is None or not has_labels(found, labels):
                await self._spend(self.latency.engine.read)
                return False
            async with found.lock:
                if self._machine.inventory.containers.get(name) is not found:
                    return False  # somebody else has removed it meanwhile
                await self._machine.remove(found, keeps_volumes=keeps_volumes)
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
