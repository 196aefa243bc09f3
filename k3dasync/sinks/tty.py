"""The live view of a run on a terminal."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from k3dasync.events import AnyEvent
from k3dasync.sinks.board import Board, Row, State
from k3dasync.sinks.layout import arrange
from k3dasync.streams import silence

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

REFRESH_PER_SECOND = 8
"""Smooth enough for tenths of seconds; drawing 18 rows costs 2.3 ms, so 2 % of a core."""
NARROW = 60
"""Below so many columns names are short and gaps are one: what remains is for the note."""
NAME_SHARE = 3
"""Full names may take a third of the width; a long image name must not push the rest out."""
ELAPSED_WIDTH = 7
"""`999.9 s`: columns that stay where they are while the numbers grow."""
_STYLES = {
    State.PLANNED: "dim",
    State.RUNNING: "cyan",
    State.DONE: "green",
    State.FAILED: "red",
    State.CUT: "yellow",
    State.UNDOING: "yellow",
    State.UNDONE: "dim",
}


@dataclass(frozen=True, slots=True)
class _Glyphs:
    """What is not a letter: a mark for each state, and the sign that something is cut."""

    marks: Mapping[State, str]
    dots: str


_UNICODE = _Glyphs(dict(zip(State, "·◐●✗-◌○", strict=True)), "…")
_ASCII = _Glyphs(dict(zip(State, ".>*x-<o", strict=True)), "...")


class _Screen:
    """The stream of a terminal, to which writing never raises: it may have gone any time.

    What its encoding has not is shown as `?`.
    """

    def __init__(self, stream: TextIO, encoding: str) -> None:
        self._stream, self.encoding = stream, encoding
        self.is_gone = False

    def write(self, text: str) -> int:
        shown = text.encode(self.encoding, "replace").decode(self.encoding)
        self._attempt(lambda: self._stream.write(shown))
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def _attempt(self, act: Callable[[], object]) -> None:
        if self.is_gone:
            return
        try:
            act()
        except BlockingIOError:
            pass  # somebody else made it non-blocking and it is full; the next picture is whole
        except (OSError, ValueError):
            self.is_gone = True
            silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Tty:
    """Draws every run's board in one place, redrawn by its own timer between events.

    The timer is a thread: it reads the boards under a lock, for as long as it takes to write
    down some lines of text.
    """

    def __init__(self, console: "Console | None" = None, *, colors: bool | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        is_ours = console is None
        no_color = None if colors is None else not colors
        self._console = console or Console(stderr=True, no_color=no_color)
        is_ascii = self._console.options.ascii_only or (is_ours and _is_locale_ascii(os.environ))
        self._screen = _Screen(
            cast("TextIO", self._console.file), "ascii" if is_ascii else self._console.encoding
        )
        self._console.file = cast("IO[str]", self._screen)
        self._glyphs = _ASCII if is_ascii else _UNICODE
        self._boards: dict[str, Board] = {}
        self._offsets: dict[str, float] = {}
        self._lock = threading.Lock()
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=REFRESH_PER_SECOND,
            transient=True,
            redirect_stdout=False,  # it may be a pipe, and nobody prints to it during a run
        )
        self._is_drawing = self._is_closed = False

    def write(self, event: AnyEvent) -> None:
        with self._lock:
            board = self._boards.setdefault(event.run, Board())
            board.write(event)
            self._offsets[event.run] = time.monotonic() - event.t
            if all(board.ended for board in self._boards.values()):
                self._boards.clear()
        # Not under the lock: these wait for the timer's thread, which may wait for the lock.
        if board.ended:
            self._tell(board)
        elif not self._is_drawing and not self._is_closed:
            self._is_drawing = True
            self._live.start()

    def close(self) -> None:
        """Give the terminal back as it was, with what people should know of runs not ended."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._is_drawing:
            self._live.stop()
        for board in self._boards.values():
            if not board.ended:
                self._tell(board)

    def _tell(self, board: Board) -> None:
        from rich.text import Text

        for note in board.notes:
            style = "yellow" if note.startswith("warning: ") else ""
            self._console.print(Text(note, style=style))

    def _render(self) -> "RenderableType":
        """Return the picture; the last line stays free, for the cursor when the view goes."""
        from rich.console import Group

        if self._screen.is_gone:
            return Group()
        width, height = self._console.size
        with self._lock:
            return Group(*self._lines(width, max(height - 1, 1)))

    def _lines(self, width: int, height: int) -> "Iterator[Text]":
        clock = time.monotonic()
        times = {id(board): clock - self._offsets[run] for run, board in self._boards.items()}
        boards = tuple(self._boards.values())
        pen = _Pen.for_boards(boards, width, self._glyphs)
        layout = arrange(boards, height)
        for part in layout.parts:
            now = times[id(part.board)]
            yield pen.line((part.board.headline(now), "bold"))
            for row in part.rows:
                yield pen.row(part.board, row, now)
            if part.hidden and not part.is_folded:
                yield pen.line((f"{pen.gap}{pen.glyphs.dots} and {part.hidden} more", "dim"))
        if layout.hidden:
            yield pen.line((f"{self._glyphs.dots} and {layout.hidden} more", "dim"))


@dataclass(frozen=True, slots=True)
class _Pen:
    """Writes lines of one picture, with columns as wide as all rows need, shown or not."""

    width: int
    is_narrow: bool
    name_width: int
    marks_width: int
    glyphs: _Glyphs

    @property
    def gap(self) -> str:
        return " " if self.is_narrow else "  "

    @classmethod
    def for_boards(cls, boards: Sequence[Board], width: int, glyphs: _Glyphs) -> "_Pen":
        from rich.cells import cell_len

        rows = [row for board in boards for row in board.rows.values() if not board.ended]
        names = max((cell_len(row.about.name) for row in rows), default=0)
        is_narrow = width < NARROW or names > width // NAME_SHARE
        if is_narrow:
            names = max((cell_len(row.about.short) for row in rows), default=0)
        marks = max((len(row.cells) for row in rows), default=0)
        return cls(width, is_narrow, names, marks, glyphs)

    def row(self, board: Board, row: Row, now: float) -> "Text":
        """Return one row's line: what must never be cut comes first, the note last."""
        from rich.cells import set_cell_size

        current, elapsed = row.current(), row.elapsed(now)
        about = row.about
        name = about.short if self.is_narrow else about.name
        style = _STYLES[current.state]
        shown = "" if elapsed is None else f"{elapsed:.1f} s"
        pieces = [
            (f"{self.gap}{set_cell_size(name, self.name_width)}", ""),
            (f"{self.gap}{shown:>{ELAPSED_WIDTH}}{self.gap}", "dim"),
            *((self.glyphs.marks[cell.state], _STYLES[cell.state]) for cell in row.cells),
            (" " * (self.marks_width - len(row.cells)) + self.gap, ""),
            (board.says(row), style if current.state is State.FAILED else "dim"),
        ]
        return self.line(*pieces)

    def line(self, *pieces: tuple[str, str]) -> "Text":
        """Return pieces of text with their styles as one line, cut at its end."""
        from rich.text import Text

        line = Text(no_wrap=True, overflow="crop")
        for text, style in pieces:
            line.append(text, style)
        if line.cell_len > self.width:
            dots = self.glyphs.dots
            line.truncate(max(self.width - len(dots), 0), overflow="crop")
            line.append(dots[: self.width])
        line.rstrip()
        return line


def _is_locale_ascii(environ: Mapping[str, str]) -> bool:
    """Say whether the user asks for plain characters: Python itself takes the C locale for UTF-8.

    LC_CTYPE is not asked: Python has put C.UTF-8 there then (PEP 538).
    """
    return (environ.get("LC_ALL") or environ.get("LANG")) in {"C", "POSIX"}
