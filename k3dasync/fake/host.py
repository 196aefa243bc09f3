"""The fake engine's host, and what is read of it: from outside, or in a node."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from k3dasync.host import Disk, HostView, LookAtHost
from k3dasync.runtime import Executed

ROOT = "/var/lib/docker"
TOLD: Mapping[str, Any] = {
    "api_version": "1.41",
    "kernel": "6.1.0-fake",
    "memory": 16 * 2**30,
    "storage_driver": "overlay2",
    "data_root": ROOT,
    "default_runtime": "runc",
    "bridge_nf": True,
    "shares_host": True,
    "architecture": "x86_64",
    "cgroup_driver": "systemd",
    "filesystem": "extfs",
    "system": "Debian GNU/Linux 12 (bookworm)",
    "system_type": "linux",
}
"""What the engine tells of a host on which clusters work."""
FILES: Mapping[str, bytes] = {
    "/proc/sys/fs/inotify/max_user_instances": b"8192\n",
    "/proc/sys/fs/inotify/max_user_watches": b"524288\n",
    "/proc/sys/fs/file-nr": b"2000\t0\t9223372036854775807\n",
    "/proc/sys/kernel/pid_max": b"4194304\n",
    "/proc/sys/kernel/threads-max": b"127000\n",
    "/proc/loadavg": b"0.10 0.20 0.30 2/500 12345\n",
    "/proc/meminfo": b"MemTotal:       16777216 kB\nMemAvailable:   12582912 kB\n",
    "/proc/sys/net/bridge/bridge-nf-call-iptables": b"1\n",
    "/proc/1/status": b"Name:\tinit\nCapBnd:\t000001ffffffffff\n",
    "/proc/filesystems": b"nodev\toverlay\n",
    "/boot/config-6.1.0-fake": b"".join(
        b"CONFIG_%s=y\n" % name
        for name in (b"OVERLAY_FS", b"BRIDGE_NETFILTER", b"NF_CONNTRACK", b"VXLAN", b"VETH")
    )
    + b"CONFIG_NF_TABLES=m\n",
}
HEALTHY = HostView(files=FILES, disks={ROOT: Disk(100 * 2**30, 60 * 2**30)})


def look_at(host: HostView) -> LookAtHost:
    """Return what looks at that host from outside."""

    async def look(files: Sequence[str], folders: Sequence[str]) -> HostView:
        return HostView(
            {path: host.files[path] for path in files if path in host.files},
            {folder: host.disks[folder] for folder in folders if folder in host.disks},
        )

    return look


def grep(files: Mapping[str, bytes], paths: Sequence[str]) -> Executed:
    """Run `grep -s ""`: every line with its file's name, 2 if a file is not there."""
    out = b"".join(
        f"{path}:".encode() + line + b"\n"
        for path in paths
        for line in files.get(path, b"").splitlines()
    )
    return Executed(code=0 if all(path in files for path in paths) else 2, out=out)


def df(files: Mapping[str, bytes], folder: str) -> Executed:
    """Run `df -Pk`; its table is in a file beside."""
    return Executed(code=0, out=files.get(f"{folder}.df", b""))


def sockets(listening: Iterable[tuple[int, str]]) -> bytes:
    """Return what /proc/net/tcp and its like say in a container that listens on these."""
    lines = ["  sl  local_address rem_address   st"]
    for port, protocol in listening:
        state = "07" if protocol == "udp" else "0A"
        lines.append(f"   0: 00000000:{port:04X} 00000000:0000 {state}")
    return "".join(f"{line}\n" for line in lines).encode()
