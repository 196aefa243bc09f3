"""What a check says. Pure."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from k3dasync.errors import K3dAsyncError


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check: what was found, what is needed, why that matters, and the cure in one line.

    `why` and `cure` are empty where nothing is wrong.
    """

    check: str
    verdict: Verdict
    value: str
    needed: str = ""
    why: str = ""
    cure: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether something is to be done; what is not known is not bad."""
        return self.verdict in {Verdict.WARNING, Verdict.ERROR}

    @property
    def sentence(self) -> str:
        """The finding as one line for people."""
        needed = f", {self.needed} needed" if self.needed else ""
        parts = [f"{self.check}: {self.value}{needed}", self.why, self.cure]
        return "; ".join(part for part in parts if part)


ELSEWHERE = "run doctor on the engine's host"


def unknown(check: str, why: str = "the engine's host cannot be looked at from here") -> Finding:
    """Return the finding of a check that could not be made."""
    return Finding(check=check, verdict=Verdict.UNKNOWN, value="?", why=why, cure=ELSEWHERE)


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict; unknown is worse than ok and better than a warning."""
    order = (Verdict.OK, Verdict.UNKNOWN, Verdict.WARNING, Verdict.ERROR)
    return max((one.verdict for one in findings), key=order.index, default=Verdict.OK)


class HostUnfit(K3dAsyncError):
    """`doctor` found what keeps the cluster from coming up."""

    code = "HOST_UNFIT"
    remedy = "Do what stands beside each error; [doctor.md](doctor.md) says why."

    def __init__(self, checks: Sequence[str]) -> None:
        super().__init__(f"a cluster would not come up here: {', '.join(checks)}")
