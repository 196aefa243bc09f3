"""What `/info` tells of the engine's host. Pure, but for comparing it with this machine."""

import os
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_BRIDGE_WARNING = "bridge-nf-call-iptables is disabled"


def about_host(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of EngineFacts that describe the host; what is not told is left out."""
    return {
        "kernel": str(info.get("KernelVersion", "")),
        "memory": int(info.get("MemTotal") or 0),
        "storage_driver": str(info.get("Driver", "")),
        "data_root": str(info.get("DockerRootDir", "")),
        "default_runtime": str(info.get("DefaultRuntime", "")),
        "security": frozenset(
            text.removeprefix("name=").partition(",")[0]
            for text in info.get("SecurityOptions") or ()
        ),
        # Podman tells neither.
        "has_memory_limit": info.get("MemoryLimit") is not False,
        "has_pids_limit": info.get("PidsLimit") is not False,
        "bridge_nf": _bridge_nf(info),
        "time": _seconds(str(info.get("SystemTime", ""))),
        "architecture": str(info.get("Architecture", "")),
        "cgroup_driver": str(info.get("CgroupDriver", "")),
        "filesystem": _filesystem(info),
        "system": str(info.get("OperatingSystem", "")),
        "system_type": str(info.get("OSType", "")),
    }


def _filesystem(info: Mapping[str, Any]) -> str:
    """Return what the storage driver stands on; its status is a list of pairs."""
    told = {str(pair[0]): str(pair[1]) for pair in info.get("DriverStatus") or () if len(pair) == 2}
    return told.get("Backing Filesystem", "")


def is_here(info: Mapping[str, Any]) -> bool:
    """Say whether the engine's host has this machine's name and kernel.

    An engine in a virtual machine has neither, one whose socket is mounted into a container that we
    run in has another name.
    """
    mine = os.uname() if hasattr(os, "uname") else None
    theirs = (str(info.get("Name", "")), str(info.get("KernelVersion", "")))
    return mine is not None and (mine.nodename, mine.release) == theirs


def _bridge_nf(info: Mapping[str, Any]) -> bool | None:
    """Return what older engines tell in a field and newer ones, from 28 on, do not."""
    if any(_BRIDGE_WARNING in text for text in info.get("Warnings") or ()):
        return False
    told = info.get("BridgeNfIptables")
    return True if told else None


def _seconds(text: str) -> float:
    """Return the time of RFC 3339 text, 0 if it is none; the engine gives nine digits."""
    found = re.fullmatch(r"(\S+T[\d:]+)(?:\.(\d{1,6})\d*)?(Z|[+-][\d:]+)", text)
    if found is None:
        return 0.0
    try:
        moment = datetime.fromisoformat(f"{found[1]}.{(found[2] or '0').ljust(6, '0')}{found[3]}")
    except ValueError:
        return 0.0
    return moment.timestamp()
