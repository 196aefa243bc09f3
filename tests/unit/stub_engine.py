"""An engine on a Unix socket that answers three listings: for programs that we start."""

import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

NODES = {
    "k3d-dev-server-0": ("dev", "server"),
    "k3d-dev-agent-0": ("dev", "agent"),
    "k3d-demo-server-0": ("demo", "server"),
    "k3d-mirror": ("", "registry"),
}
"""Each with its cluster and role."""
LEFT = "dead"
"""A cluster of which but the network is left."""


def _labels(cluster: str, role: str = "") -> dict[str, str]:
    found = {"app": "k3d", "k3d.cluster": cluster, "k3d.role": role}
    return {key: value for key, value in found.items() if value}


def _container(name: str, cluster: str, role: str) -> dict[str, Any]:
    return {
        "Id": name,
        "Names": [f"/{name}"],
        "Image": "x",
        "ImageID": "x",
        "State": "running",
        "Status": "Up",
        "Created": 0,
        "Labels": _labels(cluster, role),
        "NetworkSettings": {"Networks": {}},
        "Ports": [],
        "Mounts": [],
    }


class _Handler(BaseHTTPRequestHandler):
    answers: ClassVar[Mapping[str, Any]] = {
        "containers/json": [_container(name, *what) for name, what in NODES.items()],
        "networks": [
            {
                "Id": "n",
                "Name": f"k3d-{LEFT}",
                "Driver": "bridge",
                "Labels": _labels(LEFT),
                "IPAM": {"Config": []},
                "Containers": {},
            }
        ],
        "volumes": {"Volumes": []},
    }

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        answer = next((found for end, found in self.answers.items() if path.endswith(end)), "OK")
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Api-Version", "1.43")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        return "socket"


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextmanager
def serve(path: Path) -> Iterator[str]:
    """Serve at *path*, and yield what DOCKER_HOST is."""
    with _Server(str(path), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join()
