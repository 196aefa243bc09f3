"""What the words of a node's log mean: the code of an error, and what to do. Pure.

Each rule has its source. The texts are those of k3s, of the kubelet in it, and of its etcd.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

LAST_WORDS = 5
"""Log lines of a node that go into an error: its fatal line and what led to it fit, and a terminal
still shows what stands above."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A code of docs/errors.md; when it is one, and the hint: what to do, in one line."""

    code: str
    when: str
    hint: str


CRASHLOOP = Cause(
    "NODE_CRASHLOOP",
    "A node's container keeps exiting, for no reason that is known here.",
    "the last words of the node say why; often it is a --k3s-arg",
)
OOM = Cause(
    "NODE_OOM",
    "The kernel has killed a node for want of memory.",
    "give nodes more memory (--servers-memory, --agents-memory), or the engine's machine",
)
TOKEN = Cause(
    "TOKEN_MISMATCH",
    "A node's token is not that of the cluster it is to join, or of its datastore.",
    "use one token for all nodes, and for a datastore the one it was first used with (--token)",
)
ETCD = Cause(
    "ETCD_UNHEALTHY",
    "Etcd refuses a joining server, more often than it does in passing.",
    "look at the logs of the other servers; a disk that is too slow for etcd does this",
)
INOTIFY = Cause(
    "INOTIFY_LIMIT",
    "A node gets no more inotify instances, watches or open files of the engine's kernel.",
    "raise fs.inotify.max_user_instances and fs.inotify.max_user_watches on the engine's host",
)
DISK = Cause(
    "DISK_PRESSURE",
    "A node has no room left on its disk, so that it ends or takes no pods.",
    "make room on the engine's disk: docker system df shows what takes it",
)
PORT = Cause(
    "PORT_IN_USE",
    "A node cannot listen: on the engine's host somebody else has the port.",
    "free the port (with --network host: on the engine's host), or choose another one",
)
UNREACHABLE = Cause(
    "API_UNREACHABLE",
    "A node does not reach the server it is to join, though that answers.",
    "look at the network between nodes: addresses, firewall, a wrong --server in a --k3s-arg",
)
PASSWORD = Cause(
    "NODE_PASSWORD_REJECTED",
    "The cluster that a node is to join knows another one of its name, with another password.",
    "delete that Node there (kubectl delete node), or give the new one another name",
)
CAUSES = (CRASHLOOP, OOM, TOKEN, ETCD, INOTIFY, DISK, PORT, UNREACHABLE, PASSWORD)

_RULES: tuple[tuple[re.Pattern[str], Cause], ...] = (
    # An agent: k3s-io/k3s#3727, #2470, #4220 (`Failed to configure agent: … 401 Unauthorized`).
    (re.compile(r"token CA hash does not match"), TOKEN),
    (re.compile(r"token is not valid"), TOKEN),
    (re.compile(r"failed to validate token"), TOKEN),
    # A server of an existing datastore: k3s-io/k3s#4640.
    (re.compile(r"bootstrap data already found and encrypted with different token"), TOKEN),
    # Answers of the supervisor: its own paths, so that no other 401 in a log counts (#8381, #2463).
    (re.compile(r"(/cacerts|/v1-k3s/\S+|/apis): 401 Unauthorized"), TOKEN),
    (re.compile(r"retrieve configuration from server: .*401 Unauthorized"), TOKEN),
    # `ETCD join failed: etcdserver: too many learner members in cluster`: k3s-io/k3s#7000, #2306.
    (re.compile(r"etcdserver: "), ETCD),
    # `failed to create fsnotify watcher: too many open files`: k3s-io/k3s#10020, k3d-io/k3d#376.
    # The kernel's word for no watch left is that of a full disk: inotify_add_watch(2), ENOSPC.
    (re.compile(r"too many open files|inotify_init|fsnotify"), INOTIFY),
    (re.compile(r"inotify.*no space left on device"), INOTIFY),
    (re.compile(r"no space left on device"), DISK),
    # `listen tcp :6443: bind: address already in use`: k3s-io/k3s#6134, #5973; nginx: `Address`.
    (re.compile(r"[Aa]ddress already in use"), PORT),
)
"""The first that fits counts."""
_PASSWORD_REJECTED = "Node password rejected"  # noqa: S105 - no password
"""About a Node of that name (k3s-io/k3s#746): in a cluster of ours it passes when that is deleted,
which is under way."""

_NOT_REACHED = re.compile(
    r"connection refused|connection reset by peer|no route to host|network is unreachable"
    r"|i/o timeout|context deadline exceeded|TLS handshake timeout|no such host|: EOF\b"
)
"""Go's words (net, syscall). An agent asks through a load balancer of its own, 127.0.0.1:6444,
which hangs up on it when no server can be reached: `connection reset by peer` or `EOF`."""
_ABOUT_SERVER = re.compile(r"/cacerts|/v1-k3s/|get CA certs|validate connection to cluster")
"""What a node asks its server: `failed to get CA certs: Get "https://127.0.0.1:6444/cacerts": …`,
`Failed to validate connection to cluster at …` (pkg/agent/config of k3s)."""

_MESSAGE = re.compile(r'\bmsg="((?:[^"\\]|\\.)*)"')
_TROUBLE = re.compile(r"level=(error|warning|fatal)\b|^[EF]\d{4} |^panic: ")
_STILL = re.compile(r"server is not ready: |Failed to test data store connection: ")
"""k3s says these as `level=info`: `Waiting to retrieve agent configuration; server is not ready: …`
(k3s-io/k3s#6194), and a server of its etcd or of a datastore outside (pkg/cluster)."""
_CONFIGURED = "Containerd is now running"
"""An agent starts containerd with what its server has told it: all versions say this then."""


def of_crash(log: Collection[str], *, oom: bool = False) -> Cause:
    """Return why a node exited, by the words that go into its error.

    Its fatal line counts for everything, what stood before that for what the machine lacks: of
    its server a node complains in passing, too.
    """
    if oom:
        return OOM
    by_fatal = (_meaning(line) for line in log if is_fatal(line))
    by_others = (found for line in log if (found := _meaning(line)) in {INOTIFY, DISK, PORT})
    return next(filter(None, (*by_fatal, *by_others)), CRASHLOOP)


def of_delay(line: str, *, is_elsewhere: bool = False) -> Cause | None:
    """Return why a node that runs does not get on, by its last trouble; None: it may pass.

    If its cluster *is elsewhere*, nobody deletes a Node of its name there.
    """
    if is_elsewhere and _PASSWORD_REJECTED in line:
        return PASSWORD
    found = _meaning(line)
    return found if found in {TOKEN, UNREACHABLE} else None


def _meaning(line: str) -> Cause | None:
    for pattern, cause in _RULES:
        if pattern.search(line):
            return cause
    return UNREACHABLE if _ABOUT_SERVER.search(line) and _NOT_REACHED.search(line) else None


def is_refusal_of_etcd(log: Collection[str]) -> bool:
    """Say whether a joining server's fatal line is a refusal that may pass: etcd's, none else's."""
    return any("etcdserver: " in line for line in log if is_fatal(line))


def last_words(log: Collection[str]) -> tuple[str, ...]:
    """Return what matters most of a crashed node's log, at most LAST_WORDS lines.

    First its fatal line: k3s says `level=fatal`, and a registry that does not reach the one it
    hands on ends in Go's panic, whose words stand before a page of calls. Then the last errors
    and warnings; without any of these, the last lines.
    """
    lines = [line.rstrip() for line in log if line.strip()]
    fatal = [line for line in lines if is_fatal(line)][-1:]
    others = [line for line in _without_repeats(lines) if not is_fatal(line)]
    if fatal:
        others = [line for line in others if _TROUBLE.search(line)]
    return (*fatal, *others[-LAST_WORDS + len(fatal) :])


def is_fatal(line: str) -> bool:
    """Say whether a process has ended with that line."""
    return "level=fatal" in line or line.startswith("panic: ")


def _without_repeats(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines but for those which say again, at another time, what a later one says."""
    said = {message(line): index for index, line in enumerate(lines)}
    for index, line in enumerate(lines):
        if said[message(line)] == index:
            yield line


def last_trouble(log: Collection[str]) -> str:
    """Return the last line in which a node that runs says what is the matter; empty if none.

    What it said before it had its configuration is over when it has that.
    """
    found = ""
    for line in log:
        if _TROUBLE.search(line) or _STILL.search(line):
            found = line.rstrip()
        elif _CONFIGURED in line:
            found = ""
    return found


def message(line: str) -> str:
    """Return what a line of k3s says, without time and level."""
    found = _MESSAGE.search(line)
    if found is None:
        return line.strip()
    return re.sub(r"\\(.)", r"\1", found[1])
