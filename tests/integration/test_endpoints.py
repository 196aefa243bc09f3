"""A real engine behind every kind of address that docker knows."""

import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import asyncssh
import pytest
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener

from k3dasync.docker.runtime import DockerRuntime
from k3dasync.errors import EngineUnavailable
from tests.certificates import Authority
from tests.support import asyncio_only

pytestmark = [pytest.mark.engine, asyncio_only]

AUTHORITY = Authority()
ENOUGH = 30
"""Calls at once: more than sshd's ten sessions."""


@asynccontextmanager
async def engine(url: str) -> AsyncIterator[ByteStream]:
    """Open a connection to the real engine."""
    parts = urlsplit(url)
    stream: ByteStream
    if parts.scheme == "unix":
        stream = await anyio.connect_unix(parts.path)
    else:
        assert parts.hostname
        stream = await anyio.connect_tcp(parts.hostname, parts.port or 2375)
    async with stream:
        yield stream


async def pump(source: ByteStream, target: ByteStream, done: anyio.CancelScope) -> None:
    try:
        async for piece in source:
            await target.send(piece)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    done.cancel()


@asynccontextmanager
async def forwarded(
    url: str, context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """Forward a TCP port of this machine, with TLS or without, to the engine."""

    async def forward(client: ByteStream) -> None:
        async with client, engine(url) as server, anyio.create_task_group() as group:
            group.start_soon(pump, client, server, group.cancel_scope)
            group.start_soon(pump, server, client, group.cancel_scope)

    async with await anyio.create_tcp_listener(local_host=host) as listener:
        served = TLSListener(listener, context, standard_compatible=False) if context else listener
        async with anyio.create_task_group() as group:
            group.start_soon(served.serve, forward)
            yield listener.extra(SocketAttribute.local_port)
            group.cancel_scope.cancel()


def certificates(folder: Path) -> ssl.SSLContext:
    """Write a client's files and return a server's context that asks for them."""
    AUTHORITY.sign("client").write(folder)
    (folder / "ca.pem").write_bytes(AUTHORITY.certificate)
    AUTHORITY.sign("engine").write(folder / "server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "server" / "cert.pem", folder / "server" / "key.pem")
    return context


async def exercise(environ: dict[str, str], url: str) -> str:
    """Use the engine that *environ* leads to for all kinds of calls; return where ports are."""
    async with DockerRuntime(environ={"DOCKER_HOST": url}) as direct:
        expected = await direct.facts()
    async with DockerRuntime(environ=environ) as runtime:
        found = await runtime.facts()
        async with runtime.container_events({"k3dasync.run": "nobody's"}):
            async with anyio.create_task_group() as group:
                for _ in range(ENOUGH):
                    group.start_soon(runtime.containers)
            assert await runtime.networks()
    assert expected.id == found.id
    return found.host


async def test_a_unix_socket(docker_host: str) -> None:
    """The usual way."""
    assert "" == await exercise({"DOCKER_HOST": docker_host}, docker_host)


async def test_tcp(docker_host: str) -> None:
    """Without TLS."""
    async with forwarded(docker_host) as port:
        assert "" == await exercise({"DOCKER_HOST": f"tcp://127.0.0.1:{port}"}, docker_host)


async def test_tcp_with_tls(docker_host: str, tmp_path: Path) -> None:
    """Both sides prove who they are."""
    async with forwarded(docker_host, certificates(tmp_path / "tls")) as port:
        environ = {
            "DOCKER_HOST": f"tcp://127.0.0.1:{port}",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(tmp_path / "tls"),
        }
        assert "" == await exercise(environ, docker_host)


async def test_tcp_with_tls_that_is_not_verified(docker_host: str, tmp_path: Path) -> None:
    """DOCKER_TLS alone encrypts, and takes any server."""
    async with forwarded(docker_host, certificates(tmp_path / "tls")) as port:
        (tmp_path / "tls" / "ca.pem").unlink()
        environ = {
            "DOCKER_HOST": f"tcp://127.0.0.1:{port}",
            "DOCKER_TLS": "1",
            "DOCKER_CERT_PATH": str(tmp_path / "tls"),
        }
        assert "" == await exercise(environ, docker_host)


async def test_a_server_of_another_authority(docker_host: str, tmp_path: Path) -> None:
    """It is not trusted, and the message says that this is why."""
    async with forwarded(docker_host, certificates(tmp_path / "tls")) as port:
        (tmp_path / "tls" / "ca.pem").write_bytes(Authority().certificate)
        environ = {
            "DOCKER_HOST": f"tcp://127.0.0.1:{port}",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(tmp_path / "tls"),
        }
        assert "certificate verify failed" in await refusal(environ)


def write_context(config: Path, name: str, host: str) -> Path:
    """Add a context to docker's configuration; return the folder of its certificates."""
    folder = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts" / "meta" / folder
    meta.mkdir(parents=True)
    said = {"Name": name, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (meta / "meta.json").write_text(json.dumps(said))
    return config / "contexts" / "tls" / folder / "docker"


async def test_contexts(docker_host: str, tmp_path: Path) -> None:
    """The one of the environment, or else the current one."""
    config = tmp_path / "config"
    write_context(config, "good", docker_host)
    write_context(config, "bad", f"unix://{tmp_path}/none.sock")
    (config / "config.json").write_text(json.dumps({"currentContext": "good"}))
    environ = {"DOCKER_CONFIG": str(config)}

    assert "" == await exercise(environ, docker_host)
    assert "docker context bad" in await refusal({**environ, "DOCKER_CONTEXT": "bad"})
    assert "" == await exercise(
        {**environ, "DOCKER_CONTEXT": "bad", "DOCKER_HOST": docker_host}, docker_host
    )


async def test_a_context_with_tls(docker_host: str, tmp_path: Path) -> None:
    """Its certificates are its own."""
    config = tmp_path / "config"
    context = certificates(tmp_path / "tls")
    async with forwarded(docker_host, context) as port:
        files = write_context(config, "secure", f"tcp://127.0.0.1:{port}")
        files.mkdir(parents=True)
        for name in ("ca.pem", "cert.pem", "key.pem"):
            (files / name).write_bytes((tmp_path / "tls" / name).read_bytes())
        environ = {"DOCKER_CONFIG": str(config), "DOCKER_CONTEXT": "secure"}
        assert "" == await exercise(environ, docker_host)


# ---- ssh


class Host:
    """A machine with an engine and an ssh server, which notes what its clients do."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.sessions = self.most_sessions = 0
        self.environments: list[Any] = []
        self.commands: set[str | None] = set()

    async def serve(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        """Do what `docker system dial-stdio` does."""
        self.sessions += 1
        self.most_sessions = max(self.most_sessions, self.sessions)
        self.environments.append(dict(process.env))
        self.commands.add(process.command)
        try:
            async with engine(self._url) as stream, anyio.create_task_group() as group:
                group.start_soon(self._send, process, stream, group.cancel_scope)
                try:
                    async for piece in stream:
                        process.stdout.write(piece)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                    pass
                group.cancel_scope.cancel()
        finally:
            self.sessions -= 1
            process.exit(0)

    async def _send(
        self,
        process: "asyncssh.SSHServerProcess[bytes]",
        stream: ByteStream,
        done: anyio.CancelScope,
    ) -> None:
        while piece := await process.stdin.read(65536):
            await stream.send(piece)
        done.cancel()


@asynccontextmanager
async def ssh_host(url: str, home: Path) -> AsyncIterator[tuple[Host, int]]:
    """Serve ssh on a port of this machine for the key in *home*, which knows the host."""
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    user_key = asyncssh.generate_private_key("ssh-ed25519")
    host = Host(url)
    folder = home / ".ssh"
    folder.mkdir(mode=0o700)
    user_key.write_private_key(folder / "id_ed25519")
    user_key.write_public_key(folder / "authorized_keys")
    async with asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=str(folder / "authorized_keys"),
        process_factory=host.serve,
        encoding=None,
    ) as server:
        port = server.get_port()
        public = host_key.export_public_key().decode().strip()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
        yield host, port


async def test_ssh(
    docker_host: str, own_directories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through `docker system dial-stdio`, few enough sessions, and without our environment."""
    monkeypatch.setenv("K3S_TOKEN", "secret")
    async with ssh_host(docker_host, own_directories) as (host, port):
        url = f"ssh://me@127.0.0.1:{port}"

        assert "" == await exercise({"DOCKER_HOST": url}, docker_host)

    assert {"docker system dial-stdio"} == host.commands
    assert host.most_sessions <= 10
    assert [] == [environ for environ in host.environments if environ]


async def test_an_ssh_host_that_is_not_known(docker_host: str, own_directories: Path) -> None:
    """It is not trusted, and only our one line says so."""
    async with ssh_host(docker_host, own_directories) as (_, port):
        (own_directories / ".ssh" / "known_hosts").write_text("")

        assert "ssh" in await refusal({"DOCKER_HOST": f"ssh://me@127.0.0.1:{port}"})


async def test_an_ssh_host_without_known_hosts(
    docker_host: str, own_directories: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither; and nothing else is written to stderr."""
    said = await refusal({"DOCKER_HOST": "ssh://me@127.0.0.1:1"})
    assert "the host's key is not known" in said
    assert said.endswith("docker -H ssh://me@127.0.0.1:1 version")
    assert "" == capfd.readouterr().err


# ---- no engine


async def refusal(environ: dict[str, str]) -> str:
    """Return what is said when no engine can be used."""
    with pytest.raises(EngineUnavailable) as raised:
        async with DockerRuntime(environ=environ):
            pass
    said = str(raised.value)
    assert 69 == raised.value.exit_code
    assert "\n" not in said
    assert said.startswith("no container engine: ")
    return said


async def test_no_socket(tmp_path: Path) -> None:
    """The address, who gave it, why not, and what to do."""
    url = f"unix://{tmp_path}/none.sock"

    expected = (
        f"no container engine: {url} (DOCKER_HOST): No such file or directory; "
        "start Docker or set DOCKER_HOST"
    )
    assert expected == await refusal({"DOCKER_HOST": url})


async def test_nobody_listens() -> None:
    """The same over TCP."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)

    said = await refusal({"DOCKER_HOST": f"tcp://127.0.0.1:{port}"})

    assert f"tcp://127.0.0.1:{port} (DOCKER_HOST): " in said
    assert said.endswith("; start Docker or set DOCKER_HOST")


async def test_something_else_answers() -> None:
    """A web server is no engine."""

    async def answer(client: ByteStream) -> None:
        async with client:
            await client.receive()
            await client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, answer)
            assert "is no container engine" in await refusal(
                {"DOCKER_HOST": f"tcp://127.0.0.1:{port}"}
            )
            group.cancel_scope.cancel()


async def test_an_engine_that_is_lost_later(docker_host: str) -> None:
    """A call says what it was about, and the end of the events is just an end."""
    async with forwarded(docker_host) as port:
        url = f"tcp://127.0.0.1:{port}"
        runtime = await DockerRuntime(environ={"DOCKER_HOST": url}).__aenter__()
        events = runtime.container_events({"k3dasync.run": "nobody's"})
        stream = await events.__aenter__()
    assert [] == [event async for event in stream]
    await events.__aexit__(None, None, None)
    with pytest.raises(EngineUnavailable, match=rf"cannot list containers: .*{port} is gone: "):
        await runtime.containers()
    await runtime.__aexit__(None, None, None)
