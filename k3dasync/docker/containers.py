"""The containers of a Docker engine: their lives, seen from outside."""

from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from k3dasync.docker import translate
from k3dasync.docker.insides import Insides
from k3dasync.docker.logs import Logs
from k3dasync.docker.networks import Networks
from k3dasync.errors import Conflict, NotFound
from k3dasync.runtime import ContainerDetail, ContainerSpec, ContainerState

RUN_TIMEOUT = 180.0
"""For a start, stop or removal, where the engine's time goes: fourteen starts at once took up to
6.7 s on two cores, so a hundred take most of a minute, and on a slow disk several times that."""
STOP_GRACE = 10
"""Seconds the engine waits for a process to end by itself, if nobody says otherwise."""
_ENDING = frozenset({"SIGTERM", "SIGKILL"})


class Containers(Insides, Logs, Networks):
    """That part of the Runtime."""

    async def create_container(self, spec: ContainerSpec) -> str:
        containers = self._engine.docker.containers
        async with (
            self._limiters.slot("create"),
            self._changing("create", f"container {spec.name}"),
        ):
            made = await containers.create(translate.container_body(spec), name=spec.name)
        try:
            async with self._writing(spec.name):
                await self._put(made.id, spec.files)
        except BaseException:
            # Half a node is none, and its name must be free for the next try.
            with anyio.move_on_after(RUN_TIMEOUT, shield=True):
                await made.delete(force=True, v=True)
            raise
        return str(made.id)

    async def start_container(self, name: str) -> None:
        async with (
            self._limiters.slot("start"),
            self._changing("start", f"container {name}", seconds=RUN_TIMEOUT),
        ):
            await self._engine.docker.containers.container(name).start()

    async def signal_container(self, name: str, signal: str) -> None:
        resource = f"container {name}"
        async with self._limiters.slot("execute"), self._changing("signal", resource):
            if signal in _ENDING:
                await self._engine.docker.containers.container(name).kill(signal=signal)
                return
            # Not through the engine: it takes any signal for a wish to stop, so that the restart
            # policy is off from then on (moby#41302, all versions).
            short = signal.removeprefix("SIG")
            await self._engine.run_inside(name, ["kill", "-s", short, "1"])

    async def stop_container(self, name: str, *, grace: int | None = None) -> None:
        patience = RUN_TIMEOUT + (STOP_GRACE if grace is None else grace)
        async with self._changing("stop", f"container {name}", seconds=patience):
            await self._engine.docker.containers.container(name).stop(t=grace)

    async def pause_container(self, name: str) -> None:
        async with self._changing("pause", f"container {name}"):
            await self._engine.docker.containers.container(name).pause()

    async def unpause_container(self, name: str) -> None:
        async with self._changing("resume", f"container {name}"):
            await self._engine.docker.containers.container(name).unpause()

    async def rename_container(self, name: str, new_name: str) -> None:
        async with self._changing("rename", f"container {name}"):
            await self._engine.docker.containers.container(name).rename(new_name)

    async def remove_container(
        self, name: str, labels: Mapping[str, str], *, keeps_volumes: bool = False
    ) -> bool:
        async with self._limiters.slot("remove"):
            try:
                detail = await self.inspect_container(name)
                if not translate.carries(detail.state.labels, labels):
                    return False
                await self._remove(name, detail.state.id, with_volumes=not keeps_volumes)
            except NotFound:
                return False
            return True

    async def _remove(self, name: str, id: str, *, with_volumes: bool) -> None:
        # By id: the name may belong to another one by now.
        container = self._engine.docker.containers.container(id)
        try:
            async with self._changing("remove", f"container {name}", seconds=RUN_TIMEOUT):
                await container.delete(force=True, v=with_volumes)
        except Conflict as error:
            if "already in progress" not in error.words:
                raise
            # Somebody else removes it; the name is free when that has ended.
            try:
                with self._asking("remove", f"container {name}", seconds=RUN_TIMEOUT):
                    await container.wait(condition="removed")
            except NotFound:
                pass

    async def containers(self, labels: Mapping[str, str] | None = None) -> Sequence[ContainerState]:
        containers = self._engine.docker.containers
        wanted = {key: list(values) for key, values in translate.filters(labels).items()}
        with self._asking("list", "containers"):
            found = await containers.list(all=True, filters=wanted)
        entries = [entry._container for entry in found]  # noqa: SLF001 - the whole answer
        names = await self._network_names(entries)
        return [translate.listed_container(entry, names) for entry in entries]

    async def inspect_container(self, name: str) -> ContainerDetail:
        with self._asking("inspect", f"container {name}"):
            found = await self._engine.docker.containers.container(name).show()
        return translate.inspected_container(found, await self._network_names([found]))

    async def _network_names(self, found: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        """Return id → name of networks, if one of the containers shows an id for a name."""
        if not translate.shows_network_ids(found):
            return {}
        return {state.id: state.name for state in await self.networks()}
