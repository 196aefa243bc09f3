"""Every code of docs/errors.md, brought about on the command line."""

import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from k3dasync.access_errors import ClusterDown, ExportIncomplete, ProgramUnusable
from k3dasync.backend import Backend
from k3dasync.cli import main
from k3dasync.diagnosis import CAUSES, TOKEN, UNREACHABLE
from k3dasync.errors import (
    AddressesUnsupported,
    AddressTaken,
    ChannelError,
    ClaimLost,
    ClusterBusy,
    ClusterExists,
    Conflict,
    DeadlineExceeded,
    EngineError,
    EngineUnavailable,
    ImageNotFound,
    ImageUnavailable,
    ImportFailed,
    Interrupted,
    JournalError,
    K3dAsyncError,
    KubernetesError,
    NameTaken,
    NodeGone,
    NotFound,
    OutputError,
    PoolExhausted,
    PortTaken,
    RegistryUnusable,
    RollbackIncomplete,
    SubnetTaken,
)
from k3dasync.etcd import EtcdRefused
from k3dasync.fake import Fail, FakeRuntime, Fault, Faults, Latency, backend_of
from k3dasync.image_errors import BuildFailed, ImagesUnknown
from k3dasync.invalid import UsageError
from k3dasync.kubeconfig import KubeconfigError
from k3dasync.life_errors import (
    BalancerFailed,
    FolderNotRemoved,
    NoLoadBalancer,
    NotEditable,
    NotHalted,
    NotMade,
    SeveralFailed,
)
from k3dasync.member_errors import (
    BalancerStale,
    CannotGrow,
    NodeElsewhere,
    NodeNeeded,
    NothingToAsk,
)
from k3dasync.node_errors import DiskPressure, NodeCrashed, NodeMoved, NodeStuck
from k3dasync.operations._ports import is_port_in_use
from k3dasync.runtime import PortBinding

ERRORS = Path(__file__).parents[2] / "docs" / "errors.md"
ROWS = set(re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", ERRORS.read_text(), re.MULTILINE))
"""Codes with their exit codes, as documented."""

CREATE = ("create", "dev", "--runtime", "fake")
WRITTEN: dict[str, tuple[str, ...]] = {
    "SPEC_INVALID": (*CREATE, "--token", "a b"),
    "INVALID_NAME": ("create", "Bad_Name"),
    "INVALID_IMAGE": (*CREATE, "--image", "UPPER:x"),
    "INVALID_DURATION": (*CREATE, "--timeout", "5"),
    "INVALID_API_PORT": (*CREATE, "--api-port", "99999"),
    "INVALID_SUBNET": (*CREATE, "--subnet", "10.0.0.0/30"),
    "INVALID_COUNT": (*CREATE, "--servers", "0"),
    "INVALID_JOIN": (*CREATE, "--join=together"),
    "INVALID_WAIT": (*CREATE, "--wait=never"),
    "INVALID_NETWORK": (*CREATE, "--network", "bridge"),
    "INVALID_DATASTORE": (*CREATE, "--datastore-endpoint", "nowhere"),
    "INVALID_REGISTRIES": (*CREATE, "--registry-config", "bad.yaml"),
    "INVALID_RUNTIME": ("create", "--runtime", "nonsense"),
    "INVALID_SETTING": (*CREATE, "-s", "2"),
    "INVALID_OUTPUT": ("list", "-o", "xml"),
    "FILE_UNREADABLE": (*CREATE, "--config", "no-such.yaml"),
    "CONFLICTING_FLAGS": ("delete", "a", "--all"),
    "INVALID_SYNTAX": (*CREATE, "--host-alias", "x"),
    "INVALID_FILTER": (*CREATE, "-p", "80:80@nobody:0"),
    "INVALID_PORT": (*CREATE, "-p", "x"),
    "INVALID_VOLUME": (*CREATE, "-v", "a:b:c:d:e"),
    "CONFIG_INVALID": (*CREATE, "--config", "bad.yaml"),
    "CONFIG_NOT_WRITTEN": ("config", "init", "-o", "bad.yaml"),
    "UNKNOWN_COMMAND": ("creat",),
    "UNKNOWN_FLAG": ("create", "--agent", "1"),
    "MISSING_VALUE": ("create", "--agents"),
    "INVALID_VALUE": ("create", "-s", "x"),
    "UNEXPECTED_ARGUMENT": ("create", "a", "b"),
    "HOST_UNFIT": ("doctor", "--agents", "900", "--servers", "500", "--runtime", "fake"),
    "CLUSTER_NOT_FOUND": ("list", "nope", "--runtime", "fake"),
    "REGISTRY_NOT_FOUND": ("registry", "list", "nope", "--runtime", "fake"),
    "NODE_NOT_FOUND": ("node", "list", "nope", "--runtime", "fake"),
    "TAGS_UNAVAILABLE": ("version", "list", "localhost:1/nothing/there"),
    "DEADLINE_EXCEEDED": (*CREATE, "--timeout", "100ms"),
}
"""What brings it about without any fault; INVALID_SETTING by a variable."""

OF_ENGINE = (
    EngineError,
    NotFound,
    Conflict,
    ImageUnavailable,
    ClaimLost,
    SubnetTaken,
    PoolExhausted,
    PortTaken,
)
RAISED: tuple[K3dAsyncError, ...] = (
    *(kind("do", "it", "no") for kind in (*OF_ENGINE, AddressTaken, AddressesUnsupported)),
    K3dAsyncError("no"),
    EngineUnavailable("no container engine"),
    ChannelError("stable", "no"),
    ClusterBusy("dev", "process 1"),
    DeadlineExceeded(60.0, ["ready:k3d-dev-agent-0"], code="NODE_NOT_READY"),
    DeadlineExceeded(60.0, ["api:dev"], code="API_UNREACHABLE"),
    ClusterExists("dev", ["k3d-dev-server-0"]),
    NameTaken("network", "k3d-dev", "somebody"),
    KubernetesError("no"),
    *(
        NodeCrashed("k3d-dev-server-0", exits=3, exit_code=1, cause=cause, log=())
        for cause in CAUSES
    ),
    NodeStuck("k3d-dev-agent-0", server="https://k3d-dev-server-0:6443", cause=TOKEN, log=()),
    NodeStuck("k3d-dev-agent-0", server="https://x:6443", cause=UNREACHABLE, log=()),
    DiskPressure("k3d-dev-agent-0", "kubelet has disk pressure"),
    NodeGone("k3d-dev-server-0", "removed"),
    NodeMoved("k3d-dev-server-1", "10.0.0.3", "10.0.0.4"),
    ClusterDown("dev", "stopped", "start"),
    ExportIncomplete("x.tar.gz", ["no log"]),
    ProgramUnusable("kubectl", "no"),
    NodeElsewhere("node", "dev"),
    NodeNeeded(["k3d-dev-server-0"], "no", "start it"),
    CannotGrow("dev", "server", "no"),
    NothingToAsk("dev", "add nodes"),
    NodeElsewhere("k3d-gpu-0", "dev"),
    BalancerStale("k3d-dev-serverlb", 20.0),
    NotHalted("dev", ["k3d-dev-agent-0 still runs: no"]),
    SeveralFailed("failed for 2 of them: a, b"),
    NotMade("volume", "data"),
    FolderNotRemoved(".k3d-dev-server-0", "no"),
    NoLoadBalancer("dev"),
    NotEditable("k3d-dev-server-0", "no"),
    BalancerFailed("k3d-dev-serverlb", "no", ["nginx: [emerg] no"]),
    ImageNotFound("no"),
    ImportFailed("no"),
    BuildFailed(["app:dev"], "no"),
    ImagesUnknown({"k3d-dev-agent-0": "no"}),
    RegistryUnusable("x", "no", "look"),
    Interrupted("stopped"),
    JournalError("no"),
    OutputError(OSError(28, "No space left on device")),
    RollbackIncomplete(["network k3d-dev"], "k3dasync rollback dev"),
    EtcdRefused("no"),
    KubeconfigError("no"),
    UsageError("no"),
)
"""What an engine or a machine must do wrong: raised by a call to the engine."""

_ordered: list[K3dAsyncError] = []


@asynccontextmanager
async def broken() -> AsyncIterator[Backend]:
    """Open a fake engine that makes no network but raises what is ordered, every time."""
    faults = Faults((Fault(trouble=Fail(_ordered[-1]), verb="create_network", times=1000),))
    async with FakeRuntime(latency=Latency.instant(), faults=faults) as runtime:
        yield backend_of(runtime, is_rehearsal=True)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be where a file is that is neither a config file nor registries."""
    (tmp_path / "bad.yaml").write_text("- nothing\n")
    monkeypatch.chdir(tmp_path)
    yield
    _ordered.clear()


def last_line(err: str) -> str:
    return next(line for line in err.splitlines() if line.startswith("error: "))


@pytest.mark.parametrize("code", WRITTEN)
def test_what_is_written_gives_its_code(
    code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit code of the table, the code at the end of the line."""
    if code == "INVALID_SETTING":
        monkeypatch.setenv("K3DASYNC_SUBNET_POOL", "nonsense")
    found = main(WRITTEN[code])
    line = last_line(capsys.readouterr().err)

    assert f"[{code}]" == line.rpartition(" ")[2]
    assert (code, str(found)) in ROWS


@pytest.mark.parametrize("error", RAISED, ids=lambda error: error.code)
def test_what_an_engine_does_gives_its_code(
    error: K3dAsyncError, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task that fails ends the command with its cause's codes."""
    _ordered.append(error)
    found = main(["create", "dev", "--runtime", f"{__name__}:broken"])
    line = last_line(capsys.readouterr().err)

    assert f"[{error.code}]" == line.rpartition(" ")[2]
    assert error.exit_code == found
    assert (error.code, str(found)) in ROWS


def test_every_code_is_brought_about() -> None:
    """A new code needs its line here."""
    assert {code for code, _ in ROWS} == {*WRITTEN, *(error.code for error in RAISED)}


def test_a_port_of_this_machine_is_seen_by_address_and_protocol() -> None:
    """Where something listens; not at another protocol, not where nobody does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = PortBinding(port="80", host_ip="127.0.0.1", host_port=port)

        assert is_port_in_use(taken)
        assert is_port_in_use(PortBinding(port="80/tcp", host_ip="", host_port=port))
        assert not is_port_in_use(PortBinding(port="80/sctp", host_ip="", host_port=port))
        assert not is_port_in_use(PortBinding(port="80", host_ip="192.0.2.1", host_port=port))
    assert not is_port_in_use(taken)
