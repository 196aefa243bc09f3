"""The engine, its kernel, and what it has. Pure."""

import re

from k3dasync.doctor import seen
from k3dasync.doctor.findings import Finding, Verdict, unknown
from k3dasync.doctor.seen import Seen

OLDEST = (20, 10, 5)
"""k3d's: before, runc cannot start nodes on some kernels (k3d#807)."""
FIRST_BY_YEAR = 17
"""Docker's versions are years since 2017; smaller ones are Podman's, whose numbers are its own."""
SYS_RESOURCE = 24
"""CAP_SYS_RESOURCE, by capabilities(7)."""
LATE, VERY_LATE = 2.0, 60.0
"""Seconds. A node's first certificate is used about two seconds after it was made; we wait on,
but nobody waits for a minute."""
NEEDED_MODULES = {
    "overlay": "OVERLAY_FS",
    "br_netfilter": "BRIDGE_NETFILTER",
    "nf_conntrack": "NF_CONNTRACK",
    "vxlan": "VXLAN",
    "veth": "VETH",
}
"""containerd's snapshots, services between pods of one node, connection tracking, flannel's usual
backend, the pods' links: and what each is called in a kernel's configuration."""
FIREWALLS = {"ip_tables": "IP_NF_IPTABLES", "nf_tables": "NF_TABLES"}
"""One of both is enough for kube-proxy."""


def version(view: Seen) -> Finding:
    """The engine answers: that it does not is another error."""
    facts, check = view.facts, "engine"
    value = f"{facts.version}, API {facts.api_version}" if facts.api_version else facts.version
    numbers = tuple(int(one) for one in re.findall(r"\d+", facts.version)[:3])
    if (FIRST_BY_YEAR,) <= numbers < OLDEST or numbers[:1] == (1,):
        return Finding(
            check=check,
            verdict=Verdict.WARNING,
            value=value,
            needed="20.10.5",
            why="older ones cannot start nodes on some kernels",
            cure="upgrade the engine, and runc with it",
        )
    return Finding(check=check, verdict=Verdict.OK, value=value)


def cgroups(view: Seen) -> Finding:
    """Nodes need the controllers, and new kubelets the second version."""
    facts, check = view.facts, "cgroups"
    if not facts.cgroup_version:
        return unknown(check, "the engine does not tell")
    value, needed = f"version {facts.cgroup_version}", ""
    verdict, why, cure = Verdict.OK, "", ""
    minor = view.asked.k3s_minor
    if not (facts.has_memory_limit and facts.has_pids_limit):
        value += ", without memory or pids"
        verdict, needed = Verdict.ERROR, "both"
        why = "k3s exits: `failed to find memory cgroup`"
        cure = "boot the kernel with cgroup_enable=memory cgroup_memory=1"
    elif facts.cgroup_version == "1" and minor is not None and minor >= 35:
        verdict, needed = Verdict.ERROR, "version 2"
        why = f"the kubelet of v1.{minor} exits on version 1"
        cure = "add --k3s-arg '--kubelet-arg=fail-cgroupv1=false@all', or an older --image"
    return Finding(check=check, verdict=verdict, value=value, needed=needed, why=why, cure=cure)


def storage(view: Seen) -> Finding:
    """Each node's containerd keeps layers on a file system of the engine's."""
    driver = view.facts.storage_driver
    cures = {
        "zfs": "add --k3s-arg '--snapshotter=native@all'",
        "btrfs": "add -v /dev/mapper:/dev/mapper",
        "vfs": "let the engine use overlay2: vfs copies every layer",
        "fuse-overlayfs": "let the engine use overlay2, or --k3s-arg '--snapshotter=native@all'",
    }
    if driver not in cures:
        return Finding(check="storage", verdict=Verdict.OK, value=driver or "not told")
    return Finding(
        check="storage",
        verdict=Verdict.WARNING,
        value=driver,
        needed="overlay2",
        why="containerd in nodes may fail on it",
        cure=cures[driver],
    )


def privileges(view: Seen) -> Finding:
    """Nodes are privileged containers."""
    facts, check = view.facts, "privileges"
    if "rootless" in facts.security:
        return Finding(
            check=check,
            verdict=Verdict.WARNING,
            value="rootless",
            why="nodes need cgroup v2 with cpu, memory and pids delegated to the user",
            cure="Delegate=yes in user@.service, or use an engine of root's",
        )
    # Nodes that run have shown it; from inside one, process 1 is the node's own.
    status = view.text(seen.INIT_STATUS)
    has = None if status is None or view.is_inside else seen.has_capability(status, SYS_RESOURCE)
    if sum(view.running) or has is not False or facts.default_runtime not in {"", "runc"}:
        return Finding(check=check, verdict=Verdict.OK, value="of root")
    return Finding(
        check=check,
        verdict=Verdict.ERROR,
        value="no CAP_SYS_RESOURCE",
        why="privileged containers do not start: `unable to apply caps`",
        cure="a machine whose root has it, or an OCI runtime that leaves it out",
    )


def modules(view: Seen) -> Finding:
    """What is loaded, built in, or can be loaded by the kernel itself when it is first used."""
    known = _modules(view)
    if not known:
        return unknown("kernel-modules", "the kernel's modules are listed nowhere here")
    absent = [name for name in NEEDED_MODULES if name not in known]
    if not known & FIREWALLS.keys():
        absent.append("ip_tables")
    if not absent:
        return Finding(check="kernel-modules", verdict=Verdict.OK, value="all there")
    return Finding(
        check="kernel-modules",
        verdict=Verdict.WARNING,
        value=f"no {', '.join(absent)}",
        needed="all",
        why="k3s's containerd, network or services do not work without",
        cure=f"sudo modprobe -a {' '.join(absent)}",
    )


def _modules(view: Seen) -> frozenset[str]:
    """Return what can be known to be there; nothing if there is no list that is whole."""
    config, builtin, dep = (
        paths if (paths := seen.module_lists(view.facts.kernel)) else ("", "", "")
    )
    files = view.host.files if view.host else {}
    settings = "".join(
        seen.kernel_config(files[one]) for one in (seen.CONFIG, config) if one in files
    )
    if not settings and not (builtin in files and dep in files):
        return frozenset()
    names = {line.split(" ", 1)[0] for line in (view.text(seen.MODULES) or "").splitlines()}
    if re.search(r"\boverlay$", view.text(seen.FILESYSTEMS) or "", re.MULTILINE):
        names.add("overlay")
    lists = f"{view.text(builtin) or ''}\n{view.text(dep) or ''}"
    names |= set(re.findall(r"^\S*/([\w-]+)\.ko", lists, re.MULTILINE))
    names |= {
        name
        for name, option in {**NEEDED_MODULES, **FIREWALLS}.items()
        if re.search(rf"^CONFIG_{option}=[ym]$", settings, re.MULTILINE)
    }
    return frozenset(name.replace("-", "_") for name in names)


def bridge_nf(view: Seen) -> Finding:
    """Whether services are found by pods on the same node; k3s sets the switch if it is there."""
    check, found = "bridge-nf", view.number(seen.BRIDGE_NF)
    if found is None and view.facts.bridge_nf is not None:
        found = int(view.facts.bridge_nf)
    if found is None and view.host is None:
        return unknown(check)
    if found:
        return Finding(check=check, verdict=Verdict.OK, value="on")
    cure = "sudo modprobe br_netfilter && sudo sysctl -w net.bridge.bridge-nf-call-iptables=1"
    return Finding(
        check=check,
        verdict=Verdict.WARNING,
        value="off" if found == 0 else "br_netfilter is not loaded",
        needed="on",
        why="pods do not reach services whose pods are on their own node",
        cure=cure,
    )


def clock(view: Seen) -> Finding:
    """A certificate is not valid before the time, by the engine's clock, at which it was made."""
    if view.skew is None:
        return unknown("clock", "the engine does not tell its time")
    ahead, off = view.skew, abs(view.skew)
    where = "ahead" if ahead > 0 else "behind"
    value = f"{off:.1f} s {where}" if off >= 0.05 else "as ours"
    if ahead <= LATE and off <= VERY_LATE:
        return Finding(check="clock", verdict=Verdict.OK, value=value)
    return Finding(
        check="clock",
        verdict=Verdict.ERROR if ahead > VERY_LATE else Verdict.WARNING,
        value=value,
        needed=f"{LATE:.0f} s",
        why="certificates made now are not valid here yet, tokens expire at other times",
        cure="set both clocks by NTP; a virtual machine that slept is restarted",
    )


def images(view: Seen) -> Finding:
    """What is not there is pulled by the create."""
    if view.images is None:
        return unknown("images", "they were not asked for")
    absent = [name for name, is_there in view.images.items() if not is_there]
    if not absent:
        return Finding(check="images", verdict=Verdict.OK, value="all there")
    value, why = f"{len(absent)} to be pulled", f"create pulls {', '.join(absent)}"
    return Finding(check="images", verdict=Verdict.OK, value=value, why=why)


def ports(view: Seen) -> Finding:
    """Host ports that were asked for."""
    if not view.taken_ports:
        return Finding(check="host-ports", verdict=Verdict.OK, value="free")
    return Finding(
        check="host-ports",
        verdict=Verdict.ERROR,
        value=", ".join(view.taken_ports),
        why="create refuses them",
        cure="free them, or name others",
    )


def leftovers(view: Seen) -> Finding:
    """What is left of runs that were cut."""
    if not view.leftovers:
        return Finding(check="leftovers", verdict=Verdict.OK, value="none")
    return Finding(
        check="leftovers",
        verdict=Verdict.WARNING,
        value=", ".join(f"{one.cluster} ({one.what})" for one in view.leftovers),
        why="they hold names, addresses and room",
        cure="; ".join(one.command for one in view.leftovers),
    )
