"""How servers join the first one."""

from enum import StrEnum

from k3dasync.invalid import InvalidJoin


class JoinOrder(StrEnum):
    """When the next joining server starts, and who makes it a voting member of etcd.

    Pipelined: as soon as etcd will take it, and we do. Serial, which is k3d's order: when the one
    before it is up, and k3s does.
    """

    PIPELINED = "pipelined"
    SERIAL = "serial"


def parse_join(text: str) -> JoinOrder:
    """Read an order; raises InvalidJoin if there is none of that name."""
    try:
        return JoinOrder(text.strip().lower())
    except ValueError:
        raise InvalidJoin(f"--join={text}: expected {' or '.join(JoinOrder)}") from None
