"""The live view: what a board folds from events, and what of it stands on which terminal."""

import io
import re
import sys
import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import IO

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from k3dasync import events
from k3dasync.errors import EngineError, K3dAsyncError
from k3dasync.events import AnyEvent, Emitter, PlannedTask
from k3dasync.fake import FakeRuntime, Fault, Faults, Latency, backend_of
from k3dasync.fake.faults import Fail
from k3dasync.graph import TaskId
from k3dasync.operations.create import create
from k3dasync.operations.delete import delete
from k3dasync.sinks.board import Board, State
from k3dasync.sinks.layout import share
from k3dasync.sinks.names import needs, readable, resource
from k3dasync.sinks.tty import Tty
from k3dasync.spec import ClusterSpec
from tests.laws import Keeper
from tests.support import virtual_time
from tests.unit.test_sinks import MAKE, PULL, START, Clock, story

SIZES = [(80, 24), (200, 50), (40, 10), (80, 3), (12, 4), (1, 1)]
PULLED = "registry.example.com/team/k3s:v1.30.0-k3s1"


def start(
    sink: Keeper | Tty | Board,
    plan: Sequence[PlannedTask] = (),
    *,
    run: str = "r",
    cluster: str = "dev",
    operation: str = "create",
) -> Emitter:
    """Begin a run of that plan and return what tells the rest of it."""
    one = Emitter(run=run, cluster=cluster, clock=Clock(), journal=None, sinks=(sink,))
    one.emit(
        events.RunStarted,
        schema=events.SCHEMA,
        started_at="",
        operation=operation,
        version="1",
        k3s="",
        engine=events.Engine(id="e", endpoint="x"),
        plan=tuple(plan),
    )
    return one


def still(width: int, height: int, stream: IO[str] | None = None) -> Tty:
    """Return a live view without its timer: it draws when it is asked to."""
    console = Console(
        file=stream or io.StringIO(),
        force_terminal=True,
        color_system=None,
        width=width,
        height=height,
    )
    tty = Tty(console)
    tty._is_drawing = True
    return tty


def picture(tty: Tty) -> list[str]:
    """Return the lines the view would have now."""
    with tty._console.capture() as capture:
        tty._console.print(tty._render(), end="")
    return capture.get().splitlines()


def assert_fits(tty: Tty) -> None:
    lines = picture(tty)
    assert len(lines) <= max(tty._console.height - 1, 1)
    assert max(map(cell_len, lines), default=0) <= tty._console.width


def test_a_row_is_a_resource() -> None:
    """Tasks of one resource share its row, and the row says what it is doing or needs."""
    board = Board()
    for event in story(ends=False):
        board.write(event)
    rows = {row.about.name: row for row in board.rows.values()}

    assert {"k3s": [PULL], "a": [MAKE, START]} == {
        name: [cell.task.id for cell in row.cells] for name, row in rows.items()
    }
    assert "pulling 5.0 of 9.0 MB" == board.says(rows["k3s"])
    assert 2.5 == rows["k3s"].elapsed(2.5)
    assert "needs the image k3s" == board.says(rows["a"])
    assert rows["a"].elapsed(2.5) is None
    assert (1, 2) == (board.count(State.RUNNING), board.count(State.PLANNED))
    assert "create c: 0 of 3 tasks, 2.5 s" == board.headline(2.5)


def test_every_start_has_an_end() -> None:
    """After the run nothing is running, what was undone is, and the error stands there."""
    board = Board()
    for event in story():
        board.write(event)
    [row] = [row for row in board.rows.values() if row.about.name == "a"]

    assert 0 == board.count(State.RUNNING, State.UNDOING)
    assert [State.UNDONE, State.CUT] == [cell.state for cell in row.cells]
    assert "no brush" == board.says(row)
    assert ["warning: mind the gap"] == board.notes
    assert "failed after 6.5 s" == board.ended


def test_a_run_in_its_middle_is_taken_back() -> None:
    """What a killed run has left: rows appear as they are told of, and the end is no failure."""
    board = Board()
    clock = Clock()
    first = story()[0]
    one = Emitter(run="r", cluster="c", clock=clock, journal=None, sinks=(board,), after=first)
    clock.now = 2.0
    one.emit(events.UndoStarted, task=TaskId("container:k3d-c-agent-0"))

    assert "rollback c: taking back, 0 of 1 undone, 1.0 s" == board.headline(3.0)
    assert ["agent-0"] == [row.about.name for row in board.rows.values()]

    clock.now = 3.5
    one.emit(events.UndoDone, task=TaskId("container:k3d-c-agent-0"), seconds=1.5)
    one.emit(events.RunFailed, seconds=3.5, code=events.ABANDONED, cause="gone", rolled_back=True)
    assert "rollback c: taken back after 1.5 s" == board.headline(9.0)


def test_another_plan_is_no_warning() -> None:
    """A replan begins the rows anew, and is noted as what it is."""
    board = Board()
    one = start(board, [PlannedTask(id=MAKE)])
    one.emit(events.TaskStarted, task=MAKE, waited=0.0)
    one.emit(events.RunReplanned, because="port taken", attempt=2, plan=(PlannedTask(id=START),))

    assert ["planned again: port taken"] == board.notes
    assert [START] == list(board.cells)
    assert 0 == board.count(State.RUNNING)


def test_a_reminder_does_not_hide_how_far_a_pull_is() -> None:
    """After five seconds without news the bytes are still there; a first word is taken."""
    board = Board()
    one = start(board, [PlannedTask(id=PULL), PlannedTask(id=START)])
    pull, node = board.rows.values()
    one.emit(events.TaskStarted, task=PULL, waited=0.0)
    one.emit(events.TaskProgress, task=PULL, text="pulling", done=5_000_000, unit="bytes")
    one.emit(events.TaskWaiting, task=PULL, on="the pull of k3s", since=5.0)
    one.emit(events.TaskStarted, task=START, waited=0.0)
    one.emit(events.TaskWaiting, task=START, on="the engine", since=5.0)

    assert "pulling 5.0 MB" == board.says(pull)
    assert "waits for the engine" == board.says(node)


@pytest.mark.parametrize(
    ("task", "name", "short"),
    [
        ("start:k3d-dev-agent-0", "agent-0", "agent-0"),
        ("balance:k3d-dev-serverlb", "serverlb", "serverlb"),
        ("remove-container:k3d-dev-tools", "tools", "tools"),
        ("container:k3d-other-server-0", "k3d-other-server-0", "k3d-other-server-0"),
        ("container:k3d-dev", "k3d-dev", "k3d-dev"),
        ("network:k3d-dev", "network", "network"),
        ("remove-network:theirs", "theirs network", "network"),
        ("volume:k3d-dev-images", "images volume", "volume"),
        ("image:docker.io/rancher/k3s:v1.35.5-k3s1", "k3s:v1.35.5-k3s1", "k3s"),
        ("image:localhost:5000/k3s@sha256:0a", "k3s", "k3s"),
        ("api:dev", "API", "API"),
        ("kubeconfig:dev", "kubeconfig", "kubeconfig"),
        ("remove-kubeconfig:/root/.kube/config", "kubeconfig", "kubeconfig"),
        ("remove-kubeconfig:/root/.kube/work.yaml", "kubeconfig work.yaml", "kubeconfig"),
        ("dance:k3d-dev", "dance", "dance"),
    ],
)
def test_names_are_short(task: str, name: str, short: str) -> None:
    """What all names of a cluster share is left out."""
    about = resource(TaskId(task), "dev")

    assert (name, short) == (about.name, about.short)


def test_needs_alike_are_said_once() -> None:
    """Several things needed in the same way are counted after the second."""
    three = [TaskId(f"ready:k3d-dev-server-{number}") for number in range(3)]

    assert "server-0 and server-1 to be ready" == needs(three[:2], "dev")
    assert "server-0, server-1 and 1 more to be ready, the network" == needs(
        [*three, TaskId("network:k3d-dev")], "dev"
    )
    assert "agent-0 to be removed" == needs([TaskId("remove-container:k3d-dev-agent-0")], "dev")


def test_texts_are_one_line_of_what_can_be_shown() -> None:
    """An engine's words may hold anything."""
    assert "a [31m b agent-0" == readable("a\x1b[31m\n\tb k3d-dev-agent-0", "dev")


@pytest.mark.parametrize(
    ("wanted", "room", "given"),
    [([3, 4], 9, [3, 4]), ([20, 2, 20], 12, [5, 2, 5]), ([9, 9], 0, [0, 0]), ([], 5, [])],
)
def test_room_is_shared(wanted: list[int], room: int, given: list[int]) -> None:
    """Who wants little gets it, the others get alike."""
    assert given == share(wanted, room)
    assert [0] * len(wanted) == share(wanted, -3)


async def recorded(spec: ClusterSpec, *faults: Fault) -> list[AnyEvent]:
    """Return all events of a create on the fake engine, which may fail."""
    keeper = Keeper()
    async with FakeRuntime(latency=Latency(), faults=Faults(faults)) as runtime:
        try:
            await create(spec, backend=backend_of(runtime, is_rehearsal=True), sinks=(keeper,))
        except K3dAsyncError:
            assert faults
    return keeper.events


@virtual_time
@pytest.mark.parametrize(
    ("spec", "faults"),
    [
        (ClusterSpec(name="dev", servers=3, agents=10, image=PULLED), ()),
        (
            ClusterSpec(name="dev", agents=30),
            (Fault(verb="start_container", nth=9, trouble=Fail(EngineError("start", "x", "no"))),),
        ),
    ],
    ids=["create", "rollback"],
)
async def test_the_view_fits_at_every_moment(spec: ClusterSpec, faults: tuple[Fault, ...]) -> None:
    """Never higher nor wider than the terminal; names and times are whole, all rows accounted."""
    views = [still(*size) for size in SIZES]
    all_events = await recorded(spec, *faults)
    for event, following in pairwise(all_events):
        for view in views:
            view.write(event)
            if following.t > event.t:
                assert_fits(view)
                assert_whole(view)


def assert_whole(tty: Tty) -> None:
    """All rows are shown or counted; name and time of each are whole."""
    width, height = tty._console.size
    if width < 40:
        return
    title, *lines = picture(tty)
    [board] = tty._boards.values()
    is_counted = lines[-1].lstrip().startswith("…")
    shown = lines[:-1] if is_counted else lines
    hidden = int(lines[-1].split()[2]) if is_counted else 0
    names = [row.about.short if width < 60 else row.about.name for row in board.rows.values()]
    row = re.compile(rf" +({'|'.join(map(re.escape, names))}) +(\d+\.\d s)? +[·◐●✗\-◌○]+")

    assert title.startswith("create dev: ")
    assert len(names) == len(shown) + hidden
    assert len(lines) == min(len(names), height - 2)
    assert all(map(row.match, shown))


@virtual_time
async def test_several_deletes_share_the_screen() -> None:
    """Each has its title, rows share the rest, and of too many at least the number is said."""
    keeper, names = Keeper(), "abcdefgh"
    async with FakeRuntime(latency=Latency.instant()) as runtime:
        backend = backend_of(runtime)
        for name in names:
            await create(ClusterSpec(name=name, agents=12), backend=backend)
        runtime.latency = Latency()
        await delete(names, backend=backend, sinks=(keeper,))
    views = {size: still(*size) for size in SIZES}
    all_at_once = 0
    for event in keeper.events:
        for view in views.values():
            view.write(event)
            assert_fits(view)
        boards = views[80, 24]._boards
        if len(boards) == len(names):
            all_at_once += 1
            lines = picture(views[80, 24])
            for board in boards.values():
                assert 1 == sum(line.startswith(f"{board.title}: ") for line in lines)
    assert all_at_once
    assert not any(view._boards for view in views.values())


def test_a_few_boards_have_rows_and_many_their_titles() -> None:
    """Three clusters get a third each; of ten on a low terminal the last are counted."""
    plan = [PlannedTask(id=TaskId(f"remove-container:k3d-x-agent-{n}")) for n in range(20)]
    view = still(80, 24)
    for cluster in "abc":
        start(view, plan, run=cluster, cluster=cluster)
    lines = picture(view)
    assert 23 == len(lines)
    assert ["  … and 15 more", "  … and 14 more", "  … and 14 more"] == [
        line for line in lines if "…" in line
    ]

    view = still(80, 8)
    for cluster in "abcdefghij":
        start(view, plan, run=cluster, cluster=cluster)
    lines = picture(view)
    assert "create a: 0 of 20 tasks, 0.0 s" == lines[0]
    assert (7, "… and 4 more") == (len(lines), lines[-1])


def test_what_has_ended_makes_room_first() -> None:
    """A run that is done is its title while others go on, and not even that if they need it."""
    view = still(80, 6)
    plan = [PlannedTask(id=MAKE)]
    runs = [start(view, plan, run=cluster, cluster=cluster) for cluster in "abcdef"]
    for one in runs[:2]:
        one.emit(events.RunDone, seconds=2.0)

    assert [f"create {cluster}: 0 of 1 tasks, 0.0 s" for cluster in "cdef"] == picture(view)[:-1]
    view._console.height = 8
    assert "create a: done in 2.0 s" == picture(view)[0]


def test_finished_rows_make_room_first() -> None:
    """What runs stays, then what waits; the order is the plan's."""
    view = still(80, 5)
    ids = [TaskId(f"start:n{number}") for number in range(6)]
    one = start(view, [PlannedTask(id=id) for id in ids])
    one.emit(events.TaskStarted, task=ids[0], waited=0.0)
    one.emit(events.TaskDone, task=ids[0], waited=0.0, queued=0.0, ran=1.0)
    one.emit(events.TaskStarted, task=ids[5], waited=0.0)

    assert ["n1", "n5", "…"] == [line.split()[0] for line in picture(view)[1:]]


def test_only_the_note_is_cut() -> None:
    """A long name gives way to its short form as a whole, a long note ends in an ellipsis."""
    long = TaskId("image:registry.example.com/k3s:" + "v1" * 20)
    for width, name in ((200, "k3s:" + "v1" * 20), (80, "k3s"), (20, "k3s")):
        view = still(width, 10)
        one = start(view, [PlannedTask(id=long)])
        one.emit(events.TaskStarted, task=long, waited=0.0)
        one.emit(events.TaskProgress, task=long, text="字" * 200, done=1)
        line = picture(view)[1]
        assert [name, "0.0", "s", "◐"] == line.split()[:4]
        assert line.endswith("…")
        assert width - 1 <= cell_len(line) <= width


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_gets_plain_marks(encoding: str) -> None:
    """No byte that the terminal cannot show, whatever an engine says."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    view = still(40, 10, stream)
    one = start(view, [PlannedTask(id=MAKE), PlannedTask(id=PULL)])
    one.emit(events.TaskStarted, task=MAKE, waited=0.0)
    one.emit(events.Warned, text="größer → kleiner")
    one.emit(events.TaskRetry, task=MAKE, attempt=1, delay=1, error="kein Anschluß" * 9)
    lines = picture(view)
    assert lines[1].split()[:4] == ["a", "0.0", "s", ">"]
    assert lines[1].endswith("...")
    assert ".    pull" not in lines[2]
    assert "\n".join(lines).replace("ß", "").isascii()

    view._console.print(view._render())
    one.emit(events.RunFailed, seconds=1.0, code="X", cause="x", rolled_back=True)
    stream.flush()
    written = stream.buffer.getvalue()
    assert b"? kleiner" in written
    assert written.isascii()


@pytest.mark.parametrize(("name", "value"), [("LC_ALL", "C"), ("LANG", "POSIX")])
def test_the_c_locale_means_plain_marks(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python takes it for UTF-8, its terminal may not."""
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert "…" == Tty()._glyphs.dots
    monkeypatch.setenv(name, value)
    assert "..." == Tty()._glyphs.dots


def test_the_view_comes_and_goes() -> None:
    """It is drawn by its timer, leaves nothing but warnings behind, and closes twice."""
    stream = io.StringIO()
    drawn = threading.Event()

    class Watched(Tty):
        def _render(self) -> RenderableType:
            drawn.set()
            return super()._render()

    tty = Watched(Console(file=stream, force_terminal=True, width=100, height=30))
    for event in story(ends=False):
        tty.write(event)
    assert drawn.wait(10)
    tty.close()
    tty.close()
    tty.write(story()[0])

    assert "create c: 0 of 3 tasks" in stream.getvalue()
    assert "\x1b[?25h" in stream.getvalue()
    assert stream.getvalue().rstrip().endswith("warning: mind the gap\x1b[0m")


def test_notes_stay_on_the_terminal_after_the_run() -> None:
    """The view goes; a warning is called so, another plan is not, brackets are no markup."""
    stream = io.StringIO()
    tty = Tty(Console(file=stream, force_terminal=True, color_system=None, width=100))
    one = start(tty)
    one.emit(events.Warned, text="mind [/the] gap")
    one.emit(events.RunReplanned, because="port taken", attempt=2, plan=())
    one.emit(events.RunDone, seconds=1.0)
    tty.close()

    assert "warning: mind [/the] gap" in stream.getvalue()
    assert "planned again: port taken" in stream.getvalue()
    assert "warning: planned" not in stream.getvalue()


class Gone(io.StringIO):
    """A terminal that hangs up after some writes."""

    def __init__(self, error: Exception, after: int) -> None:
        super().__init__()
        self.error, self.after = error, after

    def write(self, text: str) -> int:
        self.after -= 1
        if self.after < 0:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("after", [0, 1, 2, 5])
@pytest.mark.parametrize(
    "error",
    [OSError(5, "EIO"), BrokenPipeError(), ValueError("closed"), BlockingIOError()],
    ids=repr,
)
def test_a_terminal_that_goes_does_not_stop_the_run(
    error: Exception, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a write nor the end raises, and the timer's thread dies of nothing."""
    died: list[object] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    tty = Tty(Console(file=Gone(error, after), force_terminal=True, width=80, height=24))
    for event in story():
        tty.write(event)
        if tty._live.is_started:
            tty._live.refresh()
    sys.stderr.write("something\n")
    tty.close()

    assert [] == died
    assert not isinstance(error, BlockingIOError) or not tty._screen.is_gone


def test_a_closed_stream_is_a_terminal_that_has_gone() -> None:
    """Somebody has closed standard error."""
    stream = io.StringIO()
    tty = Tty(Console(file=stream, force_terminal=True, width=80, height=24))
    stream.close()
    for event in story():
        tty.write(event)
    tty.close()
    assert [] == picture(tty)
