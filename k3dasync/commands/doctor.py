"""`doctor`."""

from typing import TYPE_CHECKING

from k3dasync.commands._create_flags import DEFAULT_FLAGS, CreateFlags, RuntimeFlag
from k3dasync.commands._tables import OutputFlag, columns, form_of, structured

if TYPE_CHECKING:
    from k3dasync.operations.doctor import Examination

SCHEMA = "k3dasync.doctor/1.0"


def doctor(
    name: str | None = None,
    /,
    *,
    flags: CreateFlags = DEFAULT_FLAGS,
    output: OutputFlag = "table",
    runtime: RuntimeFlag = "docker",
) -> None:
    """Check whether the cluster that create would be asked for would come up; touches nothing.

    The flags are those of create.
    """
    from k3dasync.commands._run import Session, run
    from k3dasync.doctor.findings import HostUnfit, Verdict
    from k3dasync.operations import doctor as operation
    from k3dasync.streams import show

    how = form_of(output, "table", "json", "yaml")
    spec = flags.asked(name)

    async def perform(session: Session) -> "Examination":
        return await operation.examine(spec, backend=session.backend)

    found = run(perform, runtime=runtime)
    show(table(found) if how == "table" else structured(document(found), how))
    if errors := [one.check for one in found.findings if one.verdict is Verdict.ERROR]:
        raise HostUnfit(errors)


def table(found: "Examination") -> str:
    """Return the findings as a table, and below it what is to be done."""
    rows = [["CHECK", "VERDICT", "NEEDED", "FOUND"]]
    rows += [[one.check, str(one.verdict), one.needed or "-", one.value] for one in found.findings]
    lines = [columns(rows)]
    for one in found.findings:
        if one.is_bad or one.why:
            lines += ["", f"{one.check}: {one.why}"]
            lines += [f"  {one.cure}"] if one.cure else []
    return "\n".join(lines)


def document(found: "Examination") -> dict[str, object]:
    """Return the findings for machines; docs/doctor.md describes it."""
    import msgspec

    from k3dasync.doctor.findings import worst

    facts = found.facts
    return {
        "schema": SCHEMA,
        "verdict": str(worst(found.findings)),
        "engine": {"id": facts.id, "endpoint": facts.endpoint, "version": facts.version},
        "looked": found.looked,
        "asked": {"servers": found.asked.servers, "agents": found.asked.agents},
        "findings": [msgspec.to_builtins(one) for one in found.findings],
    }
