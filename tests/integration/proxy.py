"""A socket of its own in front of the engine's, that can be cut without stopping anything."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory


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
            _pump(here, there)
            back.join()
            self._open -= {here, there}


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def proxy(engine: str) -> Iterator[Proxy]:
    """Open a proxy for the engine at a `unix://` address."""
    with TemporaryDirectory(prefix="k3dasync-") as folder:
        one = Proxy(Path(folder, "engine.sock"), engine.removeprefix("unix://"))
        one.open()
        try:
            yield one
        finally:
            one.cut()
