"""A socket of its own in front of the engine's, that can be cut without stopping anything."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory


class Proxy:
    """Hands everything on to the engine at *target* until it is cut, and again when opened."""

    def __init__(self, path: Path, target: str) -> None:
        self._path, self._target = path, target
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._path}"

    def open(self) -> None:
        """Listen, on the same path each time."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """End every connection, and take no more: as an engine that is gone."""
        with self._lock:
            if self._listener is not None:
                self._listener.shutdown(socket.SHUT_RDWR)
                self._listener.close()
                self._listener = None
                self._path.unlink()
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                here, _ = listener.accept()
                there = socket.socket(socket.AF_UNIX)
                there.connect(self._target)
            except OSError:
                return
            with self._lock:
                self._open += [here, there]
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


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
