"""Arguments for k3s that would break a cluster as it is made here. Pure."""

from collections.abc import Sequence

from k3dasync.addresses import HOST_NETWORK
from k3dasync.invalid import ConflictingFlags
from k3dasync.spec import ClusterSpec

CLUSTER_INIT = "--cluster-init"


def has_option(arguments: Sequence[str], option: str) -> bool:
    """Say whether an option is among *arguments*, its value with it or behind it."""
    return any(argument.partition("=")[0] == option for argument in arguments)


def refuse(spec: ClusterSpec, arguments: Sequence[str]) -> None:
    """Raise SpecError if a server could not be reached or joined with these *arguments*."""
    for option, reason in _reasons(spec).items():
        if has_option(arguments, option):
            raise ConflictingFlags(f"--k3s-arg {option} cannot be used on servers: {reason}")


def _reasons(spec: ClusterSpec) -> dict[str, str]:
    found = {
        "--https-listen-port": "--api-port names the API's port on the host"
        + ("" if spec.network == HOST_NETWORK else ", in its container it stays 6443")
    }
    if spec.datastore is not None:
        found[CLUSTER_INIT] = "with --datastore-endpoint there is no datastore of its own"
    if spec.datastore is not None or spec.servers > 1:
        found["--datastore-endpoint"] = "pass --datastore-endpoint to create itself"
    return found
