"""How much is in an engine's volumes. Pure."""

from collections.abc import Mapping
from typing import Any

from k3dasync.runtime import VolumeUsage


def volume_usage(found: Mapping[str, Any]) -> dict[str, VolumeUsage]:
    """Read what `/system/df` says of volumes; of what it has not counted it says -1."""
    usage = {}
    for one in found.get("Volumes") or []:
        data = one.get("UsageData") or {}
        size = int(data.get("Size", -1))
        usage[str(one["Name"])] = VolumeUsage(
            size=size if size >= 0 else None, users=max(int(data.get("RefCount", 0)), 0)
        )
    return usage
