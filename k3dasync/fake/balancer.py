"""The simulated load balancer: reads its configuration as loosely as it can, and forwards."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import anyio

from k3dasync import nginx
from k3dasync.fake.machine import Machine
from k3dasync.fake.process import Exit, Process
from k3dasync.fake.state import Container, Service

API_PORT = 6443
_SERVER = re.compile(
    r"^\s*server\s+(?P<host>[^\s:;{]+):(?P<port>\d+)(?P<rest>[^;]*);", re.MULTILINE
)
_RESOLVED = re.compile(r"default\s+(?P<host>[^\s:;]+):(?P<port>\d+)\s*;")
_LISTEN = re.compile(r"^\s*listen\s+(?P<port>\d+)(?P<udp> udp)?;", re.MULTILINE)
_VALUE = re.compile(r"^  (?P<port>\d+)\.(?P<protocol>\w+):$", re.MULTILINE)
_RENDERED = b"# rendered from k3d's values\n"
_KIND = re.compile(r"^  (?P<port>\d+)\.tcp:$")


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server of the configuration; `is_late`: its name is resolved at each connection."""

    host: str
    port: int
    is_backup: bool = False
    is_late: bool = False


@dataclass(slots=True)
class Balancer:
    """What nginx has loaded, and whose turn it is."""

    upstreams: tuple[Upstream, ...] = ()
    turn: int = 0

    def choose(self, machine: Machine, container: Container) -> Container | None:
        """Return the server that a new connection to the API port is forwarded to.

        Those that do not accept connections are passed over, backups come last.
        """
        for is_backup in (False, True):
            found = [
                server
                for upstream in self.upstreams
                if upstream.is_backup is is_backup and upstream.port == API_PORT
                for server in machine.find_all(upstream.host, container)
                if Service.TCP in server.serves
            ]
            if found:
                self.turn += 1
                return found[self.turn % len(found)]
        return None


async def run(machine: Machine, container: Container, process: Process) -> None:
    """Be nginx until ended; raises Exit if it cannot start."""
    await machine.cores.spend(machine.latency.node.loadbalancer)
    upstreams = tuple(read(container))
    for upstream in upstreams:
        if not _resolves(machine, container, upstream):
            words = f'host not found in upstream "{upstream.host}:{upstream.port}"'
            container.log.append(f"nginx: [emerg] {words} in {nginx.CONFIG_PATH}")
            raise Exit(1)
    balancer = container.data = Balancer(upstreams)
    container.sockets = tuple(_listens(container))
    _render(container)
    container.log.append("[notice] 1#1: start worker processes")
    machine.changed.tell()
    while _goes_by_values(container):
        await machine.changed.wait()
        loaded = tuple(read(container))
        if loaded != balancer.upstreams and all(_resolves(machine, container, u) for u in loaded):
            balancer.upstreams, container.sockets = loaded, tuple(_listens(container))
            _render(container)
            machine.changed.tell()
    while True:
        await process.reload.wait()
        container.log.append("[notice] 1#1: signal 1 (SIGHUP) received, reconfiguring")
        loaded = tuple(read(container))
        # A configuration that cannot be used is left alone: the old one stays.
        if all(_resolves(machine, container, upstream) for upstream in loaded):
            balancer.upstreams, container.sockets = loaded, tuple(_listens(container))
            machine.changed.tell()
        await anyio.lowlevel.checkpoint()


def _goes_by_values(container: Container) -> bool:
    """Say whether it is k3d's own image, which renders its configuration from k3d's values."""
    return container.files.get(nginx.CONFIG_PATH, _RENDERED).startswith(_RENDERED)


def _render(container: Container) -> None:
    """Do so, as far as anybody looks at it."""
    if _goes_by_values(container):
        lines = [f"    server {one.host}:{one.port};\n" for one in read(container)]
        container.files[nginx.CONFIG_PATH] = _RENDERED + "".join(lines).encode()


def _resolves(machine: Machine, container: Container, upstream: Upstream) -> bool:
    is_address = upstream.host.replace(".", "").isdigit()
    return is_address or upstream.is_late or machine.find(upstream.host, container) is not None


def read(container: Container) -> Iterator[Upstream]:
    """Yield the upstreams of nginx.conf, or those of k3d's values if there is none."""
    if _goes_by_values(container):
        yield from _of_values(container.files.get(nginx.VALUES_PATH, b"").decode())
        return
    text = container.files[nginx.CONFIG_PATH].decode()
    for found in _SERVER.finditer(text):
        is_backup = "backup" in found["rest"].split()
        yield Upstream(found["host"], int(found["port"]), is_backup)
    for found in _RESOLVED.finditer(text):
        yield Upstream(found["host"], int(found["port"]), is_late=True)


def _listens(container: Container) -> Iterator[tuple[int, str]]:
    if _goes_by_values(container):
        for found in _VALUE.finditer(container.files.get(nginx.VALUES_PATH, b"").decode()):
            yield int(found["port"]), "udp" if found["protocol"] == "udp" else "tcp"
        return
    for found in _LISTEN.finditer(container.files[nginx.CONFIG_PATH].decode()):
        yield int(found["port"]), "udp" if found["udp"] else "tcp"


def _of_values(text: str) -> Iterator[Upstream]:
    port = 0
    for line in text.splitlines():
        if found := _KIND.match(line):
            port = int(found["port"])
        elif not line.startswith("  "):
            port = 0
        elif port and line.startswith("  - "):
            yield Upstream(line[4:].strip(), port)
