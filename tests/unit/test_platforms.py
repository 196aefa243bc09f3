"""An engine that has some platforms of an image exports one of these, not a broken whole."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from k3dasync.docker.platforms import knows_platforms, wanted_platform
from k3dasync.docker.runtime import DockerRuntime

AMD, ARM = ({"os": "linux", "architecture": one} for one in ("amd64", "arm64"))


def manifest(
    platform: dict[str, str], *, is_there: bool = True, kind: str = "image"
) -> dict[str, Any]:
    """Return an entry as the engine lists it; what is not there has no platform it could know."""
    data = {"ImageData": {"Platform": platform}} if is_there else {}
    return {"Kind": kind, "Available": is_there, **data}


def image(tag: str, *manifests: dict[str, Any]) -> dict[str, Any]:
    return {"Id": f"sha256:{tag}", "RepoTags": [tag], "Manifests": list(manifests)}


WHOLE = image("whole:1", manifest(AMD), manifest(ARM))
PULLED = image("pulled:1", manifest(AMD), manifest(ARM, is_there=False))
BOTH = image("both:1", manifest(ARM), manifest(AMD), manifest(AMD, is_there=False))
UNSIGNED = image("unsigned:1", manifest(AMD), manifest(AMD, is_there=False, kind="attestation"))
FOREIGN = image("foreign:1", manifest(ARM), manifest(AMD, is_there=False))
PLAIN = {"Id": "sha256:plain", "RepoTags": ["plain:1"]}
ALL = [WHOLE, PULLED, BOTH, UNSIGNED, FOREIGN, PLAIN]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["whole:1"], None),
        (["plain:1"], None),
        (["pulled:1"], AMD),
        (["unsigned:1"], AMD),
        (["both:1"], AMD),
        (["foreign:1"], ARM),
        (["pulled:1", "whole:1", "plain:1"], AMD),
        (["pulled:1", "foreign:1"], None),
        (["none:1"], None),
    ],
)
def test_one_platform_where_something_is_missing(
    tags: list[str], expected: dict[str, str] | None
) -> None:
    """The engine's own if it is there, and one that all images of the export have."""
    found = wanted_platform(ALL, tags, "x86_64")

    assert expected == (found and json.loads(found))


def test_the_engines_own_platform_is_preferred() -> None:
    """Its nodes have that; kernels have other names for it."""
    assert ARM == json.loads(wanted_platform(ALL, ["both:1"], "aarch64") or "")
    assert ARM == json.loads(wanted_platform(ALL, ["both:1"], "riscv64") or "")


@pytest.mark.parametrize(
    ("version", "expected"), [("v1.41", False), ("v1.48", True), ("1.51", True), ("x", False)]
)
def test_older_engines_are_not_asked(version: str, expected: bool) -> None:
    """They know no such parameter, and ignore what they do not know."""
    assert expected == knows_platforms(version)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[tuple[str, list[str]]]:
    """Return an engine of the newer kind as far as an export looks, and what it is asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        path = request.path.removeprefix("/v1.48")
        if path == "/images/json":
            return web.json_response(ALL)
        if path == "/info":
            return web.json_response({"Architecture": "x86_64"})
        if path == "/images/get":
            asked.append(request.query.get("platform", ""))
            return web.Response(body=b"archive")
        return web.Response(headers={"Api-Version": "1.48"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    path = str(tmp_path / "engine.sock")
    await web.UnixSite(runner, path).start()
    yield f"unix://{path}", asked
    await runner.cleanup()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_engine_is_asked_for_it(engine: tuple[str, list[str]]) -> None:
    """Only where it is needed: an image that is whole keeps its platforms."""
    url, asked = engine
    async with DockerRuntime(environ={"DOCKER_HOST": url, "HOME": "/nonexistent"}) as runtime:
        for tag in ("pulled:1", "whole:1"):
            async with runtime.export_images([tag]) as pieces:
                assert b"archive" == b"".join([piece async for piece in pieces])

    assert [AMD, ""] == [json.loads(one) if one else one for one in asked]
