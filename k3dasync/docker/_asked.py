"""What a container's create call asked for, read back from its inspection. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from k3dasync.grammar.gpus import GpuRequest
from k3dasync.grammar.words import Ulimit

Json = Mapping[str, Any]


def words(found: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return a command; podman has it as one text."""
    return (found,) if isinstance(found, str) else tuple(found or ())


def ulimits(host: Json) -> tuple[Ulimit, ...]:
    """Return the kernel's limits of its processes."""
    found = host.get("Ulimits") or ()
    return tuple(Ulimit(str(one["Name"]), int(one["Soft"]), int(one["Hard"])) for one in found)


def gpus(host: Json) -> GpuRequest | None:
    """Return the first request for devices; `--gpus` makes one."""
    requests = host.get("DeviceRequests")
    if not requests:
        return None
    one = requests[0]
    return GpuRequest(
        count=int(one.get("Count") or 0),
        driver=str(one.get("Driver") or ""),
        devices=tuple(one.get("DeviceIDs") or ()),
        capabilities=tuple(word for group in one.get("Capabilities") or () for word in group),
        options=tuple((one.get("Options") or {}).items()),
    )


def fixed_addresses(found: Json, networks: Mapping[str, str]) -> Mapping[str, str]:
    """Return network → IPv4 address, where one was asked for; *networks*: id → name."""
    attached = (found.get("NetworkSettings") or {}).get("Networks") or {}
    asked = {
        networks.get(key, key): str((endpoint.get("IPAMConfig") or {}).get("IPv4Address") or "")
        for key, endpoint in attached.items()
    }
    return {name: address for name, address in asked.items() if address}


def aliases(found: Json) -> tuple[str, ...]:
    """Return its further names in its networks, without those that the engine gives it."""
    attached = (found.get("NetworkSettings") or {}).get("Networks") or {}
    names = [name for endpoint in attached.values() for name in endpoint.get("Aliases") or ()]
    given = {str(found["Id"])[:12], str((found.get("Config") or {}).get("Hostname", ""))}
    return tuple(dict.fromkeys(name for name in names if name not in given))


def volumes(found: Json) -> dict[str, str]:
    """Return the volumes that an inspected container mounts: path → name."""
    return {
        str(one["Destination"]): str(one["Name"])
        for one in found.get("Mounts") or []
        if one.get("Type") == "volume" and one.get("Name")
    }
