"""
Where the demo's pictures appear: a terminal that is drawn over, or plain lines.

Decides layout and pace; the figures come from ``view``. Plain is for pipes, CI
and ``NO_COLOR``: a line when something changed, and at least one in two seconds.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from proxy.cli.demo.view import TITLES, View
from proxy.cli.screen import printable

PLAIN_LINE_EVERY_S = 2.0
FRAMES_PER_S = 8
BAR_COLUMNS = 40
_STYLES = {"pass": "green", "fail": "bold red", "undecided": "yellow"}


class Screen(Protocol):
    """What a story is told on."""

    def say(self, line: str, style: str = "") -> None:
        """Write a line that stays."""

    def show(self, view: View) -> None:
        """Show the present moment."""


class PlainScreen:
    """Lines without colour, none of them drawn over."""

    def __init__(self) -> None:
        self._last = ""
        self._last_s = 0.0

    def say(self, line: str, style: str = "") -> None:  # noqa: ARG002 no styles here
        """Write a line that stays."""
        print(printable(line), flush=True)  # noqa: T201 the program's output

    def show(self, view: View) -> None:
        """Write the moment as one line, if it is news or the last one is old."""
        now_s = time.monotonic()
        if view.phase == self._last and now_s - self._last_s < PLAIN_LINE_EVERY_S:
            return
        self._last, self._last_s = view.phase, now_s
        stable, canary = (dict(zip(TITLES, row, strict=True)) for row in view.rows)
        figures = "  ".join(
            f"{title.lower()} {stable[title]} | {canary[title]}"
            for title in ("REQUESTS", "P50", "P99", "ERRORS")
        )
        self.say(
            f"   canary {canary['WEIGHT']:>5}  {figures}  "
            f"verdict {canary['VERDICT']}  {view.phase}: {view.message}"
        )


class LiveScreen:
    """A terminal: the picture stays at the bottom, lines that stay go above it."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live

    def say(self, line: str, style: str = "") -> None:
        """Write a line that stays."""
        self._console.print(Text(printable(line), style=style))

    def show(self, view: View) -> None:
        """Draw over the last picture."""
        self._live.update(_picture(view))


@contextmanager
def open_screen(*, plain: bool) -> Iterator[Screen]:
    """Open the screen that fits; a terminal is as it was when it is closed."""
    if plain:
        yield PlainScreen()
        return
    console = Console(highlight=False)
    with Live(console=console, refresh_per_second=FRAMES_PER_S, transient=True) as live:
        yield LiveScreen(console, live)


def _picture(view: View) -> RenderableType:
    """Return the table, the canary's share as a bar, and what there is to say."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in TITLES:
        words = title in {"ROLE", "VERSION", "REVISION", "VERDICT"}
        table.add_column(title, justify="left" if words else "right", no_wrap=True)
    for row in view.rows:
        verdict = Text(row[-1], style=_STYLES.get(row[-1], "dim"))
        table.add_row(*(Text(printable(cell)) for cell in row[:-1]), verdict)
    share = Table.grid(padding=(0, 1))
    share.add_row(
        Text("canary", style="dim"),
        ProgressBar(total=100, completed=view.weight, width=BAR_COLUMNS),
        Text(f"{view.weight:g} %"),
    )
    lines = (
        table,
        share,
        Text(view.phase, style="cyan"),
        Text(printable(view.message), style="dim", no_wrap=True, overflow="ellipsis"),
        Text(view.users, style="dim"),
    )
    return Padding(Group(*lines), (1, 0, 0, 2))
