"""Between the engine's JSON and our shapes, both ways, and its errors into ours. Pure."""

import ipaddress
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from k3dasync.addresses import HOST_NETWORK
from k3dasync.docker import _asked
from k3dasync.docker._about import about_host, is_here
from k3dasync.errors import (
    AddressesUnsupported,
    AddressTaken,
    Conflict,
    EngineError,
    NotFound,
    PortTaken,
    SubnetTaken,
)
from k3dasync.grammar.gpus import GpuRequest
from k3dasync.runtime import (
    ContainerDetail,
    ContainerEvent,
    ContainerSpec,
    ContainerState,
    EngineFacts,
    NetworkSpec,
    NetworkState,
    PortBinding,
    Status,
    VolumeState,
)

Json = Mapping[str, Any]

# ---- what we ask for


def container_body(spec: ContainerSpec) -> dict[str, Any]:
    """Return the body of a container's create call."""
    endpoint: dict[str, Any] = {"Aliases": list(spec.aliases)}
    if spec.address is not None:
        endpoint["IPAMConfig"] = {"IPv4Address": spec.address}
    is_on_host = spec.network == HOST_NETWORK
    body: dict[str, Any] = {
        "Hostname": spec.name,
        "Image": spec.image,
        "Env": list(spec.env),
        "Labels": dict(spec.labels),
        # The engine publishes a binding only if the very same text is exposed: with `6443` bound
        # and `6443/tcp` exposed it publishes nothing, and says nothing (20.10).
        "ExposedPorts": {binding.port: {} for binding in spec.ports},
        "HostConfig": _host_config(spec),
        "NetworkingConfig": {"EndpointsConfig": {} if is_on_host else {spec.network: endpoint}},
    }
    if spec.entrypoint is not None:
        body["Entrypoint"] = list(spec.entrypoint)
    if spec.command is not None:
        body["Cmd"] = list(spec.command)
    return body


def _host_config(spec: ContainerSpec) -> dict[str, Any]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in spec.ports:
        where = {"HostIp": port.host_ip, "HostPort": port.host_ports}
        bindings.setdefault(port.port, []).append(where)
    config: dict[str, Any] = {
        "Privileged": True,  # a kubelet mounts, and makes cgroups, namespaces and firewall rules
        "Init": spec.init,
        "UsernsMode": "host",  # privileged needs it where the engine remaps users
        # With an endpoint named below, `bridge` attaches to that network only. The network's own
        # id here would make the engine find it by name at the start, which is ambiguous as soon
        # as there are two of that name; so, it finds it by the id below (20.10).
        "NetworkMode": HOST_NETWORK if spec.network == HOST_NETWORK else "bridge",
        "Tmpfs": {"/run": "", "/var/run": ""},  # a restart must not find the pid files of the last
        # Nodes come back with the engine, and k3s that exits on purpose is started again.
        "RestartPolicy": {"Name": "unless-stopped"},
        "Binds": list(spec.binds),
        "PortBindings": bindings,
        "ExtraHosts": list(spec.extra_hosts),
    }
    if spec.host_pid_mode:
        config["PidMode"] = "host"
    if spec.memory:
        config["Memory"] = spec.memory
    if spec.gpus is not None:
        config["DeviceRequests"] = [_device_request(spec.gpus)]
    if spec.ulimits:
        config["Ulimits"] = [
            {"Name": one.name, "Soft": one.soft, "Hard": one.hard} for one in spec.ulimits
        ]
    return config


def _device_request(wanted: GpuRequest) -> dict[str, Any]:
    return {
        "Driver": wanted.driver,
        "Count": wanted.count,
        "DeviceIDs": list(wanted.devices) or None,
        "Capabilities": [list(wanted.capabilities)],
        "Options": dict(wanted.options),
    }


def network_body(spec: NetworkSpec) -> dict[str, Any]:
    """Return the body of a network's create call."""
    pool = {"Subnet": spec.subnet, "Gateway": spec.gateway, "IPRange": spec.ip_range}
    return {
        "Name": spec.name,
        "Driver": "bridge",
        "IPAM": {"Driver": "default", "Config": [pool]},
        # Without it nodes reach nothing outside on engines whose default has it off.
        "Options": {"com.docker.network.bridge.enable_ip_masquerade": "true"},
        "Labels": dict(spec.labels),
    }


def filters(labels: Mapping[str, str] | None, **others: str) -> dict[str, list[str]]:
    """Return the engine's form of a filter; all of it must hold."""
    wanted = {key: [value] for key, value in others.items()}
    if labels:
        wanted["label"] = [f"{key}={value}" for key, value in labels.items()]
    return wanted


def carries(found: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Say whether something with labels *found* carries all of *labels*."""
    return all(found.get(key) == value for key, value in labels.items())


# ---- what the engine says


def facts(info: Json, *, endpoint: str, host: str, is_foreign_kernel: bool) -> EngineFacts:
    """Read `/info`; *is_foreign_kernel*: this machine cannot run an engine without a VM."""
    system, name = str(info.get("OperatingSystem", "")), str(info.get("Name", ""))
    looks_like_vm = any(
        word in text.lower()
        for text in (system, name)
        for word in ("docker desktop", "docker-desktop", "orbstack", "colima", "lima-", "rancher-")
    )
    is_desktop = looks_like_vm or (is_foreign_kernel and not host)
    return EngineFacts(
        id=str(info.get("ID", "")),
        endpoint=endpoint,
        version=str(info.get("ServerVersion", "")),
        host=host,
        is_desktop=is_desktop,
        name=name,
        cgroup_version=str(info.get("CgroupVersion", "")),
        cpus=int(info.get("NCPU") or 0),
        shares_host=not host and not is_desktop and is_here(info),
        **about_host(info),
    )


def network(found: Json) -> NetworkState:
    """Read a network, listed or inspected."""
    driver = str(found.get("Driver", ""))
    pools = (found.get("IPAM") or {}).get("Config") or []
    ipv4 = [pool for pool in pools if pool.get("Subnet") and ":" not in pool["Subnet"]]
    return NetworkState(
        id=str(found["Id"]),
        name=str(found["Name"]),
        driver=driver,
        subnets=tuple(str(pool["Subnet"]) for pool in pools if pool.get("Subnet")),
        gateway=_gateway(ipv4[0], driver) if ipv4 else "",
        labels=_labels(found),
        created=_seconds(str(found.get("Created", ""))),
    )


def _gateway(pool: Json, driver: str) -> str:
    """Return the gateway of an IPv4 pool, also where the engine has chosen it and does not tell.

    Of a subnet that a user has configured, Docker shows only what the user gave (20.10). The
    bridge then has the first address of the range for dynamic ones, or else of the subnet.
    """
    if given := str(pool.get("Gateway") or "").partition("/")[0]:
        return given
    if driver != "bridge":
        return ""
    subnet = ipaddress.IPv4Network(pool["Subnet"], strict=False)
    pool_range = ipaddress.IPv4Network(pool.get("IPRange") or subnet, strict=False)
    first = pool_range.network_address
    return str(subnet[1] if first == subnet.network_address else first)


def members(found: Json) -> Mapping[str, str]:
    """Return the running members of an inspected network: name → IPv4 address."""
    return {
        str(member.get("Name", "")): str(member.get("IPv4Address", "")).partition("/")[0]
        for member in (found.get("Containers") or {}).values()
    }


def volume(found: Json) -> VolumeState:
    """Read a volume, listed or inspected."""
    return VolumeState(
        name=str(found["Name"]),
        labels=_labels(found),
        created=_seconds(str(found.get("CreatedAt", ""))),
    )


def listed_container(found: Json, networks: Mapping[str, str]) -> ContainerState:
    """Read an entry of a listing; *networks*: id → name."""
    published = {
        int(port["PublicPort"]) for port in found.get("Ports") or [] if "PublicPort" in port
    }
    return ContainerState(
        id=str(found["Id"]),
        name=str((found.get("Names") or [""])[0]).lstrip("/"),
        image=str(found.get("Image", "")),
        status=_status(str(found.get("State", ""))),
        labels=_labels(found),
        created=float(found.get("Created", 0)),
        addresses=_addresses(found, networks),
        bound_ports=tuple(sorted(published)),
    )


def inspected_container(found: Json, networks: Mapping[str, str]) -> ContainerDetail:
    """Read an inspection; *networks*: id → name."""
    config, host, state = found["Config"], found["HostConfig"], found["State"]
    ports = (found.get("NetworkSettings") or {}).get("Ports") or {}
    published = {int(where["HostPort"]) for places in ports.values() for where in places or []}
    return ContainerDetail(
        state=ContainerState(
            id=str(found["Id"]),
            name=str(found["Name"]).lstrip("/"),
            image=str(config.get("Image", "")),
            status=_status(str(state.get("Status", ""))),
            labels=_labels(config),
            created=_seconds(str(found.get("Created", ""))),
            addresses=_addresses(found, networks),
            bound_ports=tuple(sorted(published)),
        ),
        exit_code=int(state.get("ExitCode", 0)),
        oom_killed=bool(state.get("OOMKilled")),
        restarts=int(found.get("RestartCount", 0)),
        env=tuple(config.get("Env") or ()),
        command=tuple(config.get("Cmd") or ()),
        binds=tuple(host.get("Binds") or ()),
        bindings=_bindings(host.get("PortBindings") or {}),
        image_id=str(found.get("Image", "")),
        started_at=str(state.get("StartedAt", "")),
        entrypoint=_asked.words(config.get("Entrypoint")),
        restart_policy=str((host.get("RestartPolicy") or {}).get("Name", "")),
        extra_hosts=tuple(host.get("ExtraHosts") or ()),
        host_pid_mode=host.get("PidMode") == "host",
        ulimits=_asked.ulimits(host),
        memory=int(host.get("Memory") or 0),
        gpus=_asked.gpus(host),
        fixed_addresses=_asked.fixed_addresses(found, networks),
        aliases=_asked.aliases(found),
        init=bool(host.get("Init")),
        volumes=_asked.volumes(found),
    )


def attached_networks(found: Json) -> Sequence[str]:
    """Return the keys under which a container's networks are listed.

    Attached by id and never started, it is listed under that id; from its first start on, under
    the network's name.
    """
    return list((found.get("NetworkSettings") or {}).get("Networks") or {})


def event(found: Json) -> ContainerEvent:
    """Read one event of a container."""
    attributes = (found.get("Actor") or {}).get("Attributes") or {}
    exit_code = attributes.get("exitCode")
    return ContainerEvent(
        action=str(found.get("Action", "")),
        name=str(attributes.get("name", "")),
        exit_code=int(exit_code) if exit_code else None,
    )


def _labels(found: Json) -> Mapping[str, str]:
    return dict(found.get("Labels") or {})


_STATUSES = {"configured": Status.CREATED, "initialized": Status.CREATED}  # podman's
"""What is in neither list, podman's `stopped` and `stopping`, is no container that runs."""


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        return _STATUSES.get(text, Status.EXITED)


def _addresses(found: Json, networks: Mapping[str, str]) -> Mapping[str, str]:
    attached = (found.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        networks.get(key, key): str(endpoint.get("IPAddress") or "")
        for key, endpoint in attached.items()
    }


def _bindings(found: Mapping[str, Sequence[Json] | None]) -> tuple[PortBinding, ...]:
    return tuple(_binding(port, where) for port, places in found.items() for where in places or [])


def _binding(port: str, where: Json) -> PortBinding:
    first, _, last = str(where.get("HostPort") or "0").partition("-")
    return PortBinding(
        port=port,
        host_ip=str(where.get("HostIp", "")),
        host_port=int(first),
        last_host_port=int(last or 0),
    )


def _seconds(timestamp: str) -> float:
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0.0


# ---- what it refuses

# In the engine's words, because its statuses do not tell these apart: a taken port is a 500 like
# any failure, a taken address and a taken subnet are both 403. The first that is found counts.
_REFUSALS: Sequence[tuple[str, type[EngineError]]] = (
    ("pool overlaps", SubnetTaken),
    ("networks have overlapping ipv4", SubnetTaken),
    ("is already used on the host or by another config", SubnetTaken),  # podman
    ("user specified ip address is supported", AddressesUnsupported),
    ("port is already allocated", PortTaken),
    ("failed to bind host port", PortTaken),  # from 23 on
    ("ports are not available", PortTaken),  # Docker Desktop
    ("bind: address already in use", PortTaken),
    ("address already in use", AddressTaken),
    ("requested ip address", AddressTaken),  # podman
    ("has active endpoints", Conflict),
    ("already exists in network", Conflict),
    ("is not connected to", NotFound),
)
_STATUS_REFUSALS: Mapping[int, type[EngineError]] = {404: NotFound, 409: Conflict}


def engine_error(operation: str, resource: str, status: int, words: str) -> EngineError:
    """Return the error for an answer of the engine that is not a success."""
    text = one_line(words) or f"status {status}"
    lower = text.lower()
    kind = next((kind for needle, kind in _REFUSALS if needle in lower), None)
    known = kind or _STATUS_REFUSALS.get(status, EngineError)
    return known(operation, resource, text, status=status)


NEWEST_API = (1, 51)
"""The newest version whose shapes are known here; engines speak older ones than their own, back to
1.44 at the least."""


def api_version(theirs: str) -> str | None:
    """Return the version to speak, `v1.41`, with an engine whose newest is *theirs*, `1.41`.

    None if that is no version: then it is no engine.
    """
    major, _, minor = theirs.partition(".")
    if not (major.isdigit() and minor.isdigit()):
        return None
    return "v{}.{}".format(*min((int(major), int(minor)), NEWEST_API))


def shows_network_ids(found: Sequence[Json]) -> bool:
    """Say whether a container that never ran is among them: it has an id for its network's name."""
    return any(len(key) == 64 for entry in found for key in attached_networks(entry))


def one_line(words: str) -> str:
    """Return the engine's words on one line, out of the JSON some engines wrap them in."""
    text = words.strip()
    if text.startswith("{"):
        with suppress(ValueError):
            text = str(json.loads(text).get("message", text))
    return " ".join(text.split())
