"""Each code of what keeps a cluster from coming, brought about on a real engine."""

import time

import pytest

from k3dasync import events
from k3dasync.events import AnyEvent
from tests.integration.conftest import Cli, Done, Variant
from tests.integration.docker_api import DockerApi
from tests.integration.proxy import Proxy, proxy
from tests.integration.test_clusters import everything_of
from tests.laws import assert_laws

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]


def assert_code(cli: Cli, name: str, done: Done, code: str) -> events.TaskFailed:
    """Look for the code in the error and in the events, and that nothing is left."""
    assert f"[{code}]" in done.error
    log = cli.events(name)
    run = log[-1]
    assert isinstance(run, events.RunFailed)
    assert code == run.code
    task = next(one for one in log if isinstance(one, events.TaskFailed))
    assert (code, run.hint) == (task.code, task.hint)
    assert [] == everything_of(name)
    assert_laws(log)
    return task


def seconds(log: list[AnyEvent], task: str) -> float:
    """Return when a task was done."""
    done = (one for one in log if isinstance(one, events.TaskDone))
    return next(one.t for one in done if one.task == task)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("NODE_CRASHLOOP", "flag provided but not defined: -nonsense"),
        ("TOKEN_MISMATCH", "bootstrap data already found and encrypted with different token"),
        ("INOTIFY_LIMIT", "failed to create fsnotify watcher: too many open files"),
        ("DISK_PRESSURE", "write /var/lib/rancher/k3s/server/db: no space left on device"),
        ("PORT_IN_USE", "listen tcp :6443: bind: address already in use"),
    ],
)
def test_a_crash_loop_has_the_code_of_what_it_says(
    cli: Cli, variant: Variant, own_name: str, code: str, says: str
) -> None:
    """Its fatal line is first, in the error and the events, with what to do."""
    name = f"says-{code.lower().replace('_', '-')}"
    cli.image = variant(name, "STANDIN_CRASH=start@*-agent-0", f"STANDIN_SAYS={says}")
    created = cli.create(own_name, "--agents", "1")

    assert 1 == created.code
    task = assert_code(cli, own_name, created, code)
    assert says in task.log[0]
    assert says in created.err
    assert task.hint is not None
    assert task.hint in created.error


def test_a_node_that_needs_more_memory_than_it_has(
    cli: Cli, variant: Variant, own_name: str
) -> None:
    """The kernel kills it, within the limit that was asked for."""
    cli.image = variant("oom", "STANDIN_OOM=start@*-agent-0")
    created = cli.create(own_name, "--agents", "1", "--agents-memory", "64m")

    assert_code(cli, own_name, created, "NODE_OOM")
    assert "was killed for want of memory" in created.error


def test_a_joining_server_that_etcd_refuses_for_good(
    cli: Cli, variant: Variant, own_name: str
) -> None:
    """More often than it does in passing."""
    says = "ETCD join failed: etcdserver: unhealthy cluster"
    cli.image = variant("refused", "STANDIN_CRASH=start@*-server-1", f"STANDIN_SAYS={says}")
    created = cli.create(own_name, "--servers", "2")

    task = assert_code(cli, own_name, created, "ETCD_UNHEALTHY")
    assert "exited with code 1 8 times" in task.error


@pytest.mark.parametrize("role", ["agent", "server"])
def test_a_node_with_another_token(cli: Cli, own_name: str, role: str) -> None:
    """An agent asks for ever, a server exits; both are told within seconds, without the token."""
    node = "agent:0" if role == "agent" else "server:1"
    argument = f"--token=a-wrong-secret@{node}"
    created = cli.create(own_name, "--servers", "2", "--agents", "1", "--k3s-arg", argument)

    task = assert_code(cli, own_name, created, "TOKEN_MISMATCH")
    assert "401 Unauthorized" in "".join(task.log)
    assert "a-wrong-secret" not in task.error
    log = cli.events(own_name)
    assert task.t - seconds(log, f"start:k3d-{own_name}-{role}-{node[-1]}") < 15


def test_an_agent_that_cannot_reach_its_server(cli: Cli, own_name: str) -> None:
    """The server answers us; the address is named, and before that what the agent complains of."""
    argument = "--server=https://127.0.0.9:6443@agent:0"
    created = cli.create(own_name, "--agents", "1", "--k3s-arg", argument)

    assert 1 == created.code
    task = assert_code(cli, own_name, created, "API_UNREACHABLE")
    assert "does not reach its server https://127.0.0.9:6443" in task.error
    said = [one.on for one in cli.events(own_name) if isinstance(one, events.TaskWaiting)]
    assert any(f"k3d-{own_name}-agent-0 says: failed to get CA certs" in on for on in said)


def test_a_node_with_disk_pressure(cli: Cli, variant: Variant, own_name: str) -> None:
    """It takes no pods, so whoever waits for nodes fails, in the words of the condition."""
    cli.image = variant("full", "STANDIN_DISK_PRESSURE=*-agent-0")
    created = cli.create(own_name, "--agents", "1")

    task = assert_code(cli, own_name, created, "DISK_PRESSURE")
    assert f"k3d-{own_name}-agent-0 takes no pods: kubelet has disk pressure" in task.error


@pytest.mark.parametrize(
    ("code", "order"),
    [
        (
            "NODE_NOT_READY",
            ("STANDIN_NEVER_READY=*-agent-0", "agent-0 (the node to be Ready: "),
        ),
        ("API_UNREACHABLE", ("STANDIN_HANG=datastore@*-server-0", "server-0 (https://")),
    ],
)
def test_a_deadline_has_the_code_of_what_was_waited_for(
    cli: Cli, variant: Variant, own_name: str, code: str, order: tuple[str, str]
) -> None:
    """The exit code stays that of a deadline."""
    setting, waits = order
    cli.image = variant(code.lower().replace("_", "-"), setting)
    created = cli.create(own_name, "--agents", "1", "--timeout", "12s")

    assert 124 == created.code
    assert f"[{code}]" in created.error
    assert f"k3d-{own_name}-{waits}" in created.error
    assert " s)" in created.error
    assert [] == everything_of(own_name)


def test_an_image_that_is_nowhere(cli: Cli, own_name: str) -> None:
    """Nothing is made of it."""
    cli.image = "127.0.0.9:1/nowhere/k3s:none"
    created = cli.create(own_name)

    assert_code(cli, own_name, created, "IMAGE_PULL_FAILED")


def test_a_subnet_that_is_taken(cli: Cli, own_name: str, api: DockerApi) -> None:
    """One that was asked for has no alternative."""
    first = cli.create(own_name, "--subnet", "10.219.41.0/24", "--wait=none")
    assert 0 == first.code, first.err
    try:
        created = cli.create(f"{own_name}x", "--subnet", "10.219.41.0/25")
        assert "[SUBNET_IN_USE]" in created.error
    finally:
        assert 0 == cli("delete", own_name).code


def until(cli: Cli, name: str, task: str) -> None:
    """Return when a task of the run is done."""
    for _ in range(600):
        found = [one for one in cli.events(name) if isinstance(one, events.TaskDone)]
        if any(one.task == task for one in found):
            return
        time.sleep(0.1)
    raise AssertionError(f"{task} is never done")


def test_an_engine_that_goes_away(cli: Cli, variant: Variant, own_name: str) -> None:
    """The run ends by itself, with what it leaves; a rollback does the rest when there is one."""
    cli.image = variant("hang", "STANDIN_HANG=datastore@*-server-0")
    direct = cli.engine
    with proxy(direct, Proxy) as between:
        cli.engine = between.url
        with cli.starting(own_name) as process:
            until(cli, own_name, f"start:k3d-{own_name}-serverlb")
            between.cut()
            began = time.monotonic()
            _, err = process.communicate(timeout=90)
        took = time.monotonic() - began
    cli.engine = direct

    assert 69 == process.returncode
    assert "[ENGINE_UNAVAILABLE]" in err
    assert "left behind: " in err
    assert f"container k3d-{own_name}-server-0" in err
    assert 14 < took < 40
    assert 0 == cli("rollback", own_name).code
    assert [] == everything_of(own_name)


def test_an_engine_that_is_away_for_a_moment(cli: Cli, variant: Variant, own_name: str) -> None:
    """Whoever waits goes on waiting, and the create succeeds."""
    cli.image = variant("slow-agent", "STANDIN_SLOW=40@*-agent-0")
    direct = cli.engine
    with proxy(direct, Proxy) as between:
        cli.engine = between.url
        with cli.starting(own_name, "--agents", "1") as process:
            until(cli, own_name, f"ready:k3d-{own_name}-server-0")
            between.cut()
            time.sleep(4)
            between.open()
            _, err = process.communicate(timeout=90)
    cli.engine = direct

    assert 0 == process.returncode, err
    assert_laws(cli.events(own_name))
    assert 0 == cli("delete", own_name).code
