"""Every error a user can meet. Pure: no I/O, no foreign types.

K3dAsyncError                                               exit 1
├── SpecError            what the user wrote is wrong       exit 2
│   ├── ConfigInvalid    a config file, with all that is wrong in it
│   ├── InvalidSyntax    a text has no meaning; says where
│   │   └── InvalidFilter · InvalidPort · InvalidVolume · InvalidApiPort
│   └── InvalidName · InvalidImage · UnknownFlag · …     all of invalid.py
├── ConfigNotWritten                                        exit 1
├── ClusterExists · ClusterNotFound · ClusterBusy           exit 1
├── NodeNotFound                                            exit 1
├── NotHalted · SeveralFailed   all of life_errors.py      exit 1
├── RegistryUnusable     a registry to be used cannot be    exit 1
├── NameTaken            something foreign has our name     exit 1
├── ChannelError         no version for a release channel   exit 1
├── ImageNotFound        nothing is called like that         exit 1
├── ImportFailed         an image is not in a node           exit 1
├── BuildFailed · ImagesUnknown   all of image_errors.py    exit 1
├── EngineUnavailable    none answers                       exit 69
├── EngineError          the container engine said no       exit 1
│   ├── NotFound · Conflict · ImageUnavailable
│   └── ClaimLost        only the engine can grant it, and it did not
│       ├── SubnetTaken (PoolExhausted) · PortTaken · AddressTaken · AddressesUnsupported
├── KubernetesError      the cluster's API said no          exit 1
├── NodeCrashed · NodeStuck · DiskPressure   all of node_errors.py
├── NodeGone             somebody else ended a node         exit 1
├── TaskFailed           one task of a run failed           the cause's
├── DeadlineExceeded                                        exit 124
├── Interrupted                                             exit 130
├── RollbackIncomplete   something is left behind           exit 3
├── JournalError         a run's log cannot be used         exit 1
└── OutputError          nobody takes our output            exit 1
"""

from collections.abc import Sequence

_LONGEST_QUOTE = 40
"""Of a text that was not expected: a whole file may have been pasted there."""


class K3dAsyncError(Exception):
    """Something k3dasync was asked for did not happen."""

    exit_code = 1
    code = "ERROR"
    remedy = "See what the error says."
    """What to do about it, for docs/errors.md."""
    hint: str | None = None
    """What to do about this very case, in one line, if that is known; for events."""
    log: tuple[str, ...] = ()
    """The last useful lines of a node's log, the fatal one first."""


class SpecError(K3dAsyncError):
    """What was asked for cannot be understood or cannot be built."""

    exit_code = 2
    code = "SPEC_INVALID"
    remedy = "Write it as the error says."


class ConfigInvalid(SpecError):
    """A config file does not follow its schema: everything that is wrong in it, a line each."""

    code = "CONFIG_INVALID"
    remedy = "Correct the lines that are named; [config.md](config.md) has every field."

    def __init__(self, origin: str, violations: Sequence[str]) -> None:
        self.violations = tuple(violations)
        if len(self.violations) == 1:
            super().__init__(f"cannot use config file {self.violations[0]}")
        else:
            lines = "".join(f"\n    {line}" for line in self.violations)
            super().__init__(
                f"cannot use config file {origin}: it is wrong in these places:{lines}"
            )


class ConfigNotWritten(K3dAsyncError):
    """A config file is there already, or cannot be written."""

    code = "CONFIG_NOT_WRITTEN"
    remedy = "Write to another path, or overwrite on purpose."

    def __init__(self, path: str, words: str) -> None:
        super().__init__(f"cannot write config file {path}: {words}")


class InvalidSyntax(SpecError):
    """A text does not follow its grammar: the text, how much of it does, and what was expected."""

    code = "INVALID_SYNTAX"
    remedy = "Correct the text where the error points."

    def __init__(self, text: str, at: int, expected: str, *, origin: str = "") -> None:
        self.text, self.at, self.expected = text, at, expected
        found = text[at : at + _LONGEST_QUOTE]
        where = f"{found!r} at character {at + 1}" if found else "its end"
        begin = f"{origin} {text!r}" if origin else repr(text)
        super().__init__(f"{begin}: expected {expected}, found {where}")

    def of(self, origin: str) -> "InvalidSyntax":
        """Return the same error with where the text came from: `--port`."""
        return type(self)(self.text, self.at, self.expected, origin=origin)


class InvalidFilter(InvalidSyntax):
    """A node filter is none, or means a node which the cluster does not have."""

    code = "INVALID_FILTER"
    remedy = "Name nodes that the cluster has; see [ports.md](ports.md)."


class InvalidPort(InvalidSyntax):
    """A port mapping is none, or cannot be made."""

    code = "INVALID_PORT"
    remedy = "Write `[HOST:][HOSTPORT:]PORT[/PROTOCOL]`; see [ports.md](ports.md)."


class InvalidVolume(InvalidSyntax):
    """A volume mapping is none."""

    code = "INVALID_VOLUME"
    remedy = "Write `[SOURCE:]DESTINATION[:OPTIONS]`."


class ClusterExists(K3dAsyncError):
    """A cluster of that name is there already."""

    code = "CLUSTER_EXISTS"
    remedy = "Choose another name, or delete it first."

    def __init__(self, cluster: str, found: Sequence[str]) -> None:
        shown = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        super().__init__(
            f"cannot create cluster {cluster}: it already exists ({shown}); "
            f"choose another name or run: k3dasync delete {cluster}"
        )


class ClusterNotFound(K3dAsyncError):
    """No container of the engine belongs to that cluster."""

    code = "CLUSTER_NOT_FOUND"
    remedy = "`k3dasync list` names those that exist."

    def __init__(self, cluster: str) -> None:
        super().__init__(f"no nodes found for given cluster {cluster}; see: k3dasync list")


class NodeNotFound(K3dAsyncError):
    """No container of the engine is a node of that name."""

    code = "NODE_NOT_FOUND"
    remedy = "`k3dasync node list` names those that exist."

    def __init__(self, node: str) -> None:
        super().__init__(f"no node is called {node}; see: k3dasync node list")


class RegistryUnusable(K3dAsyncError):
    """A registry that is to be used is not there, is none, or does not run."""

    code = "REGISTRY_UNUSABLE"
    remedy = "Start it, or correct `--registry-use`."

    def __init__(self, registry: str, why: str, what_to_do: str) -> None:
        super().__init__(f"cannot use registry {registry}: {why}; {what_to_do}")


class ClusterBusy(K3dAsyncError):
    """Another k3dasync works on that cluster, or registry."""

    code = "CLUSTER_BUSY"
    remedy = "Wait for the other run to end."

    def __init__(self, what: str, holder: str) -> None:
        who = holder or "another k3dasync"
        super().__init__(f"cannot change {what}: {who} is working on it; wait for it to end")


class ImageNotFound(K3dAsyncError):
    """What is to be imported is no image of the engine and no file."""

    code = "IMAGE_NOT_FOUND"
    remedy = "Pull or build it, or correct the path."

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"neither an image of the engine nor a file: {', '.join(names)}; nothing was imported"
        )


class ImportFailed(K3dAsyncError):
    """Images did not get into a node."""

    code = "IMAGE_IMPORT_FAILED"
    remedy = "Look at the nodes that are named, and import again."


class NameTaken(K3dAsyncError):
    """A name of the cluster belongs to something that is not ours."""

    code = "NAME_CONFLICT"
    remedy = "Remove or rename what has the name, or choose another."

    def __init__(self, kind: str, name: str, detail: str) -> None:
        super().__init__(f"cannot create {kind} {name}: the name is taken by {detail}")


class ChannelError(K3dAsyncError):
    """The version of a release channel cannot be found out."""

    code = "CHANNEL_UNKNOWN"
    remedy = "Name an image with its tag."

    def __init__(self, channel: str, words: str) -> None:
        super().__init__(
            f"cannot find out the version of channel {channel}: {words}; "
            "name an image with its tag to do without"
        )


class EngineError(K3dAsyncError):
    """The container engine refused: operation, resource and its own words.

    `status` is HTTP's, 0 if there was no answer.
    """

    code = "ENGINE_ERROR"
    remedy = "The engine's words say what it needs."

    def __init__(
        self, operation: str, resource: str, words: str, *, hint: str = "", status: int = 0
    ) -> None:
        self.operation, self.resource, self.words = operation, resource, words
        self.status = status
        super().__init__(f"cannot {operation} {resource}: {words}" + (f"; {hint}" if hint else ""))


class EngineUnavailable(K3dAsyncError):
    """No container engine answers.

    It *is passing* if the engine has answered before, so that it may be restarting.
    """

    exit_code = 69
    code = "ENGINE_UNAVAILABLE"
    remedy = "Start the engine, or set `DOCKER_HOST`."

    def __init__(self, text: str, *, is_passing: bool = False) -> None:
        self.is_passing = is_passing
        super().__init__(text)


class NotFound(EngineError):
    """The engine has no such thing."""

    code = "NOT_FOUND"
    remedy = "Create what is named, or correct its name."


class Conflict(EngineError):
    """The engine has such a thing already, or it is in use."""

    code = "CONFLICT"
    remedy = "Look at what is there, then try again."


class ImageUnavailable(EngineError):
    """The image is not on the engine and cannot be pulled."""

    code = "IMAGE_PULL_FAILED"
    remedy = "Correct the name, log in, or pull or import it beforehand."


class ClaimLost(EngineError):
    """Something only the engine can grant was refused; another candidate may be free."""

    code = "CLAIM_LOST"
    remedy = "Try again, or name another."


class SubnetTaken(ClaimLost):
    """The subnet overlaps with another network of the engine."""

    code = "SUBNET_IN_USE"
    remedy = "Pass another `--subnet`, or none."


class PoolExhausted(SubnetTaken):
    """No subnet of the pool is free."""

    code = "NET_POOL_EXHAUSTED"
    remedy = "Remove unused networks, pass `--subnet`, or set `K3DASYNC_SUBNET_POOL`."


class PortTaken(ClaimLost):
    """A host port is bound already."""

    code = "PORT_IN_USE"
    remedy = "Free the port, or name another one."


class AddressTaken(ClaimLost):
    """A fixed address is in use by another container."""

    code = "ADDRESS_IN_USE"
    remedy = "Try again, or use a larger network."


class AddressesUnsupported(ClaimLost):
    """The network cannot hand out fixed addresses: its subnet was not configured by a user."""

    code = "ADDRESSES_UNSUPPORTED"
    remedy = "Use a network that was created with a subnet."


class KubernetesError(K3dAsyncError):
    """The Kubernetes API of the cluster refused or gave an answer we cannot use."""

    code = "API_UNREACHABLE"
    remedy = "Look at the servers' logs."


class NodeGone(K3dAsyncError):
    """A node's container was stopped or removed, and not by us."""

    code = "NODE_GONE"
    remedy = "Leave the containers alone during a run; run it again."

    def __init__(self, node: str, how: str) -> None:
        self.node = node
        super().__init__(f"container {node} was {how} by somebody else")


class TaskFailed(K3dAsyncError):
    """One task of a run failed; the cause says why."""

    def __init__(self, task: str, cause: BaseException) -> None:
        self.task, self.cause = task, cause
        if isinstance(cause, K3dAsyncError):
            self.exit_code, self.code = cause.exit_code, cause.code
            self.hint, self.log = cause.hint, cause.log
            super().__init__(f"{task}: {cause}")
        else:
            super().__init__(f"{task}: {type(cause).__name__}: {cause}")


class DeadlineExceeded(K3dAsyncError):
    """The operation took longer than it was given."""

    exit_code = 124
    code = "DEADLINE_EXCEEDED"
    remedy = "Raise `--timeout`; the error names what was missing."

    def __init__(self, seconds: float, waiting: Sequence[str], *, code: str = code) -> None:
        self.code = code
        what = "; ".join(waiting) or "nothing had begun"
        super().__init__(f"not done after {seconds:g} s; still to be done: {what}")


class Interrupted(K3dAsyncError):
    """The user or the system asked us to stop."""

    exit_code = 130
    code = "INTERRUPTED"
    remedy = "Nothing: what was made is gone."


class RollbackIncomplete(K3dAsyncError):
    """Something this run made could not be removed."""

    exit_code = 3
    code = "ROLLBACK_INCOMPLETE"
    remedy = "Run the command that the error names."

    def __init__(self, left: Sequence[str], command: str) -> None:
        self.left = tuple(left)
        super().__init__(f"left behind: {', '.join(left)}; finish with: {command}")


class JournalError(K3dAsyncError):
    """The log of a run cannot be written or cannot be used for a rollback."""

    code = "JOURNAL_ERROR"
    remedy = "Make the state directory writable."


class OutputError(K3dAsyncError):
    """Standard output, or a file that was named, does not take what the command was for."""

    code = "OUTPUT_ERROR"
    remedy = "Make room, or mend the pipe."

    def __init__(self, error: OSError, place: str = "standard output") -> None:
        self.has_no_reader = isinstance(error, BrokenPipeError)
        super().__init__(f"cannot write to {place}: {error.strerror}")
