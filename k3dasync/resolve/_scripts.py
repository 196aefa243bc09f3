"""Which start scripts a node gets, if it needs any. Pure."""

from collections.abc import Sequence

from k3dasync import entrypoint
from k3dasync.addresses import HOST_NETWORK
from k3dasync.errors import SpecError
from k3dasync.fixes import Fixes
from k3dasync.grammar import volumes
from k3dasync.runtime import File
from k3dasync.spec import ClusterSpec

_RESOLVER = "/etc/resolv.conf"


def files(
    spec: ClusterSpec,
    binds: Sequence[str],
    *,
    is_server: bool,
    gateway: str,
    memory: int,
    fixes: Fixes,
) -> tuple[File, ...]:
    """Return the entrypoint and what it runs; nothing if the image's own entrypoint will do.

    That is so when every fix is switched off, and nothing was asked for that only a script can do:
    a limit of memory, host aliases for pods. Then no node is drained when it stops.

    Raises SpecError if a mount among *binds* would be changed by a fix.
    """
    is_on_host, aliases = spec.network == HOST_NETWORK, spec.host_aliases
    if not (fixes.any or memory or aliases):
        return ()
    # On the host's network the engine's resolver is not used; the rules would be the host's own.
    gateway = "" if is_on_host else gateway
    if gateway and fixes.dns:
        _refuse_own_resolver(binds)
    return entrypoint.node_files(
        is_server=is_server,
        gateway=gateway or None,
        memory=memory,
        # There /etc/hosts may be the host's own.
        has_hosts=bool(aliases) or not is_on_host,
        fixes=fixes,
    )


def _refuse_own_resolver(binds: Sequence[str]) -> None:
    for bind in binds:
        if volumes.parse(bind).destination == _RESOLVER:
            raise SpecError(
                f"--volume {bind}: at each start a node's resolver is moved, and named anew in "
                "that file; keep both as they are with K3D_FIX_DNS=false"
            )
