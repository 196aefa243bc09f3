"""Room: memory, disk, addresses, ports of a bridge. Pure."""

from k3dasync.doctor import seen
from k3dasync.doctor.findings import Finding, Verdict, unknown
from k3dasync.doctor.seen import Seen

MIB = 2**20
GIB = 2**30
SERVER, AGENT, OTHER = 510 * MIB, 80 * MIB, 20 * MIB
"""Measured of real k3s: a server 420-510 MiB, an agent 76-80. The load balancer: assumed."""
NODE_DISK = 500 * MIB
"""A node unpacks k3s's programs and the images of its pods for itself; assumed."""
IMAGEFS, NODEFS = 15, 10
"""Percent free below which a kubelet evicts, by Kubernetes' defaults (node-pressure eviction)."""
BRIDGE_PORTS = 1023
"""A Linux bridge numbers its ports below BR_MAX_PORTS, 1024, from 1; beyond them starts fail with
`exchange full` (moby#44973)."""
FEW = 5
"""Subnets left; each cluster takes one, so the next ones are in danger."""


def memory(view: Seen) -> Finding:
    """What k3s itself takes; pods come on top."""
    total, check = view.facts.memory, "memory"
    free = seen.available_memory(view.text(seen.MEMINFO) or "", total)
    asked = view.asked
    needed = asked.servers * SERVER + asked.agents * AGENT + asked.others * OTHER
    if not total and free is None:
        return unknown(check, "the engine does not tell")
    value = f"{_size(free)} free" if free is not None else f"{_size(total)} in all"
    cure = "ask for fewer nodes, stop other clusters, or give the engine's machine more"
    why = "the kernel then kills nodes, and the API is gone for minutes"
    if total and total < needed:
        verdict = Verdict.ERROR
    elif free is not None and free < needed:
        verdict = Verdict.WARNING
    elif total and asked.memory_limit > total:
        verdict = Verdict.WARNING
        why = (
            f"a node that believes in {_size(asked.memory_limit)} takes pods for more than there is"
        )
        cure = "lower --servers-memory and --agents-memory"
    else:
        verdict, why, cure = Verdict.OK, "", ""
    return Finding(
        check=check, verdict=verdict, value=value, needed=_size(needed), why=why, cure=cure
    )


def disk(view: Seen) -> Finding:
    """Each kubelet measures the disk of the engine's data, and evicts pods below a percentage."""
    found, check = view.disk, "disk"
    if found is None or not found.size:
        return unknown(check)
    after = (found.free - view.asked.nodes * NODE_DISK) * 100 / found.size
    now = found.free * 100 / found.size
    needed = f"{_size(view.asked.nodes * NODE_DISK)}, then {IMAGEFS} %"
    value = f"{_size(found.free)} free, {now:.0f} %"
    why, cure = "", ""
    if now < NODEFS:
        verdict = Verdict.ERROR
    elif after < IMAGEFS:
        verdict = Verdict.WARNING
    else:
        verdict = Verdict.OK
    if verdict is not Verdict.OK:
        why = "kubelets report DiskPressure, remove images and evict pods"
        cure = "make room: docker system df, docker image prune, docker builder prune"
    return Finding(check=check, verdict=verdict, value=value, needed=needed, why=why, cure=cure)


def bridge_ports(view: Seen) -> Finding:
    """Each container in a network takes a port of its bridge."""
    needed, check = view.asked.nodes + view.asked.others + view.members, "bridge-ports"
    value = f"{BRIDGE_PORTS} a bridge"
    if needed <= BRIDGE_PORTS:
        return Finding(check=check, verdict=Verdict.OK, value=value, needed=str(needed))
    return Finding(
        check=check,
        verdict=Verdict.ERROR,
        value=value,
        needed=str(needed),
        why="containers beyond that do not start: `exchange full`",
        cure="ask for fewer nodes, or for several clusters",
    )


def subnets(view: Seen) -> Finding:
    """A cluster takes a subnet of our pool."""
    found, check = view.subnets, "subnets"
    if found is None:
        return Finding(check=check, verdict=Verdict.OK, value="no new one is needed")
    value = f"{found.free} of {found.total} free"
    if found.free > FEW:
        return Finding(check=check, verdict=Verdict.OK, value=value, needed="1")
    return Finding(
        check=check,
        verdict=Verdict.WARNING if found.free else Verdict.ERROR,
        value=value,
        needed="1",
        why=f"there is no network without one; the pool is {found.pool}",
        cure="docker network prune, or K3DASYNC_SUBNET_POOL=10.0.0.0/9",
    )


def _size(number: int) -> str:
    return f"{number / GIB:.1f} GiB" if number >= GIB else f"{number / MIB:.0f} MiB"
