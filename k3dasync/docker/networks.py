"""The networks and volumes of a Docker engine."""

from collections.abc import Mapping, Sequence

from k3dasync.docker import membership, translate
from k3dasync.docker._asking import Asking
from k3dasync.docker._usage import volume_usage
from k3dasync.errors import Conflict, NotFound
from k3dasync.runtime import NetworkSpec, NetworkState, VolumeSpec, VolumeState, VolumeUsage

COUNT_TIMEOUT = 300.0
"""For counting bytes: the engine walks through every file of every volume."""


class Networks(Asking):
    """That part of the Runtime."""

    async def create_network(self, spec: NetworkSpec) -> str:
        async with self._changing("create", f"network {spec.name}"):
            made = await self._engine.docker.networks.create(translate.network_body(spec))
            return str(made.id)

    async def networks(self, labels: Mapping[str, str] | None = None) -> Sequence[NetworkState]:
        with self._asking("list", "networks"):
            found = await self._engine.docker.networks.list(filters=translate.filters(labels))
        return [translate.network(entry) for entry in found]

    async def addresses_in_use(self, network: str) -> frozenset[str]:
        return frozenset((await self._members(network)).values()) - {""}

    async def _members(self, network: str) -> Mapping[str, str]:
        with self._asking("inspect", f"network {network}"):
            found = await (await self._engine.docker.networks.get(network)).show()
        return translate.members(found)

    async def connect_network(
        self, container: str, network: str, *, address: str | None, labels: Mapping[str, str]
    ) -> None:
        async with self._changing("connect", f"container {container}"):
            await membership.connect(self._engine, container, network, address, labels)

    async def disconnect_network(
        self, container: str, network: str, labels: Mapping[str, str]
    ) -> bool:
        try:
            async with self._changing("disconnect", f"container {container}"):
                return await membership.disconnect(self._engine, container, network, labels)
        except NotFound:
            return False

    async def remove_network(self, name: str, labels: Mapping[str, str]) -> bool:
        with self._asking("list", "networks"):
            # The engine's filter takes every name that contains this one.
            wanted = translate.filters(labels, name=name)
            found = await self._engine.docker.networks.list(filters=wanted)
        removed = False
        for state in map(translate.network, found):
            if state.name == name and await self._remove_network(state):
                removed = True
        return removed

    async def _remove_network(self, state: NetworkState) -> bool:
        try:
            async with self._changing("remove", f"network {state.name}"):
                await (await self._engine.docker.networks.get(state.id)).delete()
        except NotFound:
            return False
        except Conflict as error:
            names = ", ".join(sorted(await self._members(state.id)))
            words = f"{error.words}: {names}" if names else error.words
            raise Conflict("remove", f"network {state.name}", words) from error
        return True

    async def create_volume(self, spec: VolumeSpec) -> VolumeState:
        async with self._changing("create", f"volume {spec.name}"):
            body = {"Name": spec.name, "Driver": "local", "Labels": dict(spec.labels)}
            made = await self._engine.docker.volumes.create(body)  # type: ignore[no-untyped-call]
            return translate.volume(await made.show())

    async def volumes(self, labels: Mapping[str, str] | None = None) -> Sequence[VolumeState]:
        with self._asking("list", "volumes"):
            volumes = self._engine.docker.volumes
            found = await volumes.list(filters=translate.filters(labels))  # type: ignore[no-untyped-call]
        return [translate.volume(entry) for entry in found.get("Volumes") or []]

    async def volume_usage(self) -> Mapping[str, VolumeUsage]:
        # Older engines know no `type` and count everything.
        with self._asking("count", "what is in volumes", seconds=COUNT_TIMEOUT):
            found = await self._engine.docker._query_json("system/df?type=volume")  # noqa: SLF001
        return volume_usage(found)

    async def remove_volume(self, name: str, labels: Mapping[str, str]) -> bool:
        try:
            async with self._changing("remove", f"volume {name}"):
                volume = await self._engine.docker.volumes.get(name)  # type: ignore[no-untyped-call]
                found = translate.volume(await volume.show())
                if not translate.carries(found.labels, labels):
                    return False
                await volume.delete()
        except NotFound:
            return False
        return True
