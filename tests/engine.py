"""What tests need of a real container engine: that there is one, and that they leave nothing."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from k3dasync.errors import K3dAsyncError

NODE_IMAGE = os.environ.get("K3D_IMAGE", "k3dasync-dev/node:standin")
"""A stand-in for k3s, built without a registry; it has a busybox shell."""


@pytest.fixture(scope="session")
def engine_url() -> str:
    """Return the address of the engine that answers, or fail with the command that starts one."""
    from k3dasync.docker.endpoint import resolve
    from k3dasync.docker.runtime import DockerRuntime

    async def reach() -> str:
        async with DockerRuntime() as runtime:
            if not await runtime.has_image(NODE_IMAGE):
                pytest.fail(f"there is no image {NODE_IMAGE}; run: dev/images --standin")
        return resolve(os.environ, Path.home()).url

    try:
        return anyio.run(reach)
    except K3dAsyncError as error:
        pytest.fail(f'{error}\nstart an engine for the tests with: export "$(dev/engine up)"')


@pytest.fixture
def docker_host(engine_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let everything in this test use the real engine, and return its address."""
    monkeypatch.setenv("DOCKER_HOST", engine_url)
    for name in ("DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return engine_url


@pytest.fixture
def own_name(docker_host: str) -> Iterator[str]:
    """Return a name for a cluster that nobody else has; nothing with it in its name may remain.

    Not "everything is as before": others may use the same engine at the same time. What remains is
    removed, so that one test's leak is not the next one's.
    """
    name = f"t{secrets.token_hex(4)}"
    yield name
    assert [] == anyio.run(remove_all, name), "left on the engine (and removed now)"


async def remove_all(part: str) -> list[str]:
    """Remove everything whose name contains *part*, and say what there was."""
    from k3dasync.docker.runtime import DockerRuntime

    removed: list[str] = []
    async with DockerRuntime() as runtime:
        for container in await runtime.containers():
            if part in container.name:
                await runtime.remove_container(container.name, {})
                removed.append(f"container {container.name}")
        removed += [
            f"network {network.name}"
            for network in await runtime.networks()
            if part in network.name and await runtime.remove_network(network.name, {})
        ]
        removed += [
            f"volume {volume.name}"
            for volume in await runtime.volumes()
            if part in volume.name and await runtime.remove_volume(volume.name, {})
        ]
    return removed
