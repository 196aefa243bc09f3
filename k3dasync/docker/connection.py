"""One connection to an engine: how it is opened and closed, and what goes wrong with it.

The only place that knows aiodocker, and the only one where its and aiohttp's exceptions become
ours. aiodocker speaks the API; the connections below it are ours, because it limits its own to
100, and asks `/version` (0.1 s) where `/_ping` (1 ms) says the same.
"""

import json
import logging
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiodocker
import aiohttp
import anyio

from k3dasync.docker import translate
from k3dasync.docker.endpoint import Endpoint, Tls, unavailable
from k3dasync.errors import EngineUnavailable
from k3dasync.jsonlines import JsonLines

CONNECT_TIMEOUT = 5.0
"""An engine on this machine answers a ping in 1-2 ms, one across the world in 1 s."""
SSH_CONNECT_TIMEOUT = 30.0
"""docker's own for the same: a handshake, perhaps over a jump host, perhaps with a key to touch."""
SSH_SESSIONS = 8
"""Connections at a time, each a session in one ssh connection: sshd refuses more than 10 of them
(its default MaxSessions), and one that is closing still counts."""
CLOSE_TIMEOUT = 5.0
"""A connection that does not close in this time is left to the end of the process."""
EXIT_PAUSE = 0.01
"""The engine ends a command's output a moment before it knows the exit code."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connected engine: its API by `docker`, its streams by `stream`."""

    docker: aiodocker.Docker
    session: aiohttp.ClientSession
    base: str
    endpoint: Endpoint

    @contextmanager
    def mapped(self, operation: str, resource: str) -> Iterator[None]:
        """Raise our errors for the foreign ones of the calls inside."""
        try:
            yield
        except aiodocker.DockerError as error:
            if error.status == 900:  # aiodocker's own status for: not reached
                raise self._lost(operation, resource, _reason(error)) from error
            raise translate.engine_error(
                operation, resource, error.status, error.message
            ) from error
        except aiohttp.ClientError as error:
            raise self._lost(operation, resource, _reason(error)) from error
        except TimeoutError as error:  # before OSError, of which it is one
            raise translate.engine_error(
                operation, resource, 0, "the engine did not answer in time"
            ) from error
        except OSError as error:
            raise self._lost(operation, resource, _reason(error)) from error

    def _lost(self, operation: str, resource: str, reason: str) -> EngineUnavailable:
        return EngineUnavailable(
            f"cannot {operation} {resource}: the container engine at {self.endpoint.shown} "
            f"is gone: {reason}; check that it runs, then repeat",
            is_passing=True,
        )

    @asynccontextmanager
    async def content(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | Sequence[tuple[str, str]],
        headers: Mapping[str, str] | None = None,
        data: AsyncIterator[bytes] | None = None,
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """Ask for a stream of bytes, and close it on leaving, however that happens.

        Not by aiodocker, whose streams keep the connection until somebody collects the garbage.
        Entered when the engine has answered; raises foreign errors, so use it inside `mapped`.
        """
        url = f"{self.base}/{self.docker.api_version}/{path}"
        async with self.session.request(
            method, url, params=params, headers=headers, data=data
        ) as answer:
            if answer.status >= 400:
                raise aiodocker.DockerError(answer.status, await answer.text())
            yield answer.content

    async def json(self, path: str, params: Mapping[str, str]) -> Any:
        """Ask for what aiodocker has no words for; raises foreign errors, as `content` does."""
        async with self.content("GET", path, params=params) as content:
            return json.loads(await content.read())

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[JsonLines]:
        """Open a stream of JSON documents; otherwise like `content`."""
        async with self.content(method, path, params=params, headers=headers) as content:
            yield JsonLines(content.iter_any())

    @asynccontextmanager
    async def events(self, filters: Mapping[str, Any]) -> AsyncIterator[JsonLines]:
        """Open the stream of events; none that happens after entering is lost. Like `stream`."""
        params = {"filters": json.dumps(filters)}
        async with self.stream("GET", "events", params=params) as documents:
            # The engine sends its headers just before it subscribes (20.10). By the time it has
            # answered another question it has subscribed; that costs 1-2 ms.
            await self.ping()
            yield documents

    async def ping(self) -> None:
        """Ask for nothing; the answer proves that what was asked for before has arrived."""
        async with self.session.get(f"{self.base}/_ping") as answer:
            await answer.read()

    async def run_inside(self, container: str, command: Sequence[str]) -> None:
        """Run a command in a running container as root; raises DockerError if it fails."""
        target = self.docker.containers.container(container)
        process = await target.exec(list(command), user="0")
        said: list[str] = []
        # Read to the end before closing: what comes after a close is lost.
        async with process.start(detach=False) as output:
            while (message := await output.read_out()) is not None:
                said.append(message.data.decode(errors="replace"))
        while (state := await process.inspect())["Running"]:  # noqa: ASYNC110 - there is no event
            await anyio.sleep(EXIT_PAUSE)
        if state["ExitCode"] != 0:
            words = "".join(said) or f"{command[0]} exited with code {state['ExitCode']}"
            raise aiodocker.DockerError(500, words)

    async def path_exists(self, container: str, path: str) -> bool:
        """Say whether there is such a path in a container."""
        url = f"{self.base}/{self.docker.api_version}/containers/{container}/archive"
        async with self.session.head(url, params={"path": path}) as answer:
            return answer.status == 200


@asynccontextmanager
async def connect(endpoint: Endpoint) -> AsyncIterator[Connection]:
    """Connect to the engine at *endpoint*; raises EngineUnavailable if none answers there."""
    # Without a handler, logging writes what aiodocker and asyncssh have to say about a failed
    # connection to stderr, where our one line about it belongs.
    for library in ("aiodocker", "asyncssh"):
        logging.getLogger(library).addHandler(logging.NullHandler())
    with _unreachable(endpoint):
        connector, base = _connector(endpoint)
    try:
        # Deadlines are set round each call; aiohttp would cut long streams at 5 minutes.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
        async with aiohttp.ClientSession(
            connector=connector, connector_owner=False, timeout=timeout
        ) as session:
            is_ssh = endpoint.url.startswith("ssh://")
            with _unreachable(endpoint):
                with anyio.fail_after(SSH_CONNECT_TIMEOUT if is_ssh else CONNECT_TIMEOUT):
                    version = await _api_version(session, base)
            docker = aiodocker.Docker(
                url=base, connector=connector, session=session, api_version=version
            )
            yield Connection(docker=docker, session=session, base=base, endpoint=endpoint)
    finally:
        with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
            await connector.close()


def _connector(endpoint: Endpoint) -> tuple[aiohttp.BaseConnector, str]:
    """Return what makes connections, without aiohttp's limit of 100, and the address to ask."""
    parts = urlsplit(endpoint.url)
    if parts.scheme == "unix":
        return aiohttp.UnixConnector(parts.path, limit=0), "http://docker"
    if parts.scheme == "ssh":
        return _ssh_connector(endpoint.url), "http://docker"
    if endpoint.tls is None:
        return aiohttp.TCPConnector(limit=0), f"http://{parts.netloc}"
    return aiohttp.TCPConnector(limit=0, ssl=_tls(endpoint.tls)), f"https://{parts.netloc}"


def _ssh_connector(url: str) -> aiohttp.BaseConnector:
    from aiodocker.ssh import SSHConnector  # 0.2 s, only for those who need it

    class Connector(SSHConnector):
        # aiodocker offers this machine's whole environment, tokens included, to the other one.
        def _clean_environment(self) -> dict[str, str]:
            return {}

    connector = Connector(url)
    connector._limit = SSH_SESSIONS  # noqa: SLF001 - it has no parameter for it
    return connector


def _tls(tls: Tls) -> ssl.SSLContext:
    for path in (tls.ca, tls.certificate, tls.key):
        if path is not None and not path.is_file():
            raise OSError(f"there is no {path}")
    context = ssl.create_default_context(cafile=tls.ca)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate is not None and tls.key is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


async def _api_version(session: aiohttp.ClientSession, base: str) -> str:
    async with session.get(f"{base}/_ping") as answer:
        await answer.read()
        version = translate.api_version(answer.headers.get("Api-Version", ""))
        if answer.status != 200 or version is None:
            raise OSError(f"what answers there is no container engine (status {answer.status})")
    return version


@contextmanager
def _unreachable(endpoint: Endpoint) -> Iterator[None]:
    """Raise EngineUnavailable, on one line, for whatever keeps us from an engine."""
    try:
        yield
    except (aiodocker.DockerError, aiohttp.ClientError, OSError, ValueError) as error:
        raise unavailable(endpoint, _reason(error), _errno(error)) from error


def _errno(error: BaseException) -> int | None:
    inner: Any = getattr(error, "os_error", error)
    number = getattr(inner, "errno", None)
    return number if isinstance(number, int) else None


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiodocker.DockerError):
        cause = error.__context__
        known = isinstance(cause, aiohttp.ClientError)
        if known and isinstance(cause, Exception):
            return _reason(cause)
        if "strict_host_keys" in error.message:  # its advice to programmers, for a missing file
            return "the host's key is not known, there is no ~/.ssh/known_hosts"
        return error.message
    inner = getattr(error, "os_error", error)
    words = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return translate.one_line(str(words))
