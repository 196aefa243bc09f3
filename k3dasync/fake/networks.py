"""The networks and volumes of the fake engine."""

from collections.abc import Mapping, Sequence

from k3dasync.errors import Conflict, EngineError
from k3dasync.fake._asking import Asking
from k3dasync.fake.claims import network_of
from k3dasync.fake.state import Endpoint, Network, carrying, has_labels
from k3dasync.runtime import (
    NetworkSpec,
    NetworkState,
    VolumeSpec,
    VolumeState,
    VolumeUsage,
)

VOLUME_BYTES = 1_000_000
"""What is in every volume: nothing here writes into them."""


class Networks(Asking):
    """That part of the Runtime."""

    async def create_network(self, spec: NetworkSpec) -> str:
        async with self._calls.change("create_network", spec.name):
            network = network_of(self._machine.inventory, spec, self._machine.new_id())
            network.created = self._machine.now()
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
                if found and found.started is None and endpoint.is_by_id:
                    continue
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
        if network.is_predefined:
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
            now = self._machine.now()
            made = VolumeState(name=spec.name, labels=dict(spec.labels), created=now)
            return self._machine.inventory.volumes.setdefault(spec.name, made)

    async def volumes(self, labels: Mapping[str, str] | None = None) -> Sequence[VolumeState]:
        async with self._calls.read("volumes"):
            await self._spend(self.latency.engine.read)
            return carrying(self._machine.inventory.volumes.values(), labels)

    async def volume_usage(self) -> Mapping[str, VolumeUsage]:
        async with self._calls.read("volume_usage"):
            await self._spend(self.latency.engine.read)
            inventory = self._machine.inventory
            return {
                name: VolumeUsage(size=VOLUME_BYTES, users=len(inventory.users_of(name)))
                for name in inventory.volumes
            }

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
