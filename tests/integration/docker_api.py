"""The engine's API by plain calls, as another tool makes them: nothing of ours is in between."""

import http.client
import io
import json
import socket
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

TIMEOUT = 60.0
"""Seconds for one answer, and for one line of a log that is followed."""


class Refused(Exception):
    """The engine said no."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status}: {words}")
        self.status = status


class _Connection(http.client.HTTPConnection):
    """HTTP to a Unix socket or a TCP port."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        port = self._parts.port
        super().__init__(self._parts.hostname or "docker", port, timeout=TIMEOUT)

    def connect(self) -> None:
        if self._parts.scheme != "unix":
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._parts.path)


class DockerApi:
    """One engine, in the version of its API that k3d asks for at least."""

    def __init__(self, url: str, version: str = "v1.41") -> None:
        self._url, self._version = url, version

    @contextmanager
    def _answer(
        self, method: str, call: str, body: object = None, **query: object
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _Connection(self._url)
        packed = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
        try:
            where = f"/{self._version}/{call}?{urlencode(query)}"
            connection.request(method, where, packed, {"Content-Type": kind})
            answer = connection.getresponse()
            if answer.status >= 400:
                raise Refused(answer.status, answer.read().decode())
            yield answer
        finally:
            connection.close()

    def ask(self, method: str, call: str, body: object = None, **query: object) -> Any:
        """Return what the engine answers, read as JSON; raises Refused."""
        with self._answer(method, call, body, **query) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def get(self, call: str, **query: object) -> Any:
        return self.ask("GET", call, **query)

    def post(self, call: str, body: object = None, **query: object) -> Any:
        return self.ask("POST", call, body, **query)

    def delete(self, call: str, **query: object) -> None:
        self.ask("DELETE", call, **query)

    def labelled(self, what: str, *labels: str, **query: object) -> Any:
        """Return what carries all of these labels: `containers/json`, `networks`, `volumes`."""
        return self.get(what, filters=json.dumps({"label": list(labels)}), **query)

    def read_tar(self, container: str, path: str) -> bytes:
        """Return a file as the engine hands it out: inside an archive."""
        with self._answer("GET", f"containers/{container}/archive", path=path) as answer:
            return answer.read()

    def write(self, container: str, path: str, content: bytes, mode: int = 0o644) -> None:
        """Put one file into a container, under its full path."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
        self.ask("PUT", f"containers/{container}/archive", packed.getvalue(), path="/")

    def run_inside(self, container: str, *command: str) -> str:
        """Run a command in a container and return what it says; raises Refused if it fails."""
        asked = {
            "Cmd": command,
            "Privileged": True,
            "Tty": True,
            "AttachStdout": True,
            "AttachStderr": True,
        }
        id = self.post(f"containers/{container}/exec", asked)["Id"]
        with self._answer("POST", f"exec/{id}/start", {"Detach": False, "Tty": True}) as answer:
            said = answer.read().decode()
        code = self.get(f"exec/{id}/json")["ExitCode"]
        if code:
            raise Refused(code, f"{command} in {container}: {said}")
        return said.replace("\r\n", "\n")

    def log(self, container: str, *, since: int = 0) -> Iterator[bytes]:
        """Follow what a container says from a second on, line by line, frame headers included."""
        asked: Mapping[str, object] = {"stdout": 1, "stderr": 1, "follow": 1, "since": since}
        with self._answer("GET", f"containers/{container}/logs", **asked) as answer:
            while line := answer.readline():
                yield line
