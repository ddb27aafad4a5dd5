"""
How text reaches a terminal or a pipe.

Decides plain or rich (a terminal without ``NO_COLOR``), and keeps what others
wrote from steering the terminal. What there is to say is ``view``'s. rich is
imported only where something is drawn with it.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree


class Tone(StrEnum):
    """What a piece of text means; the value is rich's style for it."""

    PLAIN = ""
    QUIET = "dim"
    NAME = "bold"
    GOOD = "green"
    BUSY = "cyan"
    HELD = "yellow"
    BAD = "bold red"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a tree: ``label  text``, and the lines below it."""

    label: str
    text: str = ""
    tone: Tone = Tone.PLAIN
    below: tuple["Line", ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Columns with upper-case titles; ``tones`` colours whole rows."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    tones: tuple[Tone, ...]


def is_plain() -> bool:
    """Tell whether stdout gets plain text (https://no-color.org)."""
    dumb = os.environ.get("TERM") == "dumb"
    return bool(os.environ.get("NO_COLOR")) or dumb or not sys.stdout.isatty()


def printable(text: str) -> str:
    """Return text in which nothing moves the cursor or changes a colour."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )


def say(text: str) -> None:
    """Print lines that need no layout, at once: who reads a pipe reads live."""
    print(printable(text), flush=True)  # noqa: T201 - the program's output


def show_table(table: Table) -> None:
    """Print a table."""
    if is_plain():
        say("\n".join(plain_columns([table.titles, *table.rows])))
        return
    from rich.console import Console  # 0.1 s that pipes need not pay
    from rich.table import Table as RichTable  # likewise

    drawn = RichTable(box=None, pad_edge=False, header_style="dim")
    for title in table.titles:
        drawn.add_column(title, no_wrap=True)
    for row, tone in zip(table.rows, table.tones, strict=True):
        drawn.add_row(*(_styled(cell, tone) for cell in row))
    Console().print(drawn)


def show_trees(lines: Iterable[Line]) -> None:
    """Print trees one after another."""
    if is_plain():
        for line in lines:
            say("\n".join(plain_tree(line)))
        return
    from rich.console import Console  # 0.1 s that pipes need not pay

    console = Console()
    for line in lines:
        console.print(rich_tree(line))


def plain_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows with aligned columns, two spaces apart, nothing cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            printable(cell).ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def plain_tree(line: Line, depth: int = 0) -> list[str]:
    """Return a tree as indented lines."""
    width = max((len(below.label) for below in line.below), default=0)
    lines = [f"{'  ' * depth}{line.label}  {line.text}".rstrip()]
    for below in line.below:
        padded = Line(below.label.ljust(width), below.text, below.tone, below.below)
        lines += plain_tree(padded, depth + 1)
    return lines


def rich_tree(line: Line) -> "Tree":
    """Return a tree as rich draws it."""
    from rich.tree import Tree  # 0.1 s that pipes need not pay

    return _grown(Tree(_labelled(line, 0), guide_style="dim"), line)


def _grown(tree: "Tree", line: Line) -> "Tree":
    width = max((len(below.label) for below in line.below), default=0)
    for below in line.below:
        _grown(tree.add(_labelled(below, width)), below)
    return tree


def _labelled(line: Line, width: int) -> "Text":
    from rich.text import Text  # 0.1 s that pipes need not pay

    label = printable(line.label.ljust(width))
    style = Tone.QUIET if width and not line.below else Tone.NAME
    return Text.assemble((label, style), "  ", (printable(line.text), line.tone))


def _styled(cell: str, tone: Tone) -> "Text":
    from rich.text import Text  # 0.1 s that pipes need not pay

    return Text(printable(cell), style=tone)
