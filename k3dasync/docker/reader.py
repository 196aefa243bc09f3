"""Reading an engine on this machine without aiohttp, whose import takes longer than `list` may.

The same questions as of DockerRuntime, by the standard library over the engine's socket;
the same contract tests hold for it.
"""

import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from anyio import to_thread

from k3dasync.docker import translate
from k3dasync.docker.endpoint import Endpoint, unavailable
from k3dasync.errors import EngineUnavailable
from k3dasync.runtime import ContainerDetail, ContainerState, NetworkState, VolumeState

TIMEOUT = 60.0
"""For one answer. Listings take 1-2 ms; an engine that is starting 100 containers takes seconds."""


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class SocketReader:
    """An EngineReader at a Unix socket; `open` asks it for the version it speaks.

    Raises EngineUnavailable if nothing answers there.
    """

    def __init__(self, endpoint: Endpoint, timeout: float = TIMEOUT) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._path = urlsplit(endpoint.url).path
        self._version = ""

    async def open(self) -> None:
        """Find out which version of the API to speak; raises EngineUnavailable if none."""
        header = (await to_thread.run_sync(self._request, "/_ping"))[1]
        version = translate.api_version(header)
        if version is None:
            raise unavailable(self._endpoint, "what answers there is no container engine", None)
        self._version = f"/{version}"

    async def containers(self, labels: Mapping[str, str] | None = None) -> Sequence[ContainerState]:
        found = await self._list("containers", "containers/json", labels, all="1")
        names = await self._network_names(found)
        return [translate.listed_container(entry, names) for entry in found]

    async def networks(self, labels: Mapping[str, str] | None = None) -> Sequence[NetworkState]:
        found = await self._list("networks", "networks", labels)
        return [translate.network(entry) for entry in found]

    async def volumes(self, labels: Mapping[str, str] | None = None) -> Sequence[VolumeState]:
        found = await self._list("volumes", "volumes", labels)
        return [translate.volume(entry) for entry in found.get("Volumes") or []]

    async def inspect_container(self, name: str) -> ContainerDetail:
        path = f"containers/{quote(name, safe='')}/json"
        found = await self._ask("inspect", f"container {name}", path)
        return translate.inspected_container(found, await self._network_names([found]))

    async def read_file(self, name: str, path: str) -> bytes:
        from k3dasync.docker import archive

        target, resource = path, f"file {path} of {name}"
        for _ in range(archive.LONGEST_LINKS):
            packed = await self._answer(
                "read",
                resource,
                f"containers/{quote(name, safe='')}/archive?{urlencode({'path': target})}",
            )
            content, target = archive.packed_file(packed, target, resource)
            if content is not None:
                return content
        raise archive.too_many_links(resource)

    async def _network_names(self, found: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        if not translate.shows_network_ids(found):
            return {}
        return {state.id: state.name for state in await self.networks()}

    async def _list(
        self, what: str, path: str, labels: Mapping[str, str] | None, **more: str
    ) -> Any:
        query = urlencode({"filters": json.dumps(translate.filters(labels)), **more})
        return await self._ask("list", what, f"{path}?{query}")

    async def _ask(self, operation: str, resource: str, path: str) -> Any:
        return json.loads(await self._answer(operation, resource, path))

    async def _answer(self, operation: str, resource: str, path: str) -> bytes:
        ask = partial(self._request, f"{self._version}/{path}")
        status, _, body = await to_thread.run_sync(ask)
        if status >= 400:
            answer = json.loads(body)
            words = str(answer.get("message", answer))
            raise translate.engine_error(operation, resource, status, words)
        return body

    def _request(self, path: str) -> tuple[int, str, bytes]:
        """Return status, the header with the newest version it speaks, and body."""
        connection = _SocketConnection(self._path, self._timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Api-Version", ""), answer.read()
        except OSError as error:
            raise self._gone(error.strerror or str(error), error.errno) from error
        except http.client.HTTPException as error:
            raise self._gone(f"no HTTP: {error!r}", None) from error
        finally:
            connection.close()

    def _gone(self, reason: str, number: int | None) -> EngineUnavailable:
        return unavailable(self._endpoint, reason, number)
