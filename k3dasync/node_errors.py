"""What ends a wait for a node: it crashes, is stuck, or is of no use. Pure.

K3dAsyncError
├── NodeCrashed     a node's container keeps exiting          exit 1
├── NodeStuck       a node runs and does not get on           exit 1
├── NodeMoved       a server would come up at another address  exit 1
└── DiskPressure    a node takes no pods                      exit 1

The code of the first two is their cause's: see `diagnosis`.
"""

from collections.abc import Sequence

from k3dasync import diagnosis
from k3dasync.diagnosis import Cause
from k3dasync.errors import K3dAsyncError


class NodeCrashed(K3dAsyncError):
    """A node's container keeps exiting."""

    code = diagnosis.CRASHLOOP.code
    remedy = "The last words of the node say why; often a `--k3s-arg`."

    def __init__(
        self, node: str, *, exits: int, exit_code: int, cause: Cause, log: Sequence[str]
    ) -> None:
        self.node, self.code, self.hint, self.log = node, cause.code, cause.hint, tuple(log)
        is_oom = cause is diagnosis.OOM
        how = "was killed for want of memory" if is_oom else f"exited with code {exit_code}"
        times = "" if exits == 1 else f" {exits} times"
        super().__init__(f"node {node} {how}{times}; {cause.hint}{_quoted(log)}")


class NodeStuck(K3dAsyncError):
    """A node runs, and cannot join: refused, or it reaches nobody."""

    code = diagnosis.UNREACHABLE.code
    remedy = "Correct the token or the address; the node's last words say which."

    def __init__(self, node: str, *, server: str, cause: Cause, log: Sequence[str]) -> None:
        self.node, self.code, self.hint, self.log = node, cause.code, cause.hint, tuple(log)
        is_refused = cause in {diagnosis.TOKEN, diagnosis.PASSWORD}
        what = "is refused by" if is_refused else "does not reach"
        super().__init__(f"node {node} {what} its server {server}; {cause.hint}{_quoted(log)}")


class NodeMoved(K3dAsyncError):
    """A server was given another address than the one its etcd goes by."""

    code = "NODE_MOVED"
    remedy = "Free the address that the error names, or have it taken, and start the cluster again."

    def __init__(self, node: str, old: str, new: str, *, is_gap: bool = False) -> None:
        self.node = node
        cure = (
            f"have another container on its network, which then takes {new}"
            if is_gap
            else "stop whatever has that address"
        )
        super().__init__(
            f"cannot start server {node}: the engine gave it address {new}, its etcd goes by "
            f"{old}; it is stopped again: {cure}, and start once more"
        )


class DiskPressure(K3dAsyncError):
    """A node takes no pods, for want of room on its disk."""

    code = diagnosis.DISK.code
    remedy = "Make room on the engine's disk; `docker system df` shows what takes it."
    hint = diagnosis.DISK.hint

    def __init__(self, node: str, words: str) -> None:
        self.node = node
        super().__init__(f"node {node} takes no pods: {words}; {self.hint}")


def _quoted(log: Sequence[str]) -> str:
    tail = "".join(f"\n    {line}" for line in log)
    return f"; its last words:{tail}" if tail else ""
