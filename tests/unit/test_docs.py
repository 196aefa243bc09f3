"""The documents say what the code says, where that can be compared."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import k3dasync.etcd
import k3dasync.kubeconfig  # noqa: F401 - both define errors
from k3dasync import events
from k3dasync.diagnosis import CAUSES
from k3dasync.errors import K3dAsyncError
from k3dasync.images import LOADBALANCER
from k3dasync.tasks import _ids

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "k3dasync"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
EVENTS = (ROOT / "docs" / "events.md").read_text()
ERRORS = ROOT / "docs" / "errors.md"
README = (ROOT / "README.md").read_text()
KINDS = events.AnyEvent.__args__


def section(tag: str) -> str:
    """Return what docs/events.md says under the heading that names *tag*, headings included."""
    parts = re.split(r"^(?=##)", EVENTS, flags=re.MULTILINE)
    found = [part for part in parts if f"`{tag}`" in part.splitlines()[0]]
    assert 1 == len(found), f"{tag} has {len(found)} headings"
    return found[0]


def all_errors(kind: type[K3dAsyncError] = K3dAsyncError) -> Iterator[type[K3dAsyncError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from all_errors(child)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__struct_config__.tag))
def test_every_event_is_described_with_its_fields(kind: type[msgspec.Struct]) -> None:
    """Under the heading of each event stand its own fields; the common ones stand once."""
    text = section(str(kind.__struct_config__.tag))
    common = set(events.Event.__struct_fields__)
    if "As `task_done`" in text:
        text += section("task_done")
    absent = [name for name in kind.__struct_fields__ if f"`{name}`" not in text]

    assert set() == set(absent) - common
    assert all(f"| `{name}` |" in section_of_common_fields() for name in common)


def section_of_common_fields() -> str:
    return EVENTS.split("## On every line")[1].split("##")[0]


@pytest.mark.parametrize("kind", [events.PlannedTask, events.Engine, events.Outputs])
def test_every_part_of_an_event_is_described(kind: type[msgspec.Struct]) -> None:
    """What stands inside an event is described too."""
    assert [] == [name for name in kind.__struct_fields__ if f"`{name}`" not in EVENTS]


def test_the_schema_is_the_one_described() -> None:
    """The version in the document is the version in the log."""
    assert f"`{events.SCHEMA}`" in EVENTS


def test_every_code_is_described() -> None:
    """A program that reads `code` finds each one in the document."""
    codes = {error.code for error in all_errors() if error.__module__.startswith("k3dasync")}
    sources = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    codes |= set(re.findall(r'\bcode"?(?: =|[:=]) ?"([A-Z_]+)"', sources)) | {events.ABANDONED}
    codes |= {cause.code for cause in CAUSES}
    codes |= set(re.findall(r'else "([A-Z_]+)"', sources))

    assert {"INTERNAL", "ABANDONED", "NODE_OOM"} <= codes
    assert [] == sorted(code for code in codes if f"`{code}`" not in EVENTS)


def test_the_table_of_errors_is_what_the_code_says() -> None:
    """A new class of error changes docs/errors.md; UPDATE_GOLDEN=1 writes it."""
    made = subprocess.run(
        [sys.executable, str(ROOT / "dev" / "errors.py")],
        capture_output=True,
        text=True,
        check=True,
    )

    if "UPDATE_GOLDEN" in os.environ:
        ERRORS.write_text(made.stdout)
    assert made.stdout == ERRORS.read_text()


def test_every_kind_of_task_is_named() -> None:
    """The kinds in task ids are listed."""
    kinds = {name for name in vars(_ids) if name.islower() and callable(getattr(_ids, name))}

    assert [] == sorted(kind for kind in kinds - {"remove"} if f"`{kind}`" not in EVENTS)


def test_every_exit_code_is_in_the_readme() -> None:
    """Each code an error ends with has its line in the table."""
    codes = {error.exit_code for error in all_errors()}

    assert [] == [code for code in sorted(codes) if f"\n| {code} |" not in README]


def test_every_environment_variable_is_in_the_readme() -> None:
    """Whatever the package reads from its environment; the variables of flags stand in --help."""
    files = [path for path in PACKAGE.rglob("*.py") if not path.name.endswith("_flags.py")]
    sources = "".join(path.read_text() for path in files)
    names = set(re.findall(r'"((?:K3D[A-Z]*|XDG|DOCKER)_[A-Z0-9_]+|KUBECONFIG)"', sources))
    names -= {"DOCKER_OUTPUT"}

    assert "K3DASYNC_LIMITS" in names
    assert [] == sorted(name for name in names if f"`{name}`" not in README)


def test_every_flag_of_create_is_in_the_readme() -> None:
    """The table of commands has them all."""
    sources = [path.read_text() for path in (PACKAGE / "commands").glob("*_flags.py")]
    flags = set(re.findall(r'"(--[a-z-]+)"', "".join(sources)))

    assert "--servers" in flags
    assert [] == sorted(flag for flag in flags if not re.search(rf"{flag}\b", README))


def test_the_differences_from_k3d_are_the_tested_ones() -> None:
    """The table has exactly the lines that the comparison on a real engine allows."""
    from tests.integration.k3d_differences import DIFFERENCES

    section = (ROOT / "docs" / "from-k3d.md").read_text().split("## k3d and our clusters")[1]
    rows = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("| ")]

    assert [difference.row for difference in DIFFERENCES] == rows[1:]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Every link to a file of ours names one that is there."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())

    assert [] == [target for target in targets if not (path.parent / target).exists()]


def test_the_graph_in_the_architecture_is_the_graph() -> None:
    """The drawing has the tasks and arrows of a create of one server and one agent."""
    from k3dasync import drawing, tasks
    from k3dasync.operations._decide import Decision
    from k3dasync.spec import ClusterSpec
    from tests.unit.worlds import decided

    cluster = decided(ClusterSpec(name="dev", agents=1))
    plan = Decision(cluster=cluster, graph=tasks.plan(cluster, None)).plan
    shown = (ROOT / "docs" / "architecture.md").read_text().split("```mermaid\n")[1]
    drawn = drawing.mermaid(plan).replace("nginx:test", LOADBALANCER)

    assert shape(drawn) == shape(shown.split("```")[0])


def shape(chart: str) -> list[str]:
    """Return tasks without what they do (addresses differ), and arrows in any order."""
    return sorted(line.partition("<br/>")[0].strip() for line in chart.strip().splitlines())
