"""Registries of the fake engine: they answer a moment after their start."""

from typing import TYPE_CHECKING

import anyio

from k3dasync.cluster import LABEL_ROLE, Role
from k3dasync.fake.machine import Machine
from k3dasync.fake.state import Container, Service

if TYPE_CHECKING:
    from k3dasync.fake.engine import FakeRuntime


def is_registry(container: Container) -> bool:
    """Say whether a container runs a registry, by what k3d and we label it with."""
    return container.spec.labels.get(LABEL_ROLE) == Role.REGISTRY


async def run(machine: Machine, container: Container) -> None:
    """Listen, until the end."""
    await machine.cores.spend(machine.latency.node.registry)
    container.serves.add(Service.REGISTRY)
    machine.changed.tell()
    await anyio.sleep_forever()


class Answers:
    """Asks the registries that one fake engine publishes: a RegistryAnswers."""

    def __init__(self, runtime: "FakeRuntime") -> None:
        self._runtime = runtime

    async def __call__(self, host: str, port: int) -> bool:  # noqa: ARG002 - all lead here
        """Say whether a registry is published there, and listens."""
        self._runtime.faults.check_alive()
        await anyio.sleep(self._runtime.latency.engine.read.idle)
        return any(
            Service.REGISTRY in container.serves
            and any(one.host_port == port for one in container.bound)
            for container in self._runtime.machine.inventory.containers.values()
            if container.is_running
        )
