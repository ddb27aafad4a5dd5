"""Layout: plain columns and trees, and text that steers nothing."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.screen import Line, plain_columns, plain_tree, printable

cells = st.lists(st.text(st.characters(categories=["L", "N"]), max_size=8), min_size=3)


@given(st.text())
def test_nothing_unprintable_is_left(text: str) -> None:
    """Only line breaks and tabs survive; the rest cannot move a cursor."""
    shown = printable(text)

    assert all(char.isprintable() or char in "\n\t" for char in shown)
    assert len(shown) == len(text)


@given(cells, cells)
def test_columns_begin_where_their_title_begins(one: list[str], two: list[str]) -> None:
    """However long a cell is, nothing is cut and columns stay aligned."""
    rows = [["A", "B", "C"], one[:3], two[:3]]
    lines = plain_columns(rows)

    start = lines[0].index("B")
    for row, line in zip(rows, lines, strict=True):
        assert line[:start].rstrip() == row[0].rstrip()
        assert line[start:].startswith(row[1].rstrip())
        assert line == line.rstrip()


def test_a_tree_is_indented_and_its_labels_aligned() -> None:
    """Depth is two spaces; texts of siblings begin in one column."""
    tree = Line("top", "text", below=(Line("a", "1"), Line("long", "2")))

    assert plain_tree(tree) == ["top  text", "  a     1", "  long  2"]
