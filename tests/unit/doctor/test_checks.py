"""Each check of doctor, on both sides of its threshold."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from k3dasync import doctor
from k3dasync.doctor import engine, limits, room, seen
from k3dasync.doctor.findings import Finding, Verdict, worst
from k3dasync.doctor.seen import Asked, Leftover, Seen, Subnets
from k3dasync.fake.host import HEALTHY, ROOT, TOLD
from k3dasync.host import Disk, HostView
from k3dasync.runtime import EngineFacts

Check = Callable[[Seen], Finding]
DOCUMENT = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text()
FACTS = EngineFacts(id="E", endpoint="fake://", version="20.10.24", cgroup_version="2", **TOLD)
GIB = 2**30
LACKING = "CapBnd:\t000001fffeffffff\n"


def view(
    files: dict[str, str] | None = None, facts: dict[str, Any] | None = None, **more: Any
) -> Seen:
    """Return a healthy host, changed: *files* by path."""
    changed = {path: text.encode() for path, text in (files or {}).items()}
    base = Seen(
        facts=replace(FACTS, **facts or {}),
        asked=Asked(servers=3, agents=10),
        host=HostView({**HEALTHY.files, **changed}, HEALTHY.disks),
        skew=0.0,
        subnets=Subnets(free=100, total=4096, pool="10.160.0.0/12"),
        images={"k3s": True},
    )
    return replace(base, **more)


def available(kilobytes: int) -> str:
    return f"MemTotal: 16777216 kB\nMemAvailable: {kilobytes} kB\n"


def disk(percent: float) -> dict[str, Any]:
    size = 1000 * GIB
    return {"host": HostView(HEALTHY.files, {ROOT: Disk(size, int(size * percent / 100))})}


OK, WARNING, ERROR, UNKNOWN = Verdict
CASES: list[tuple[Check, Verdict, Seen]] = [
    (engine.version, OK, view(facts={"version": "20.10.5"})),
    (engine.version, OK, view(facts={"version": "28.0.1"})),
    (engine.version, OK, view(facts={"version": "4.3.1"})),  # Podman's
    (engine.version, WARNING, view(facts={"version": "20.10.4+dfsg1"})),
    (engine.version, WARNING, view(facts={"version": "19.03.15"})),
    (engine.version, WARNING, view(facts={"version": "1.13.1"})),
    (engine.cgroups, OK, view(asked=Asked(k3s_minor=35))),
    (engine.cgroups, OK, view(asked=Asked(k3s_minor=34), facts={"cgroup_version": "1"})),
    (engine.cgroups, OK, view(asked=Asked(k3s_minor=None), facts={"cgroup_version": "1"})),
    (engine.cgroups, ERROR, view(asked=Asked(k3s_minor=35), facts={"cgroup_version": "1"})),
    (engine.cgroups, ERROR, view(facts={"has_memory_limit": False})),
    (engine.cgroups, UNKNOWN, view(facts={"cgroup_version": ""})),
    (engine.storage, OK, view()),
    (engine.storage, WARNING, view(facts={"storage_driver": "zfs"})),
    (engine.storage, WARNING, view(facts={"storage_driver": "btrfs"})),
    (engine.privileges, OK, view()),
    (engine.privileges, WARNING, view(facts={"security": frozenset({"rootless"})})),
    (engine.privileges, ERROR, view({seen.INIT_STATUS: LACKING})),
    (
        engine.privileges,
        OK,
        view({seen.INIT_STATUS: LACKING}, running=(1, 0)),
    ),
    (
        engine.privileges,
        OK,
        view({seen.INIT_STATUS: "CapBnd: 0\n"}, facts={"default_runtime": "wrapper"}),
    ),
    (engine.privileges, OK, view({seen.INIT_STATUS: "CapBnd: 0\n"}, is_inside=True)),
    # 3 x 30 + 10 x 10 + 30, and as many again where the same runs already.
    (limits.inotify_instances, OK, view({seen.INOTIFY_INSTANCES: "220\n"})),
    (limits.inotify_instances, WARNING, view({seen.INOTIFY_INSTANCES: "219\n"})),
    (limits.inotify_instances, WARNING, view({seen.INOTIFY_INSTANCES: "220\n"}, running=(1, 0))),
    (limits.inotify_instances, OK, view({seen.INOTIFY_INSTANCES: "128"}, asked=Asked(agents=2))),
    (limits.inotify_instances, UNKNOWN, view(host=None)),
    (limits.inotify_watches, OK, view({seen.INOTIFY_WATCHES: "11500"})),
    (limits.inotify_watches, WARNING, view({seen.INOTIFY_WATCHES: "11499"})),
    (limits.inotify_watches, UNKNOWN, view({seen.INOTIFY_WATCHES: "nonsense"})),
    (limits.files, OK, view({seen.FILE_NR: "1000 0 30000"})),
    (limits.files, WARNING, view({seen.FILE_NR: "1001 0 30000"})),
    (limits.files, OK, view({seen.LIMITS: "Max open files   1024   65536   files\n"})),
    (limits.files, WARNING, view({seen.LIMITS: "Max open files   1024   65535   files\n"})),
    (limits.files, OK, view({seen.LIMITS: "Max open files  unlimited unlimited files\n"})),
    (limits.files, UNKNOWN, view(host=HostView())),
    (limits.pids, OK, view({seen.PID_MAX: "4800"})),
    (limits.pids, WARNING, view({seen.PID_MAX: "4799"})),
    (limits.pids, WARNING, view({seen.THREADS_MAX: "4799"})),
    (limits.pids, WARNING, view({seen.CGROUP_PIDS[1]: "4299"})),
    (limits.pids, OK, view({seen.CGROUP_PIDS[1]: "4300", seen.CGROUP_PIDS[0]: "max"})),
    (limits.pids, UNKNOWN, view(host=None)),
    (room.memory, OK, view()),
    (room.memory, OK, view(host=None)),
    # 3 x 510 + 10 x 80 + 20 MiB
    (room.memory, OK, view(facts={"memory": 2350 * 2**20}, host=None)),
    (room.memory, ERROR, view(facts={"memory": 2350 * 2**20 - 1}, host=None)),
    (room.memory, OK, view({seen.MEMINFO: available(2406400)})),
    (
        room.memory,
        WARNING,
        view({seen.MEMINFO: available(2406399)}),
    ),
    (room.memory, OK, view({seen.MEMINFO: "MemTotal: 512 kB\nMemAvailable: 1 kB\n"})),
    (room.memory, UNKNOWN, view(facts={"memory": 0}, host=None)),
    # 13 x 500 MiB of 1000 GiB are 0.63 %.
    (room.disk, OK, view(**disk(15.7))),
    (room.disk, WARNING, view(**disk(15.6))),
    (room.disk, WARNING, view(**disk(10.1))),
    (room.disk, ERROR, view(**disk(9.9))),
    (room.disk, UNKNOWN, view(host=HostView(HEALTHY.files))),
    (room.bridge_ports, OK, view(asked=Asked(servers=1, agents=1021))),
    (room.bridge_ports, ERROR, view(asked=Asked(servers=1, agents=1022))),
    (room.bridge_ports, ERROR, view(members=1010)),
    (room.subnets, OK, view(subnets=None)),
    (room.subnets, OK, view(subnets=Subnets(free=6, total=16, pool="p"))),
    (room.subnets, WARNING, view(subnets=Subnets(free=5, total=16, pool="p"))),
    (room.subnets, WARNING, view(subnets=Subnets(free=1, total=16, pool="p"))),
    (room.subnets, ERROR, view(subnets=Subnets(free=0, total=16, pool="p"))),
    (engine.modules, OK, view()),
    (engine.modules, WARNING, view({"/boot/config-6.1.0-fake": "CONFIG_VXLAN=y\n"})),
    (engine.modules, UNKNOWN, view(host=None)),
    (engine.modules, UNKNOWN, view(facts={"kernel": "another"})),
    (engine.bridge_nf, OK, view()),
    (engine.bridge_nf, OK, view(host=None)),
    (engine.bridge_nf, WARNING, view({seen.BRIDGE_NF: "0"})),
    (engine.bridge_nf, WARNING, view(host=HostView(), facts={"bridge_nf": None})),
    (engine.bridge_nf, WARNING, view(host=None, facts={"bridge_nf": False})),
    (engine.bridge_nf, UNKNOWN, view(host=None, facts={"bridge_nf": None})),
    (engine.clock, OK, view(skew=2.0)),
    (engine.clock, WARNING, view(skew=2.1)),
    (engine.clock, WARNING, view(skew=60.0)),
    (engine.clock, ERROR, view(skew=60.1)),
    (engine.clock, OK, view(skew=-60.0)),
    (engine.clock, WARNING, view(skew=-60.1)),
    (engine.clock, UNKNOWN, view(skew=None)),
    (engine.images, OK, view(images={"k3s": False})),
    (engine.images, UNKNOWN, view(images=None)),
    (engine.ports, OK, view()),
    (engine.ports, ERROR, view(taken_ports=("80 (it is in use)",))),
    (engine.leftovers, OK, view()),
    (
        engine.leftovers,
        WARNING,
        view(leftovers=(Leftover(cluster="x", what="network n", command="k3dasync delete x"),)),
    ),
]


@pytest.mark.parametrize(
    ("check", "expected", "given"), CASES, ids=lambda one: getattr(one, "__name__", None)
)
def test_a_check_at_its_threshold(check: Check, expected: Verdict, given: Seen) -> None:
    """The verdict, and a cure wherever something is wrong or not known."""
    found = check(given)

    assert expected is found.verdict
    assert found.value
    assert (expected is not OK) == bool(found.cure)
    assert "\n" not in found.sentence


def test_every_check_is_tried_with_a_bad_host_and_described() -> None:
    """A new check needs cases here, and its line in docs/doctor.md."""
    bad = {check for check, verdict, _ in CASES if verdict in {WARNING, ERROR}}

    assert set(doctor.CHECKS) - {engine.images} == bad
    assert [] == [
        one.check for one in doctor.examine(view()) if f"\n| `{one.check}` |" not in DOCUMENT
    ]


def test_a_healthy_host_is_healthy() -> None:
    """Nothing to say of the fake engine's host."""
    assert worst(doctor.examine(view())) is OK


def test_the_worst_verdict() -> None:
    """Unknown is worse than ok and better than a warning."""

    def of(*verdicts: Verdict) -> Verdict:
        return worst(Finding(check="c", verdict=one, value="") for one in verdicts)

    assert OK is of()
    assert UNKNOWN is of(OK, UNKNOWN)
    assert WARNING is of(WARNING, UNKNOWN)
    assert ERROR is of(ERROR, WARNING)


def test_modules_are_found_by_each_list() -> None:
    """Built in, to be loaded, loaded, and in a packed configuration."""
    builtin = "kernel/net/bridge/br_netfilter.ko\nkernel/drivers/net/veth.ko\n"
    dep = "kernel/drivers/net/vxlan/vxlan.ko.xz: kernel/net/x.ko\nkernel/net/nf_tables.ko.zst:\n"
    folder = "/lib/modules/6.1.0-fake"
    files = {
        f"{folder}/modules.builtin": builtin.encode(),
        f"{folder}/modules.dep": dep.encode(),
        seen.MODULES: b"nf_conntrack 1 2 - Live 0x0\n",
        seen.FILESYSTEMS: b"nodev\toverlay\n",
    }
    packed = gzip.compress(HEALTHY.files["/boot/config-6.1.0-fake"])

    assert engine.modules(view(host=HostView(files))).verdict is OK
    assert engine.modules(view(host=HostView({seen.CONFIG: packed}))).verdict is OK
    assert (
        "nf_conntrack"
        in engine.modules(view(host=HostView({**files, seen.MODULES: b"x 1 2\n"}))).value
    )
    assert engine.modules(view(host=HostView({seen.CONFIG: packed[:40]}))).verdict is UNKNOWN


def test_proc_texts() -> None:
    """What is not there, or nonsense, is not known."""
    assert 258 == seen.threads("1.18 0.55 0.25 2/258 18907\n")
    assert None is seen.threads("")
    assert None is seen.has_capability("Name: x\n", 24)
    assert True is seen.has_capability("CapBnd:\t0000000001000000\n", 24)
    assert None is seen.available_memory("", 1)
    assert 1024 == seen.available_memory("MemTotal: 5 kB\nMemAvailable: 1 kB\n", 0)
    assert () == seen.module_lists("../../etc")
