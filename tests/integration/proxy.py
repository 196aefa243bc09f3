"""Sockets of our own in front of the engine's: cut, or moody, without stopping anything."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar


class Proxy:
    """Hands everything on to the engine at *target* until it is cut, and again when opened."""

    def __init__(self, path: Path, target: str) -> None:
        self._path, self._target = path, target
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._path}"

    def open(self) -> None:
        """Listen, on the same path each time."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen(64)
        self._run(self._accept, self._listener)

    def cut(self) -> None:
        """End every connection, and take no more: as an engine that is gone."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener = None
            self._path.unlink()
        for one in tuple(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        while self._threads:
            self._threads.pop().join(timeout=10)

    def _run(self, work: Callable[..., None], *sockets: socket.socket) -> threading.Thread:
        thread = threading.Thread(target=work, args=sockets, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        with listener, suppress(OSError):
            while True:
                here, _ = listener.accept()
                self._run(self._connect, here)

    def _connect(self, here: socket.socket) -> None:
        with here, socket.socket(socket.AF_UNIX) as there, suppress(OSError):
            there.connect(self._target)
            self._open |= {here, there}
            back = threading.Thread(target=_pump, args=(there, here), daemon=True)
            back.start()
            self._forward(here, there)
            back.join()
            self._open -= {here, there}

    def _forward(self, here: socket.socket, there: socket.socket) -> None:
        _pump(here, there)


class Mood(StrEnum):
    """What becomes of a request: an answer of 503, a cut line before it arrives, or one after."""

    BUSY = "busy"
    LOST = "lost"
    UNANSWERED = "unanswered"


class MoodyProxy(Proxy):
    """Hands on all requests but, for each text of `mooded`, the first few that have it."""

    def __init__(self, path: Path, target: str) -> None:
        super().__init__(path, target)
        self.mood = Mood.BUSY
        self.mooded: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def _is_due(self, request: bytes) -> bool:
        with self._lock:
            for begin, times in self.mooded.items():
                if times and begin in request.partition(b"\r\n")[0]:
                    self.mooded[begin] = times - 1
                    return True
        return False

    def _forward(self, here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := here.recv(65536):
                if self._is_due(data):
                    self._mistreat(here, there, data)
                    return
                there.sendall(data)
        with suppress(OSError):
            there.shutdown(socket.SHUT_WR)

    def _mistreat(self, here: socket.socket, there: socket.socket, data: bytes) -> None:
        if self.mood is Mood.UNANSWERED:
            whole = _whole(here, data)
            here.shutdown(socket.SHUT_RDWR)
            there.sendall(whole)  # whoever brings the answer back finds nobody
            return
        if self.mood is Mood.BUSY:
            here.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        for one in (here, there):
            one.shutdown(socket.SHUT_RDWR)


def _whole(source: socket.socket, data: bytes) -> bytes:
    """Return a request with all of its body."""
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length is not None and len(body) < int(length[1]):
        more = source.recv(65536)
        data, body = data + more, body + more
    return data


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


ProxyT = TypeVar("ProxyT", bound=Proxy)


@contextmanager
def proxy(engine: str, kind: type[ProxyT]) -> Iterator[ProxyT]:
    """Open a proxy for the engine at a `unix://` address."""
    with TemporaryDirectory(prefix="k3dasync-") as folder:
        one = kind(Path(folder, "engine.sock"), engine.removeprefix("unix://"))
        one.open()
        try:
            yield one
        finally:
            one.cut()
