"""Which cures a node's start needs on an engine, and k3d's switches for them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
"""What Go's strconv.ParseBool, with which k3d reads its switches, takes for true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixes:
    """The cures of a node's entrypoint; `init`: the engine's own init is process 1."""

    cgroupv2: bool = True
    dns: bool = True
    mounts: bool = True
    init: bool = True

    @property
    def any(self) -> bool:
        """Whether the entrypoint has something to cure."""
        return self.cgroupv2 or self.dns or self.mounts


def fixes(environ: Mapping[str, str], *, cgroup_version: str, engine: str) -> Fixes:
    """Return what `K3D_FIX_*` say, or what k3d chooses for an *engine* of that name by itself.

    A value which is no boolean is false, as with k3d. An engine that does not tell its
    *cgroup_version* may have the second: the script asks the node itself.
    """

    def switch(variable: str, *, otherwise: bool) -> bool:
        said = environ.get(variable, "")
        return said in _TRUE if said else otherwise

    return Fixes(
        cgroupv2=switch("K3D_FIX_CGROUPV2", otherwise=cgroup_version in {"", "2"}),
        # Colima's machine has a resolver of its own at the address to which ours would be moved.
        dns=switch("K3D_FIX_DNS", otherwise=engine.lower() != "colima"),
        mounts=switch("K3D_FIX_MOUNTS", otherwise=True),
        init=not switch("K3D_DEBUG_DISABLE_DOCKER_INIT", otherwise=False),
    )
