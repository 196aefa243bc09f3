"""What tests and rehearsals do to the engine behind the back of its clients. Takes no time."""

import ipaddress
from collections.abc import Iterable, Mapping

from k3dasync import images
from k3dasync.fake import archives, programs
from k3dasync.fake.claims import engine_subnet
from k3dasync.fake.ctr import Ctr
from k3dasync.fake.machine import Machine
from k3dasync.fake.process import KILLED, Exit
from k3dasync.fake.state import Container, Network, Snapshot
from k3dasync.runtime import ContainerSpec, PortBinding

FOREIGN_IMAGE = "docker.io/library/busybox:stable"
_DECLARED: Mapping[str, tuple[str, ...]] = {images.REGISTRY: ("/var/lib/registry",)}
"""Where images want volumes: k3s's do too, but nothing here asks for what is in those."""


class Laboratory:
    """An engine that can be prepared, looked at and disturbed."""

    _machine: Machine
    unpullable: set[str]

    @property
    def machine(self) -> Machine:
        """The engine's insides."""
        return self._machine

    def add_image(
        self, name: str, *, size: int = archives.SIZE, volumes: tuple[str, ...] = ()
    ) -> None:
        """Let the engine have an image of *size* bytes that wants *volumes* at these paths."""
        self._machine.inventory.declared[name] = volumes or _DECLARED.get(name, ())
        self._machine.inventory.images[name] = archives.image(name, size)

    def remove_image(self, name: str) -> None:
        """Let the engine not have an image: it has to be pulled."""
        self._machine.inventory.images.pop(name, None)

    def make_unpullable(self, *names: str) -> None:
        """Let no registry have these images."""
        self.unpullable.update(names)

    def add_foreign_network(
        self, name: str, *, subnet: str | None = None, labels: Mapping[str, str] | None = None
    ) -> str:
        """Add somebody else's network and return its id.

        Without *subnet* the engine chooses one, and then hands out no fixed addresses.
        """
        machine = self._machine
        chosen = ipaddress.IPv4Network(subnet) if subnet else engine_subnet(machine.inventory)
        network = Network(
            id=machine.new_id(),
            name=name,
            subnet=chosen,
            gateway=str(chosen[1]),
            dynamic=chosen,
            labels=dict(labels or {}),
            has_user_subnet=subnet is not None,
            created=machine.now(),
        )
        machine.inventory.networks[network.id] = network
        return network.id

    async def add_foreign_container(
        self,
        name: str,
        network: str,
        *,
        address: str | None = None,
        ports: Iterable[PortBinding] = (),
        labels: Mapping[str, str] | None = None,
        is_running: bool = True,
    ) -> None:
        """Add somebody else's container, which does nothing; it claims what it asks for."""
        machine = self._machine
        self.add_image(FOREIGN_IMAGE)
        spec = ContainerSpec(
            name=name,
            image=FOREIGN_IMAGE,
            network=network,
            address=address,
            ports=tuple(ports),
            labels=dict(labels or {}),
        )
        container = Container(machine.new_id(), spec, machine.now())
        container.endpoints[0].found = machine.inventory.network("create", network)
        machine.inventory.containers[name] = container
        if is_running:
            await machine.launch(container, programs.of(machine, container))

    def crash(self, name: str, *, exit_code: int = 1, is_oom: bool = False) -> None:
        """Let a running container's process exit; the restart policy brings it back."""
        container = self._machine.inventory.containers[name]
        process = self._machine.process(container)
        if process is not None and container.is_running:
            process.crash(Exit(KILLED if is_oom else exit_code, is_oom=is_oom))

    def trouble_imports(self, name: str, trouble: Ctr) -> None:
        """Let a node's ctr behave like this from now on."""
        self._machine.ctr[name] = trouble

    def imported(self, name: str) -> frozenset[str]:
        """Return the images that were imported into a node, by containerd's names."""
        return frozenset(self._machine.inventory.containers[name].imported)

    def executing(self, name: str) -> tuple[str, ...]:
        """Return the commands that are being executed in a container."""
        return tuple(self._machine.inventory.containers[name].executing)

    def cut_event_streams(self) -> None:
        """End every stream of container events, as an engine does that restarts."""
        self._machine.cut_streams()

    def snapshot(self) -> Snapshot:
        """Return what there is, to be compared with what was or will be."""
        return self._machine.inventory.snapshot()

    def is_empty(self) -> bool:
        """Say whether there is no container, network or volume, anybody's."""
        return self.snapshot().is_empty


def default_images() -> tuple[str, ...]:
    """Return what a machine has on which a cluster was made before."""
    return (images.K3S, images.loadbalancer_image())
