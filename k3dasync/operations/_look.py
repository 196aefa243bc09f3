"""Looking at an engine's host, from the nearest place that there is: here, or inside a node."""

from collections.abc import Sequence
from dataclasses import replace

import anyio

from k3dasync.backend import Backend
from k3dasync.cluster import APP, LABEL_ROLE, Role
from k3dasync.doctor import seen
from k3dasync.errors import EngineError
from k3dasync.host import Disk, HostView
from k3dasync.runtime import ContainerState, EngineFacts, Runtime, Status

PATIENCE = 5.0
"""Seconds for a look: files take a millisecond, a command in a node 0.15 s; a disk that hangs
longer is unknown."""
DATA = "/var/lib/rancher/k3s"
"""A volume of every node, so on the disk of the engine's data."""


async def look_here(
    backend: Backend, facts: EngineFacts, *, kernel: bool = False
) -> HostView | None:
    """Return what is seen of the host from here, None if it is another machine, or hangs."""
    if backend.look is None or not facts.shares_host:
        return None
    files: tuple[str, ...] = seen.CHEAP
    if kernel:
        files = (*files, *seen.KERNEL, *seen.module_lists(facts.kernel))
    folders = (facts.data_root,) if facts.data_root else ()
    with anyio.move_on_after(PATIENCE):
        return await backend.look(files, folders)
    return None


async def look_inside(
    runtime: Runtime, containers: Sequence[ContainerState]
) -> tuple[str, HostView] | None:
    """Return a running node and what is seen from it, None if there is none that answers.

    What it sees under /proc/sys is the host's, and its volumes are on the engine's disk.
    """
    for node in running_nodes(containers)[:1]:
        with anyio.move_on_after(PATIENCE):
            try:
                return node.name, await _ask(runtime, node.name)
            except EngineError:
                return None  # it has just stopped, or has none of these programs
    return None


async def _ask(runtime: Runtime, name: str) -> HostView:
    files = (*seen.CHEAP, *seen.KERNEL[:2], seen.LIMITS)
    found = await runtime.execute(name, ["grep", "-s", "", *files])
    disk = await runtime.execute(name, ["df", "-Pk", DATA])
    view = HostView(parse_grep(found.out.decode(errors="replace")))
    size = parse_df(disk.out.decode(errors="replace"))
    return replace(view, disks={DATA: size}) if size else view


def running_nodes(containers: Sequence[ContainerState]) -> list[ContainerState]:
    """Return the servers and agents that run, whoever made them."""
    roles = {Role.SERVER, Role.AGENT}
    return [
        one
        for one in containers
        if one.status is Status.RUNNING
        and one.labels.items() >= APP.items()
        and one.labels.get(LABEL_ROLE) in roles
    ]


def parse_grep(text: str) -> dict[str, bytes]:
    """Return the files of `grep -s "" FILES`, which puts `FILE:` before every line."""
    found: dict[str, bytes] = {}
    for line in text.splitlines():
        path, colon, rest = line.partition(":")
        if colon:
            found[path] = found.get(path, b"") + rest.encode() + b"\n"
    return found


def parse_df(text: str) -> Disk | None:
    """Return the file system of POSIX's `df -Pk`, None if that is no table."""
    columns = text.splitlines()[-1].split() if text else []
    if len(columns) < 6 or not (columns[1].isdigit() and columns[3].isdigit()):
        return None
    return Disk(int(columns[1]) * 1024, int(columns[3]) * 1024)
