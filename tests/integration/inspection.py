"""An inspection of a cluster's parts as flat keys and values, so that two can be compared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tests.integration.docker_api import DockerApi

Json = Mapping[str, Any]
Flat = dict[str, str]

CONFIG = (
    *("Hostname", "Domainname", "User", "Tty", "OpenStdin", "AttachStdin", "Cmd", "Entrypoint"),
    *("Env", "Labels", "ExposedPorts", "Volumes", "WorkingDir", "Healthcheck", "StopSignal"),
    *("StopTimeout", "OnBuild", "MacAddress", "NetworkDisabled"),
)
"""Of `Config` all but the image, which has its own line in docs/from-k3d.md."""


def flat(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield a path and a text for each value inside; what is empty or null is not there."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{path}.{key}" if key.isidentifier() else f"{path}[{key}]")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, inner in enumerate(value):
            yield from flat(inner, f"{path}[{number}]")
    elif value not in (None, "", False, 0):
        yield path, str(value)


def _labels(labels: Json, path: str) -> Flat:
    return {f"{path}.Labels[{key}]": str(value) for key, value in labels.items()}


def _host(host: Json, path: str) -> Flat:
    """Read `HostConfig`; what has no order goes by its destination or its whole text."""
    found = dict(flat({k: v for k, v in host.items() if k not in ("Binds", "ExtraHosts")}, path))
    for bind in host.get("Binds") or ():
        source, _, rest = bind.partition(":")
        destination, colon, options = rest.partition(":")
        found[f"{path}.Binds[{destination}]"] = f"{source}{colon}{options}"
    for entry in host.get("ExtraHosts") or ():
        name, _, address = entry.partition(":")
        found[f"{path}.ExtraHosts[{name}]"] = address
    return found


def _endpoints(networks: Json, detail: Json, path: str) -> Flat:
    found: Flat = {}
    automatic = {detail["Id"][:12], detail["Config"]["Hostname"]}
    for name, endpoint in networks.items():
        found[f"{path}[{name}]"] = "attached"
        asked = endpoint.get("IPAMConfig") or {}
        found |= flat(asked, f"{path}[{name}].IPAMConfig")
        for alias in {*(endpoint.get("Aliases") or ())} - automatic:
            found[f"{path}[{name}].Aliases[{alias}]"] = alias
        found |= flat(endpoint.get("Links"), f"{path}[{name}].Links")
    return found


def container(detail: Json, image: Json, node: str) -> Flat:
    """Read a container; what its image brings is not counted as its own."""
    config, theirs = detail["Config"], image["Config"]
    env = [one for one in config["Env"] if one not in (theirs.get("Env") or ())]
    brought = theirs.get("Labels") or {}
    own = {key: value for key, value in config["Labels"].items() if brought.get(key) != value}
    rest = {key: config.get(key) for key in CONFIG if key not in ("Env", "Labels")}
    return {
        **dict(flat({**rest, "Env": env}, f"{node}.Config")),
        **_labels(own, f"{node}.Config"),
        **_host(detail["HostConfig"], f"{node}.HostConfig"),
        **_endpoints(detail["NetworkSettings"]["Networks"], detail, f"{node}.Networks"),
    }


def network(found: Json, *, has_subnet: bool) -> Flat:
    """Read a network; without a subnet or range that was asked for, the engine has chosen."""
    asked = {key: found.get(key) for key in ("Name", "Driver", "Internal", "Attachable", "Options")}
    pools = found["IPAM"]["Config"] or []
    pool = pools[0] if has_subnet or any(one.get("IPRange") for one in pools) else {}
    return {
        **dict(flat({**asked, "EnableIPv6": found.get("EnableIPv6")}, "Network")),
        **_labels(found["Labels"], "Network"),
        **dict(flat(pool, "Network.IPAM")),
    }


def volume(found: Json) -> Flat:
    """Read a volume."""
    path = f"Volume[{found['Name']}]"
    asked = {key: found.get(key) for key in ("Driver", "Options", "Scope")}
    return {**dict(flat(asked, path)), **_labels(found["Labels"] or {}, path)}


def cluster(
    api: DockerApi, name: str, network_name: str, volumes: Sequence[str], *, has_subnet: bool
) -> Flat:
    """Return all that can be said of a cluster's parts, its own ids and addresses by name."""
    found: Flat = {}
    for one in api.labelled("containers/json", f"k3d.cluster={name}", all=1):
        detail = api.get(f"containers/{one['Id']}/json")
        image = api.get(f"images/{detail['Image']}/json")
        node = detail["Name"].removeprefix(f"/k3d-{name}-")
        found |= container(detail, image, node)
    net = api.get(f"networks/{network_name}")
    found |= network(net, has_subnet=has_subnet)
    for each in volumes:
        found |= volume(api.get(f"volumes/{each}"))
    return {key: _named(net)(value) for key, value in found.items()}


def _named(net: Json) -> Callable[[str], str]:
    """Return what gives the network's own values their names: they differ by nature."""
    pool = (net["IPAM"]["Config"] or [{}])[0]
    names = {
        net["Id"]: "<network id>",
        pool.get("Subnet"): "<subnet>",
        pool.get("Gateway"): "<gateway>",
        pool.get("IPRange"): "<range>",
    }
    prefix = str(pool.get("Subnet", "")).rpartition(".")[0] + "."

    def named(value: str) -> str:
        if value in names:
            return names[value]
        is_address = len(prefix) > 1 and value.startswith(prefix) and "/" not in value
        return "<address>" if is_address else value

    return named


def differences(theirs: Flat, ours: Flat) -> list[tuple[str, str, str]]:
    """Return key, their value and ours, wherever they are not the same; `-` is not there."""
    return [
        (key, theirs.get(key, "-"), ours.get(key, "-"))
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    ]
