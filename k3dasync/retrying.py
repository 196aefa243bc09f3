"""An engine whose passing refusals are not the caller's: each call is tried again for a while.

Only calls are repeated of which it is known what became of the first try: what may have taken
effect unseen is looked for before. No slot of a limit is held meanwhile. Whoever wants to know of a
try that failed listens to `on_retry`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from functools import partial
from typing import TypeVar

import anyio
from anyio.abc import AnyByteStream

from k3dasync.build import BuildSpec
from k3dasync.errors import Conflict, K3dAsyncError, NotFound, PortTaken, SubnetTaken
from k3dasync.insides import Take
from k3dasync.loglines import LogLine
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
    Runtime,
    Status,
    VolumeSpec,
    VolumeState,
    VolumeUsage,
)
from k3dasync.transient import delays, is_engines_choice, is_transient

ResultT = TypeVar("ResultT")

on_retry: ContextVar[Callable[[int, float, str], None] | None] = ContextVar(
    "on_retry", default=None
)
"""Told which try comes next, in how many seconds, and why the last one failed."""


async def _always(error: K3dAsyncError) -> bool:
    return is_transient(error)


async def repeated(
    call: Callable[[], Awaitable[ResultT]],
    passes: Callable[[K3dAsyncError], Awaitable[bool]] = _always,
) -> ResultT:
    """Call until it succeeds or fails for good; raises the last failure."""
    for number, delay in enumerate(delays(), 2):
        try:
            return await call()
        except K3dAsyncError as error:
            if not await passes(error):
                raise
            listener = on_retry.get()
            if listener is not None:
                listener(number, delay, str(error))
        await anyio.sleep(delay)
    return await call()


def _id_of(spec: NetworkSpec, known: Sequence[NetworkState]) -> str | None:
    return next((one.id for one in known if one.name == spec.name), None)


class Retrying:
    """A Runtime round another one, which is entered and left by whoever opened it."""

    def __init__(self, runtime: Runtime) -> None:
        self._inner = runtime

    # ---- questions: asking again is always right

    async def facts(self) -> EngineFacts:
        return await repeated(self._inner.facts)

    async def has_image(self, image: str) -> bool:
        return await repeated(partial(self._inner.has_image, image))

    async def images(self) -> Sequence[ImageState]:
        return await repeated(self._inner.images)

    async def networks(self, labels: Mapping[str, str] | None = None) -> Sequence[NetworkState]:
        return await repeated(partial(self._inner.networks, labels))

    async def volumes(self, labels: Mapping[str, str] | None = None) -> Sequence[VolumeState]:
        return await repeated(partial(self._inner.volumes, labels))

    async def volume_usage(self) -> Mapping[str, VolumeUsage]:
        return await repeated(self._inner.volume_usage)

    async def containers(self, labels: Mapping[str, str] | None = None) -> Sequence[ContainerState]:
        return await repeated(partial(self._inner.containers, labels))

    async def inspect_container(self, name: str) -> ContainerDetail:
        return await repeated(partial(self._inner.inspect_container, name))

    async def addresses_in_use(self, network: str) -> frozenset[str]:
        return await repeated(partial(self._inner.addresses_in_use, network))

    async def read_file(self, name: str, path: str) -> bytes:
        return await repeated(partial(self._inner.read_file, name, path))

    async def list_files(self, name: str, folder: str) -> Sequence[str]:
        return await repeated(partial(self._inner.list_files, name, folder))

    async def logs(self, name: str, *, tail: int) -> Sequence[str]:
        return await repeated(partial(self._inner.logs, name, tail=tail))

    # ---- changes that may be made twice

    async def pull_image(self, image: str, progress: PullProgress) -> None:
        await repeated(partial(self._inner.pull_image, image, progress))

    async def create_volume(self, spec: VolumeSpec) -> VolumeState:
        return await repeated(partial(self._inner.create_volume, spec))

    async def write_files(self, name: str, files: Sequence[File]) -> None:
        await repeated(partial(self._inner.write_files, name, files))

    async def signal_container(self, name: str, signal: str) -> None:
        await repeated(partial(self._inner.signal_container, name, signal))

    async def stop_container(self, name: str, *, grace: int | None = None) -> None:
        await repeated(partial(self._inner.stop_container, name, grace=grace))

    async def pause_container(self, name: str) -> None:
        await repeated(partial(self._inner.pause_container, name))

    async def unpause_container(self, name: str) -> None:
        await repeated(partial(self._inner.unpause_container, name))

    async def rename_container(self, name: str, new_name: str) -> None:
        await repeated(partial(self._inner.rename_container, name, new_name))

    async def disconnect_network(
        self, container: str, network: str, labels: Mapping[str, str]
    ) -> bool:
        return await self._removed(self._inner.disconnect_network, container, network, labels)

    async def remove_network(self, name: str, labels: Mapping[str, str]) -> bool:
        return await self._removed(self._inner.remove_network, name, labels)

    async def remove_volume(self, name: str, labels: Mapping[str, str]) -> bool:
        return await self._removed(self._inner.remove_volume, name, labels)

    async def remove_container(
        self, name: str, labels: Mapping[str, str], *, keeps_volumes: bool = False
    ) -> bool:
        remove = partial(self._inner.remove_container, keeps_volumes=keeps_volumes)
        return await self._removed(remove, name, labels)

    async def _removed(self, remove: Callable[..., Awaitable[bool]], *of: object) -> bool:
        """Remove it; what a try that was not answered has removed was there."""
        tries = 0

        async def attempt() -> bool:
            nonlocal tries
            tries += 1
            return await remove(*of) or tries > 1

        return await repeated(attempt)

    async def start_container(self, name: str) -> None:
        async def passes(error: K3dAsyncError) -> bool:
            if isinstance(error, PortTaken):
                bindings = (await self._inner.inspect_container(name)).bindings
                return is_engines_choice(error, bindings)
            return is_transient(error)

        await repeated(partial(self._inner.start_container, name), passes)

    # ---- changes of which there must be one

    async def create_network(self, spec: NetworkSpec) -> str:
        tries = 0

        async def attempt() -> str:
            nonlocal tries
            tries += 1
            # Names of networks are not unique: a second call would make a second one.
            known = await self._inner.networks(spec.labels) if tries > 1 else ()
            return _id_of(spec, known) or await self._inner.create_network(spec)

        async def passes(error: K3dAsyncError) -> bool:
            if isinstance(error, SubnetTaken) and tries > 1:
                # Perhaps by the network of a try before, which was still being made.
                return _id_of(spec, await self._inner.networks(spec.labels)) is not None
            return is_transient(error)

        return await repeated(attempt, passes)

    async def create_container(self, spec: ContainerSpec) -> str:
        tries = 0

        async def attempt() -> str:
            nonlocal tries
            tries += 1
            if tries > 1:
                # One that was made unseen may lack its files. Only ours has all of these labels.
                await self._inner.remove_container(spec.name, spec.labels)
            return await self._inner.create_container(spec)

        async def passes(error: K3dAsyncError) -> bool:
            if isinstance(error, Conflict) and not is_transient(error):
                return await self._gives_way(spec, may_be_ours=tries > 1)
            return is_transient(error)

        return await repeated(attempt, passes)

    async def _gives_way(self, spec: ContainerSpec, *, may_be_ours: bool) -> bool:
        """Say whether whoever has a container's name will have lost it at the next try.

        The engine finishes a create whose caller it has lost, so that the container may be there
        only after we have looked for it: then the next try removes it.
        """
        try:
            found = await self._inner.inspect_container(spec.name)
        except NotFound:
            return True
        except K3dAsyncError:
            return False
        is_ours = may_be_ours and spec.labels.items() <= found.state.labels.items()
        return is_ours or found.state.status in {Status.REMOVING, Status.DEAD}

    async def connect_network(
        self, container: str, network: str, *, address: str | None, labels: Mapping[str, str]
    ) -> None:
        tries = 0

        async def attempt() -> None:
            nonlocal tries
            tries += 1
            try:
                await self._inner.connect_network(
                    container, network, address=address, labels=labels
                )
            except Conflict:
                if tries == 1:
                    raise  # else the try before has done it

        await repeated(attempt)

    # ---- what cannot be repeated: a stream that has begun, a command that may have run

    def export_images(
        self, tags: Sequence[str]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._inner.export_images(tags)

    async def build_image(
        self, context: AsyncIterator[bytes] | None, spec: BuildSpec, say: Callable[[str], None]
    ) -> None:
        await self._inner.build_image(context, spec, say)

    async def execute(
        self,
        name: str,
        command: Sequence[str],
        *,
        stdin: AsyncIterator[bytes] | None = None,
        take: Take | None = None,
    ) -> Executed:
        return await self._inner.execute(name, command, stdin=stdin, take=take)

    def converse(
        self, name: str, command: Sequence[str]
    ) -> AbstractAsyncContextManager[AnyByteStream]:
        return self._inner.converse(name, command)

    def follow_logs(
        self, name: str, *, tail: int | None = None, since: int = 0, follow: bool = True
    ) -> AbstractAsyncContextManager[AsyncIterator[LogLine]]:
        return self._inner.follow_logs(name, tail=tail, since=since, follow=follow)

    def container_events(
        self, labels: Mapping[str, str]
    ) -> AbstractAsyncContextManager[AsyncIterator[ContainerEvent]]:
        return self._inner.container_events(labels)
