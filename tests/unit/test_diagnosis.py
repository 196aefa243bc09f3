"""What the words of nodes mean: real lines of k3s, etcd and the kubelet."""

import pytest

from k3dasync import diagnosis
from k3dasync.diagnosis import LAST_WORDS, last_trouble, last_words, message, of_crash, of_delay


def line(message: str, level: str = "fatal", second: int = 0) -> str:
    quoted = message.replace("\\", "\\\\").replace('"', '\\"')
    return f'time="2026-11-25T03:00:{second:02}Z" level={level} msg="{quoted}"'


CA_HASH = "token CA hash does not match the Cluster CA certificate hash: f086 != 8e7d"
NO_CA = 'failed to get CA certs: Get "https://127.0.0.1:6444/cacerts": '
PREPARING = "starting kubernetes: preparing server: "


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("TOKEN_MISMATCH", CA_HASH),
        ("TOKEN_MISMATCH", PREPARING + "failed to validate token: token CA hash does not match"),
        (
            "TOKEN_MISMATCH",
            PREPARING + "bootstrap data already found and encrypted with different token",
        ),
        ("TOKEN_MISMATCH", PREPARING + "https://a:6443/v1-k3s/server-bootstrap: 401 Unauthorized"),
        ("ETCD_UNHEALTHY", "ETCD join failed: etcdserver: too many learner members in cluster"),
        ("ETCD_UNHEALTHY", "ETCD join failed: etcdserver: unhealthy cluster"),
        ("INOTIFY_LIMIT", "failed to create fsnotify watcher: too many open files"),
        ("INOTIFY_LIMIT", "inotify_init: too many open files"),
        ("INOTIFY_LIMIT", "inotify_add_watch /sys/fs/cgroup: no space left on device"),
        ("DISK_PRESSURE", "write /var/lib/rancher/k3s/server/db: no space left on device"),
        ("PORT_IN_USE", PREPARING + "listen tcp :6443: bind: address already in use"),
        (
            "API_UNREACHABLE",
            PREPARING + NO_CA + "dial tcp 10.0.0.9:6443: no route to host",
        ),
        ("NODE_CRASHLOOP", PREPARING + NO_CA + "503 Service Unavailable"),
        ("NODE_CRASHLOOP", "failed to find local node k3d-dev-server-0"),
        ("NODE_CRASHLOOP", "Node password rejected, duplicate hostname"),
    ],
)
def test_a_fatal_line_has_its_code(code: str, words: str) -> None:
    """Whatever the node complained of before."""
    log = [line("Starting k3s", "info"), line("dial tcp: i/o timeout", "error"), line(words)]

    assert code == of_crash(last_words(log)).code
    assert "NODE_OOM" == of_crash(last_words(log), oom=True).code


def test_what_the_machine_lacks_may_stand_before_the_fatal_line() -> None:
    """Of its server a node complains in passing, of inotify it does not."""
    fatal = line("kubelet exited")
    inotify = line("failed to create fsnotify watcher: too many open files", "error")
    token = line(CA_HASH, "error")

    assert "INOTIFY_LIMIT" == of_crash(last_words([inotify, fatal])).code
    assert "NODE_CRASHLOOP" == of_crash(last_words([token, fatal])).code


def test_every_code_has_a_hint_of_one_line() -> None:
    """What to do, in words that end a message."""
    for cause in diagnosis.CAUSES:
        assert cause.hint
        assert "\n" not in cause.hint
        assert not cause.hint.endswith(".")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("TOKEN_MISMATCH", CA_HASH),
        ("TOKEN_MISMATCH", "token is not valid: https://127.0.0.1:32991/apis: 401 Unauthorized"),
        (
            "TOKEN_MISMATCH",
            (
                "Failed to configure agent: failed to retrieve configuration from server: "
                "https://127.0.0.1:6444/v1-k3s/config: 401 Unauthorized"
            ),
        ),
        ("API_UNREACHABLE", NO_CA + "read tcp 127.0.0.1:1: read: connection reset by peer"),
        ("API_UNREACHABLE", NO_CA + "EOF"),
        (
            "API_UNREACHABLE",
            (
                "Failed to validate connection to cluster at https://10.0.0.9:6443: "
                "failed to get CA certs: context deadline exceeded"
            ),
        ),
        (None, NO_CA + "503 Service Unavailable"),
        (None, "Failed to configure agent: https://127.0.0.1:6444/x: 503 Service Unavailable"),
        (None, "Node password rejected, duplicate hostname or contents of a file"),
        (None, "Error getting node: dial tcp 127.0.0.1:6444: connection refused"),
        (None, ""),
    ],
)
def test_what_keeps_a_node_from_joining(code: str | None, words: str) -> None:
    """Refusals and servers out of reach are known; all else may pass."""
    found = of_delay(line(words, "error"))

    assert code == (found.code if found else None)


def test_the_fatal_line_is_first_then_the_last_other_troubles() -> None:
    """Without what is only told, nor what is said again."""
    retries = [line("not yet", "error", second) for second in range(30)]
    others = [line(f"trouble {number}", "warning") for number in range(9)]
    log = [*others, line("no way"), *retries, line("bye", "info"), ""]
    found = last_words(log)

    assert line("no way") == found[0]
    assert [*others[-LAST_WORDS + 2 :], retries[-1]] == list(found[1:])
    assert LAST_WORDS == len(found)


def test_the_end_of_a_log_counts_without_a_fatal_line() -> None:
    """Something else than k3s, or one that was killed."""
    assert ("b", "c", "d", "e", "f") == last_words(["a", "b", "c", "d", "e", "f"])
    assert () == last_words(["", " "])
    panic = "panic: dial tcp: connection refused"
    assert (panic,) == last_words(["time to go", panic, "goroutine 1 [running]:"])


def test_the_last_trouble_of_a_node_that_runs() -> None:
    """Errors, warnings, and what k3s calls information although it waits."""
    waiting = line("Waiting to retrieve agent configuration; server is not ready: no", "info")
    kubelet = 'E1125 03:14:15.0 1 kubelet.go:2291] "Error getting node"'

    assert waiting == last_trouble([line("a", "error"), waiting, line("b", "info")])
    assert kubelet == last_trouble([waiting, kubelet])
    assert "" == last_trouble([line("fine", "info")])
    assert "" == last_trouble([waiting, line("Containerd is now running", "info")])


def test_a_message_is_told_without_time_and_level() -> None:
    """As it reads, with its quotes."""
    assert 'Get "https://a": EOF' == message(line('Get "https://a": EOF', "error"))
    assert "anything else" == message("  anything else\n")
