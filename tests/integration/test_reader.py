"""The light reader of a local engine: the same answers as the runtime, and the same refusals."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from k3dasync.docker.endpoint import Endpoint, resolve
from k3dasync.docker.reader import SocketReader
from k3dasync.docker.runtime import DockerRuntime
from k3dasync.errors import EngineError, EngineUnavailable, NotFound
from k3dasync.runtime import ContainerSpec, File, VolumeSpec
from tests.engine import NODE_IMAGE
from tests.support import asyncio_only

RUN = "k3dasync.run"


@asyncio_only
@pytest.mark.engine
async def test_it_answers_as_the_runtime_does(own_name: str) -> None:
    """Containers, networks, volumes, one container in detail, a file of it: equal values."""
    labels = {RUN: own_name}
    reader = SocketReader(resolve(os.environ, Path.home()))
    await reader.open()
    async with DockerRuntime() as runtime:
        networks = [one for one in await runtime.networks() if one.name == "bridge"]
        await runtime.create_volume(VolumeSpec(name=own_name, labels=labels))
        for suffix, network in (("a", "bridge"), ("b", networks[0].id)):
            spec = ContainerSpec(
                name=f"{own_name}-{suffix}",
                image=NODE_IMAGE,
                network=network,
                labels=labels,
                binds=(f"{own_name}:/data",),
            )
            await runtime.create_container(spec)

        assert 2 == len(await reader.containers(labels))
        assert await runtime.containers(labels) == await reader.containers(labels)
        assert await runtime.volumes(labels) == await reader.volumes(labels)
        assert networks == [one for one in await reader.networks() if one.name == "bridge"]
        name = f"{own_name}-b"
        assert await runtime.inspect_container(name) == await reader.inspect_container(name)
        with pytest.raises(NotFound):
            await reader.inspect_container(f"{own_name}-c")
        await runtime.write_files(name, [File(path="/etc/said", content=b"hello")])
        assert b"hello" == await reader.read_file(name, "/etc/said")
        with pytest.raises(NotFound):
            await reader.read_file(name, "/etc/unsaid")
        with pytest.raises(EngineError, match="it is no file"):
            await reader.read_file(name, "/etc")
        for suffix in "ab":
            assert await runtime.remove_container(f"{own_name}-{suffix}", labels)
        assert await runtime.remove_volume(own_name, labels)


def at(path: Path) -> SocketReader:
    return SocketReader(Endpoint(url=f"unix://{path}", origin="DOCKER_HOST"))


@asyncio_only
async def test_no_engine_is_said_in_one_line(tmp_path: Path) -> None:
    """As by the runtime: where it was looked for and what to do."""
    with pytest.raises(EngineUnavailable, match=r"no container engine: unix://.*; start Docker"):
        await at(tmp_path / "nothing").open()


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Path]:
    """Listen on a socket, and answer what no engine would."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

        thread = threading.Thread(target=answer)
        thread.start()
        yield path
        thread.join()


@asyncio_only
async def test_something_that_is_no_engine_is_called_so(stranger: Path) -> None:
    """Whatever answers there says nothing of an API."""
    with pytest.raises(EngineUnavailable, match="what answers there is no container engine"):
        await at(stranger).open()
