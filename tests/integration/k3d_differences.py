"""Where what we make differs from what k3d makes, on purpose: the table in docs/from-k3d.md."""

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Difference:
    """One line of the table: where it shows, what k3d has and we have, and why.

    `path` is a pattern of keys as `tests.integration.inspection` writes them; `theirs` and `ours`
    are patterns of values, with `-` for what is not there. `shape` is a cluster that shows it.
    """

    path: str
    theirs: str
    ours: str
    why: str
    shape: str = "1+0"

    @property
    def row(self) -> str:
        """Return its line in the document."""
        cells = (f"`{self.path}`", _cell(self.theirs), _cell(self.ours), self.why)
        return f"| {' | '.join(cells)} |"

    def allows(self, path: str, theirs: str, ours: str) -> bool:
        """Say whether it is about that key and these two values."""
        return (
            fnmatchcase(path, self.path.replace("[", "[[]"))
            and fnmatchcase(theirs, self.theirs)
            and fnmatchcase(ours, self.ours)
        )


def _cell(value: str) -> str:
    return "none" if value == "-" else f"`{value}`"


DIFFERENCES = (
    Difference("*.Labels[k3d.version]", "v5.9.0", "k3dasync-*", "says who made it"),
    Difference("*.Labels[k3dasync.run]", "-", "*", "a rollback removes what carries its run"),
    Difference("*.Labels[k3dasync.version]", "-", "*", "on networks and volumes too"),
    Difference(
        "Network.Labels[k3d.cluster]",
        "-",
        "*",
        "a network whose containers are gone is still found",
    ),
    Difference("Network.IPAM.Subnet", "-", "<subnet>", "fixed addresses need a subnet of our own"),
    Difference("Network.IPAM.Gateway", "-", "<gateway>", "part of it"),
    Difference(
        "Network.IPAM.IPRange",
        "-",
        "<range>",
        "strangers get no address of a node that is stopped",
    ),
    Difference(
        "*.Networks[*].IPAMConfig.IPv4Address",
        "-",
        "<address>",
        "every node keeps its address over restarts",
    ),
    Difference(
        "*.Config.Labels[k3d.node.staticIP]",
        "-",
        "<address>",
        "as with `--subnet` of k3d; on servers",
    ),
    Difference(
        "*.HostConfig.ExtraHosts[*]",
        "-",
        "*",
        "host entries that a restart does not lose; k3d writes them after its start",
    ),
    Difference("*.PortBindings[6443][0].HostIp", "0.0.0.0", "127.0.0.1", "nobody else may connect"),
    Difference("*.Labels[k3d.server.api.host*]", "0.0.0.0", "127.0.0.1", "part of it"),
    Difference("*.Config.Cmd[*]", "0.0.0.0", "127.0.0.1", "part of it: `--tls-san`"),
    Difference(
        "*.HostConfig.Binds[/proc/meminfo]",
        "*/meminfo:ro",
        "-",
        "a file in the container, so that remote engines work",
        shape="3+2, all that nodes can be given",
    ),
    Difference(
        "*.Config.Labels[k3d.volumes.imageVolume.external]",
        "-",
        "true",
        "with `--image-vol`: the volume stays",
        shape="2+0, an existing image volume",
    ),
    Difference(
        "*.Networks[*].Aliases[*]",
        "-",
        "k3d-*",
        "on networks without fixed addresses the load balancer goes by names",
        shape="1+1, an existing network",
    ),
)
