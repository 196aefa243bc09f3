"""A container engine in memory: the rules of a real one, its times, and trouble on order."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

import anyio

from k3dasync.build import BuildSpec
from k3dasync.errors import ImageUnavailable, NotFound
from k3dasync.fake import archives, builder
from k3dasync.fake.calls import Calls
from k3dasync.fake.containers import Containers
from k3dasync.fake.cores import Cores
from k3dasync.fake.faults import Faults
from k3dasync.fake.host import TOLD
from k3dasync.fake.laboratory import default_images
from k3dasync.fake.latency import Cost, Latency
from k3dasync.fake.machine import Machine
from k3dasync.image_errors import BuildFailed
from k3dasync.limits import Limits
from k3dasync.runtime import (
    ContainerEvent,
    EngineFacts,
    ImageState,
    PullProgress,
)

NOWHERE = "nonexistent.invalid"
"""A registry that cannot be there: its top-level domain is reserved for that."""
IMAGE_BYTES = 75_000_000
"""The download of every image: k3s's is about that."""
PULL_STEPS = 20
"""Reports of one pull: enough to see it move."""
_LATENCY, _LIMITS = Latency(), Limits()


def _unheard(_done: int, _total: int | None) -> None:
    """Be told how far a base is: a build says nothing of it."""


class FakeRuntime(Containers):
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
        self.faults = faults if faults is not None else Faults()
        super().__init__(latency, Calls(self.faults, limits))
        self.unpullable: set[str] = set()
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
            return list({one.id: one for one in self._machine.inventory.images.values()}.values())

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

    async def build_image(
        self, context: AsyncIterator[bytes] | None, spec: BuildSpec, say: Callable[[str], None]
    ) -> None:
        async with self._calls.read("build_image", ",".join(spec.tags)):
            made = await builder.recipe(context, spec, say)
            known = {tag for one in await self.images() for tag in one.tags}
            for base in made.bases:
                if not known & set(archives.image(base, 0).tags):
                    await self._fetch(base, spec)
            await self._spend(self.latency.engine.copy)
            self._name(made.image, spec.tags)
            say(f"Successfully built {made.image.id.removeprefix('sha256:')[:12]}")

    def _name(self, image: ImageState, names: Sequence[str]) -> None:
        """Let an image have these names, which others lose."""
        images = self._machine.inventory.images
        for key, other in tuple(images.items()):
            if other.id != image.id and set(other.tags) & set(image.tags):
                tags = tuple(tag for tag in other.tags if tag not in image.tags)
                images[key] = replace(other, tags=tags)
        images.update(dict.fromkeys(names, image))

    async def _fetch(self, base: str, spec: BuildSpec) -> None:
        try:
            await self.pull_image(base, _unheard)
        except ImageUnavailable as error:
            raise BuildFailed(spec.tags, error.words) from error

    @asynccontextmanager
    async def container_events(
        self, labels: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[ContainerEvent]]:
        async with self._calls.read("container_events"):
            await self._spend(self.latency.engine.read)
        async with self._machine.events(labels) as stream:
            yield stream
