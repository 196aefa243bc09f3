"""doctor on the fake engine: from where it looks, what it finds, and what create says of it."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from k3dasync import events
from k3dasync.backend import Backend
from k3dasync.cli import main
from k3dasync.doctor import seen
from k3dasync.doctor.findings import Finding, Verdict
from k3dasync.events import AnyEvent
from k3dasync.fake import FakeRuntime, Latency, backend_of
from k3dasync.fake.host import HEALTHY
from k3dasync.grammar import filtered
from k3dasync.host import HostView, look_here
from k3dasync.journal import cluster_lock
from k3dasync.operations._leftovers import leftovers
from k3dasync.operations._look import parse_df, parse_grep
from k3dasync.operations._observe import observe
from k3dasync.operations.create import create
from k3dasync.operations.doctor import Examination, asked_of, examine
from k3dasync.runtime import PortBinding, VolumeSpec
from k3dasync.spec import ApiPort, ClusterSpec

SPEC = ClusterSpec(name="dev", agents=1)
LOW = HostView({**HEALTHY.files, seen.INOTIFY_INSTANCES: b"50\n"}, HEALTHY.disks)


@asynccontextmanager
async def engine(host: HostView | None = None) -> AsyncIterator[tuple[FakeRuntime, Backend]]:
    async with FakeRuntime(latency=Latency.instant(), id="E1") as runtime:
        yield runtime, backend_of(runtime, host=host)


def finding(found: Examination, check: str) -> Finding:
    return next(one for one in found.findings if one.check == check)


async def test_a_healthy_engine() -> None:
    """Everything is looked at, and only the clock, which a fake has not, is unknown."""
    async with engine() as (runtime, backend):
        before = runtime.snapshot()
        found = await examine(SPEC, backend=backend)

        assert "this machine" == found.looked
        assert before == runtime.snapshot()
    bad = {one.check for one in found.findings if one.verdict is not Verdict.OK}
    assert {"clock"} == bad


def test_the_cure_for_cgroups_of_version_1_cures() -> None:
    """Whoever tells every kubelet to run on version 1 is not told so again."""
    told = filtered.parse("--kubelet-arg=fail-cgroupv1=false@all")

    assert 35 == asked_of(ClusterSpec(image="rancher/k3s:v1.35.5-k3s1")).k3s_minor
    assert None is asked_of(ClusterSpec(k3s_args=(told,))).k3s_minor
    assert None is asked_of(ClusterSpec(image="mine:latest")).k3s_minor


async def test_a_host_elsewhere_is_looked_at_inside_a_node() -> None:
    """Without a node nothing is known; with one, its files are the host's."""
    async with engine() as (runtime, backend):
        elsewhere = replace(backend, look=None)
        before = await examine(SPEC, backend=elsewhere)
        await create(SPEC, backend=backend)
        for node in ("k3d-dev-server-0", "k3d-dev-agent-0"):
            files = runtime.machine.inventory.containers[node].files
            files.update(LOW.files)
            files["/var/lib/rancher/k3s.df"] = (
                b"Filesystem 1024-blocks Used Available Capacity Mounted on\n"
                b"/dev/sda1 100000000 95000000 5000000 95% /var/lib/rancher/k3s\n"
            )
        after = await examine(replace_name("other"), backend=elsewhere)

    assert ("", Verdict.UNKNOWN) == (before.looked, finding(before, "disk").verdict)
    assert "doctor" in finding(before, "inotify-instances").cure
    assert after.looked.startswith("inside k3d-dev-")
    assert Verdict.ERROR is finding(after, "disk").verdict
    assert "50" == finding(after, "inotify-instances").value


def replace_name(name: str) -> ClusterSpec:
    return ClusterSpec(name=name, agents=1)


def test_what_commands_in_a_node_say() -> None:
    """Lines with their files' names, and POSIX's table; nonsense is nothing."""
    assert {"/a": b"1:2\n3\n", "/b": b"\n"} == parse_grep("/a:1:2\n/a:3\n/b:\nnonsense\n")
    disk = parse_df("Filesystem 1024-blocks Used Available Capacity Mounted\n/d 10 2 8 20% /\n")
    assert disk is not None
    assert (10240, 8192) == (disk.size, disk.free)
    assert None is parse_df("")
    assert None is parse_df("df: no such file\n")


async def test_this_machine_is_looked_at(tmp_path: Path) -> None:
    """Files and disks that are there; others are left out."""
    (tmp_path / "file").write_text("128\n")
    there, absent = str(tmp_path / "file"), str(tmp_path / "absent")
    found = await look_here((there, absent), (str(tmp_path), absent))

    assert {there: b"128\n"} == found.files
    assert [str(tmp_path)] == list(found.disks)
    assert 0 <= found.disks[str(tmp_path)].free <= found.disks[str(tmp_path)].size


async def test_a_taken_port_is_named() -> None:
    """With the container that has it."""
    async with engine() as (runtime, backend):
        network = runtime.add_foreign_network("theirs")
        binding = PortBinding(port="80", host_ip="127.0.0.1", host_port=26550)
        await runtime.add_foreign_container("web", network, ports=[binding])
        spec = ClusterSpec(name="dev", api_port=ApiPort(port=26550))
        found = finding(await examine(spec, backend=backend), "host-ports")

    assert (Verdict.ERROR, "26550 (container web has it)") == (found.verdict, found.value)


async def test_leftovers_are_found_with_their_cure() -> None:
    """A volume of a run that is gone; not a cluster that is there, nor one just being made."""
    labels = {"app": "k3d", "k3d.cluster": "old", "k3dasync.run": "r"}
    async with engine() as (runtime, backend):
        await create(SPEC, backend=backend)
        await runtime.create_volume(VolumeSpec(name="k3d-old-images", labels=labels))
        found = finding(await examine(replace_name("new"), backend=backend), "leftovers")
        with cluster_lock("old", "E1"):
            busy = finding(await examine(replace_name("new"), backend=backend), "leftovers")

    assert Verdict.WARNING is found.verdict
    assert ("old (volume k3d-old-images)", "k3dasync delete old") == (found.value, found.cure)
    assert Verdict.OK is busy.verdict


async def test_what_another_user_may_be_making_is_no_leftover() -> None:
    """A node without a started server is one only when a create would have ended long ago."""
    labels = {"app": "k3d", "k3d.cluster": "other", "k3dasync.run": "r", "k3d.role": "agent"}
    async with engine() as (runtime, backend):
        network = runtime.add_foreign_network("theirs")
        await runtime.add_foreign_container("k3d-other-agent-0", network, labels=labels)
        facts = await backend.runtime.facts()
        made = (await runtime.inspect_container("k3d-other-agent-0")).state.created
        for age, expected in ((60.0, []), (3600.0, ["other"])):
            world = await observe(backend.runtime, replace(facts, time=made + age))
            assert expected == [one.cluster for one in leftovers(world)]


@pytest.mark.parametrize("is_rehearsal", [False, True])
async def test_create_warns_of_a_low_limit(is_rehearsal: bool) -> None:
    """Once, with the cure, and goes on; a rehearsal says nothing."""
    told: list[AnyEvent] = []

    class Keeper:
        def write(self, event: AnyEvent) -> None:
            told.append(event)

    async with FakeRuntime(latency=Latency.instant()) as runtime:
        backend = backend_of(runtime, is_rehearsal=is_rehearsal, host=LOW)
        image = "docker.io/rancher/k3s:v1.34.1-k3s1"
        runtime.add_image(image)
        await create(ClusterSpec(name="dev", image=image), backend=backend, sinks=(Keeper(),))

    texts = [one.text for one in told if isinstance(one, events.Warned)]
    assert (0 if is_rehearsal else 1) == len(texts)
    assert all("inotify-instances: 50, 60 needed" in text for text in texts)
    assert all("sysctl -w fs.inotify.max_user_instances=512" in text for text in texts)


def test_the_clock_is_compared_with_the_time_of_asking() -> None:
    """Whatever time the answer took does not count."""
    from k3dasync.operations.doctor import _skew

    now = time.time()
    assert 0.0 == _skew(now + 1, now, now + 2)
    assert -1.0 == pytest.approx(_skew(now - 1, now, now + 2))
    assert 3.0 == pytest.approx(_skew(now + 5, now, now + 2))
    assert None is _skew(0.0, now, now)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K3DASYNC_FAKE_SCALE", "0")


IMAGE = ("--image", "docker.io/rancher/k3s:v1.34.1-k3s1", "--runtime", "fake")


@pytest.mark.usefixtures("fast")
def test_json_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Its shape is the documented one."""
    assert 0 == main(["doctor", "--servers", "3", "--agents", "10", "-o", "json", *IMAGE])
    found = json.loads(capsys.readouterr().out)

    assert "k3dasync.doctor/1.0" == found["schema"]
    assert {"servers": 3, "agents": 10} == found["asked"]
    assert {"schema", "verdict", "engine", "looked", "asked", "findings"} == set(found)
    keys = {"check", "verdict", "value", "needed", "why", "cure"}
    assert [keys] * len(found["findings"]) == [set(one) for one in found["findings"]]


@pytest.mark.usefixtures("fast")
def test_an_error_ends_with_1_and_its_check(capsys: pytest.CaptureFixture[str]) -> None:
    """The table is printed all the same; warnings alone end with 0."""
    assert 1 == main(["doctor", "--agents", "1500", *IMAGE])
    out, err = capsys.readouterr()

    assert "bridge-ports" in out
    assert "exchange full" in out
    assert "error: a cluster would not come up here: memory, bridge-ports [HOST_UNFIT]" in err


def test_no_engine_ends_with_69(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As everywhere."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")

    assert 69 == main(["doctor"])
