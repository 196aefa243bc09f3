"""Everything the checks look at, as one value, and how files of /proc are read. Pure.

None is not known. The files are proc(5)'s.
"""

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass

from k3dasync.host import Disk, HostView
from k3dasync.runtime import EngineFacts

INOTIFY_INSTANCES = "/proc/sys/fs/inotify/max_user_instances"
INOTIFY_WATCHES = "/proc/sys/fs/inotify/max_user_watches"
FILE_NR = "/proc/sys/fs/file-nr"
PID_MAX = "/proc/sys/kernel/pid_max"
THREADS_MAX = "/proc/sys/kernel/threads-max"
LOADAVG = "/proc/loadavg"
MEMINFO = "/proc/meminfo"
BRIDGE_NF = "/proc/sys/net/bridge/bridge-nf-call-iptables"
INIT_STATUS = "/proc/1/status"
LIMITS = "/proc/1/limits"
MODULES = "/proc/modules"
FILESYSTEMS = "/proc/filesystems"
CONFIG = "/proc/config.gz"
CGROUP_PIDS = (
    "/sys/fs/cgroup/pids/docker/pids.max",
    "/sys/fs/cgroup/docker/pids.max",
    "/sys/fs/cgroup/pids/system.slice/pids.max",
    "/sys/fs/cgroup/system.slice/pids.max",
)
"""Where the engine puts containers: by its own driver or systemd's, in version 1 or 2."""

CHEAP = (
    *(INOTIFY_INSTANCES, INOTIFY_WATCHES, FILE_NR, PID_MAX, THREADS_MAX, LOADAVG, MEMINFO),
    *(BRIDGE_NF, INIT_STATUS, *CGROUP_PIDS),
)
"""Small: all of them are read in a millisecond."""
KERNEL = (MODULES, FILESYSTEMS, CONFIG)


def module_lists(release: str) -> tuple[str, ...]:
    """Return where a kernel's modules are listed: its configuration, built in, to be loaded."""
    if not re.fullmatch(r"[\w.+~-]+", release):
        return ()
    folder = f"/lib/modules/{release}"
    return (f"/boot/config-{release}", f"{folder}/modules.builtin", f"{folder}/modules.dep")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The cluster that is asked for; what it may need. `k3s_minor` of `v1.35.5`: 35.

    `memory_limit` is the largest that a node is to have, in bytes, 0 for none.
    """

    servers: int = 1
    agents: int = 0
    others: int = 1
    k3s_minor: int | None = None
    memory_limit: int = 0

    @property
    def nodes(self) -> int:
        """Servers and agents."""
        return self.servers + self.agents


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnets:
    """How many subnets of the size that the cluster needs are free in our pool, of how many."""

    free: int
    total: int
    pool: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """What an earlier run left of a cluster, and the command that removes it."""

    cluster: str
    what: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of the engine and its host. `running`: servers and agents of all clusters.

    `skew`: seconds that the engine's clock is ahead of ours. `subnets` None: no new one is needed.
    `members`: who is in the network already. `is_inside`: the host was looked at from a node.
    """

    facts: EngineFacts
    asked: Asked
    host: HostView | None = None
    is_inside: bool = False
    running: tuple[int, int] = (0, 0)
    skew: float | None = None
    subnets: Subnets | None = None
    members: int = 0
    images: Mapping[str, bool] | None = None
    taken_ports: tuple[str, ...] = ()
    leftovers: tuple[Leftover, ...] = ()

    def text(self, path: str) -> str | None:
        """Return a file of the host, None if it could not be read."""
        content = self.host.files.get(path) if self.host else None
        return None if content is None else content.decode(errors="replace")

    def number(self, path: str, column: int = 0) -> int | None:
        """Return a number of a file, None if there is none."""
        words = (self.text(path) or "").split()
        return int(words[column]) if len(words) > column and words[column].isdigit() else None

    @property
    def disk(self) -> Disk | None:
        """The file system of the engine's data."""
        return next(iter(self.host.disks.values()), None) if self.host else None


def available_memory(text: str, total: int) -> int | None:
    """Return what meminfo calls available, in bytes, of a host with *total*.

    None if it is about another total: a node with a memory limit sees a meminfo of its own.
    """
    found = {
        key: int(kb) * 1024 for key, kb in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)
    }
    about = found.get("MemTotal", 0)
    # The engine's number and the kernel's are one; the margin is for units.
    is_same = not total or abs(about - total) <= total * 0.02
    return found.get("MemAvailable") if about and is_same else None


def threads(loadavg: str) -> int | None:
    """Return how many threads there are, of `/proc/loadavg`: `0.1 0.2 0.3 2/258 1234`."""
    found = re.search(r"\d+/(\d+)", loadavg)
    return int(found[1]) if found else None


def has_capability(status: str, number: int) -> bool | None:
    """Say whether a process's bounding set has a capability; no child of it can have more."""
    found = re.search(r"^CapBnd:\s*([0-9a-fA-F]+)", status, re.MULTILINE)
    return bool(int(found[1], 16) >> number & 1) if found else None


def open_files(limits: str) -> int | None:
    """Return the hard limit of open files of `/proc/PID/limits`; None if there is none."""
    found = re.search(r"^Max open files\s+\S+\s+(\d+)", limits, re.MULTILINE)
    return int(found[1]) if found else None


def kernel_config(content: bytes) -> str:
    """Return a kernel's configuration, packed or not; nothing if it is damaged."""
    if not content.startswith(b"\x1f\x8b"):
        return content.decode(errors="replace")
    try:
        return gzip.decompress(content).decode(errors="replace")
    except (OSError, EOFError):
        return ""
