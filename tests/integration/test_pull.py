"""A real engine pulls from a registry in this test, which wants a login."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from k3dasync.docker.runtime import DockerRuntime
from k3dasync.errors import ImageUnavailable
from tests.support import asyncio_only

pytestmark = [pytest.mark.engine, asyncio_only]

LOGIN = base64.b64encode(b"me:secret").decode()
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Registry:
    """Serves one image of one layer, under any name and tag but `none`."""

    def __init__(self, seed: str) -> None:
        self.port = 0
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            file = tarfile.TarInfo("hello")
            file.size = len(seed)
            archive.addfile(file, io.BytesIO(seed.encode()))
        layer = gzip.compress(content.getvalue())
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [digest(content.getvalue())]},
            }
        ).encode()
        self.blobs = {digest(blob): blob for blob in (layer, config)}
        described = [
            {"mediaType": kind, "size": len(blob), "digest": digest(blob)}
            for kind, blob in (
                ("application/vnd.docker.container.image.v1+json", config),
                ("application/vnd.docker.image.rootfs.diff.tar.gzip", layer),
            )
        ]
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": described[0],
                "layers": described[1:],
            }
        ).encode()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Speak as much of a registry's protocol as a pull needs."""
        if request.headers.get("Authorization") != f"Basic {LOGIN}":
            return web.json_response(
                {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]},
                status=401,
                headers={"WWW-Authenticate": 'Basic realm="test"'},
            )
        *_, kind, name = request.path.split("/")
        if kind == "manifests" and name != "none":
            headers = {"Docker-Content-Digest": digest(self.manifest), "Content-Type": MANIFEST}
            return web.Response(body=self.manifest, headers=headers)
        if kind == "blobs":
            return web.Response(body=self.blobs[name])
        if kind == "manifests":
            said = {"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}
            return web.json_response({"errors": [said]}, status=404)
        return web.json_response({})


@pytest.fixture
async def registry(own_name: str) -> AsyncIterator[Registry]:
    """Return a registry on this machine, whose images go when the test ends."""
    registry = Registry(own_name)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", registry.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    registry.port = runner.addresses[0][1]
    yield registry
    await runner.cleanup()
    async with DockerRuntime() as runtime:
        for image in await runtime._engine.docker.images.list():
            for tag in image["RepoTags"] or []:
                if own_name in tag:
                    await runtime._engine.docker.images.delete(tag)


def log_in(home: Path, registry: str) -> None:
    folder = home / ".docker"
    folder.mkdir()
    said = json.dumps({"auths": {registry: {"auth": LOGIN}}})
    (folder / "config.json").write_text(said)


async def test_an_image_is_pulled_with_the_user_s_login(
    registry: Registry, own_name: str, own_directories: Path
) -> None:
    """It is there when the call returns; the last report is of all its bytes."""
    log_in(own_directories, f"localhost:{registry.port}")
    image = f"localhost:{registry.port}/{own_name}/image:1"
    told: list[tuple[int, int | None]] = []
    async with DockerRuntime() as runtime:
        before = await runtime.has_image(image)
        await runtime.pull_image(image, lambda done, total: told.append((done, total)))
        after = await runtime.has_image(image)

    assert (False, True) == (before, after)
    done, total = told[-1]
    assert done == total
    assert sorted(one for one, _ in told) == [one for one, _ in told]


async def test_without_a_login_the_registry_refuses(registry: Registry, own_name: str) -> None:
    """And the message says what to do about it."""
    async with DockerRuntime() as runtime:
        with pytest.raises(ImageUnavailable, match="docker login"):
            await runtime.pull_image(
                f"localhost:{registry.port}/{own_name}/image:1", lambda *_: None
            )


async def test_a_tag_that_the_registry_lacks(
    registry: Registry, own_name: str, own_directories: Path
) -> None:
    """The name is the first thing to look at."""
    log_in(own_directories, f"localhost:{registry.port}")
    async with DockerRuntime() as runtime:
        with pytest.raises(ImageUnavailable, match=r"image:none: .*; check the image's name"):
            await runtime.pull_image(
                f"localhost:{registry.port}/{own_name}/image:none", lambda *_: None
            )
