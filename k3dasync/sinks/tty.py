"""The live view of a run on a terminal."""

import time
from typing import TYPE_CHECKING

from k3dasync.events import AnyEvent, RunDone, RunFailed, RunStarted
from k3dasync.sinks.board import Board, Cell, State

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

REFRESH_PER_SECOND = 8
"""Smooth enough for tenths of seconds; drawing 20 rows costs 3 ms, so 3 % of a core."""
_MARKS = {
    State.PLANNED: ("·", "dim"),
    State.RUNNING: ("◐", "cyan"),
    State.DONE: ("●", "green"),
    State.FAILED: ("✗", "red"),
    State.CUT: ("○", "yellow"),
    State.UNDOING: ("◌", "yellow"),
    State.UNDONE: ("○", "dim"),
}


class Tty:
    """Draws every run's board in one place, redrawn by its own timer between events."""

    def __init__(self, console: "Console | None" = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = console or Console(stderr=True)
        self._boards: dict[str, Board] = {}
        self._offsets: dict[str, float] = {}
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=REFRESH_PER_SECOND,
            transient=True,
        )
        self._is_drawing = False

    def write(self, event: AnyEvent) -> None:
        board = self._boards.setdefault(event.run, Board())
        board.write(event)
        self._offsets[event.run] = time.monotonic() - event.t
        if isinstance(event, RunStarted) and not self._is_drawing:
            self._is_drawing = True
            self._live.start()
        elif isinstance(event, RunDone | RunFailed):
            for note in board.notes:
                self._console.print(f"warning: {note}", style="yellow", highlight=False)
            del self._boards[event.run]

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._is_drawing:
            self._live.stop()
            self._is_drawing = False

    def _render(self) -> "RenderableType":
        from rich.console import Group

        room = max(self._console.height - 2, 6)
        return Group(
            *(
                self._board(board, time.monotonic() - self._offsets.get(run, 0.0), room)
                for run, board in tuple(self._boards.items())
            )
        )

    def _board(self, board: Board, now: float, room: int) -> "RenderableType":
        from rich.table import Table
        from rich.text import Text

        done = board.count(State.DONE, State.UNDONE)
        table = Table(
            title=f"{board.title}: {done} of {len(board.cells)} tasks, {now:.1f} s",
            title_justify="left",
            box=None,
            show_header=False,
            padding=(0, 1),
        )
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        rows = list(board.rows())
        if len(rows) > room:  # what is finished makes room for what is not
            rows = [row for row in rows if any(_is_open(cell) for cell in row[1])][:room]
        for name, cells in rows:
            marks = Text()
            for cell in cells:
                mark, style = _MARKS[cell.state]
                marks.append(f"{mark} {cell.kind} ", style=style)
            table.add_row(name, marks, Text(board.says(cells, now), style="dim"))
        return table


def _is_open(cell: Cell) -> bool:
    return cell.state not in {State.DONE, State.UNDONE}
