"""What an engine tells of itself, and what can be read of its host.

Reading this machine's files is the only I/O here.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What a plan must know of the engine.

    `host` is where published ports are reached (empty: this machine). `is_desktop`: the engine
    runs in a virtual machine that this machine's addresses cannot reach. `cpus` and `memory`, in
    bytes, may be unknown (0), so may its `time`, in seconds since 1970, and `bridge_nf` (None).
    `shares_host`: its host is this machine, files and kernel alike. `filesystem` is that of the
    storage driver, `system` the host's distribution, `system_type` its kind (`linux`).
    """

    id: str
    endpoint: str
    version: str = ""
    host: str = ""
    is_desktop: bool = False
    name: str = ""
    cgroup_version: str = ""
    cpus: int = 0
    api_version: str = ""
    kernel: str = ""
    memory: int = 0
    storage_driver: str = ""
    data_root: str = ""
    default_runtime: str = ""
    security: frozenset[str] = frozenset()
    has_memory_limit: bool = True
    has_pids_limit: bool = True
    bridge_nf: bool | None = None
    time: float = 0.0
    shares_host: bool = False
    architecture: str = ""
    cgroup_driver: str = ""
    filesystem: str = ""
    system: str = ""
    system_type: str = ""

    @property
    def is_local(self) -> bool:
        """Whether published ports of 127.0.0.1 are reached from this machine."""
        return not self.host


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system: its size and what is free for everybody, in bytes."""

    size: int
    free: int


@dataclass(frozen=True, slots=True)
class HostView:
    """What was read: files by path, file systems by folder. What could not be read is absent."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    disks: Mapping[str, Disk] = field(default_factory=dict)


LookAtHost = Callable[[Sequence[str], Sequence[str]], Awaitable[HostView]]
"""Reads files and the file systems of folders on the engine's host."""

MOST_BYTES = 1 << 20
"""Read of one file: a kernel's configuration is 60 kB packed, a list of its modules 100 kB."""


async def look_here(files: Sequence[str], folders: Sequence[str]) -> HostView:
    """Look at this machine, in a thread: a disk may be slow. What cannot be read is left out."""
    from anyio import to_thread

    return await to_thread.run_sync(_look, tuple(files), tuple(folders), abandon_on_cancel=True)


def _look(files: Sequence[str], folders: Sequence[str]) -> HostView:
    import os

    read: dict[str, bytes] = {}
    disks: dict[str, Disk] = {}
    for path in files:
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - pathlib has no bounded read
                read[path] = file.read(MOST_BYTES)
        except OSError:
            continue
    for folder in folders:
        try:
            found = os.statvfs(folder)
        except OSError:
            continue
        disks[folder] = Disk(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)
    return HostView(read, disks)
