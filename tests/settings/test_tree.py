"""The tree: every node knows its place, and every bound holds."""

import pytest

from proxy.settings import tree
from proxy.settings.tree import Entry, Node, TreeError


def entries(node: Node | None) -> list[Entry]:
    """Return the entries of a mapping."""
    assert node is not None
    assert isinstance(node.value, list)
    found = [entry for entry in node.value if isinstance(entry, Entry)]
    assert len(found) == len(node.value)
    return found


def test_every_node_knows_its_line_and_column() -> None:
    """Lines and columns count from 1, of keys and of values."""
    root = tree.parse("a: 1\nb:\n  - x\n  - {c: y}\n")

    first, second = entries(root)
    assert (first.key, first.key_mark, first.node.mark) == ("a", (1, 1), (1, 4))
    assert (second.key, second.key_mark, second.node.mark) == ("b", (2, 1), (3, 3))


def test_scalars_stay_as_they_are_written() -> None:
    """``off`` is no boolean and ``2.40`` no number; quotes make a null a text."""
    root = tree.parse("a: off\nb: 2.40\nc: ~\nd: '~'\ne:\n")

    values = [(entry.node.value, entry.node.null) for entry in entries(root)]
    assert values == [
        ("off", False),
        ("2.40", False),
        ("~", True),
        ("~", False),
        ("", True),
    ]


@pytest.mark.parametrize(
    ("text", "mark", "message"),
    [
        ("a: [1", (1, 6), "not valid YAML"),
        ("a: b: c", (1, 5), "not valid YAML"),
        ("a: \x01", (1, 4), "not valid YAML"),
        ("a: 1\n---\nb: 2", (2, 1), "a second document"),
        ("a: !!python/object:os.system x", (1, 4), "is not supported"),
        ("a: *x", (1, 4), 'the alias "x" is not known'),
        ("a: &x [*x]", (1, 8), 'the alias "x" contains itself'),
        ("[a]: 1", (1, 1), "a key must be a plain text"),
        ("<<: {a: 1}", (1, 1), "merge keys"),
    ],
)
def test_what_is_not_understood_is_refused_at_its_place(
    text: str, mark: tuple[int, int], message: str
) -> None:
    """Syntax errors, tags, several documents and odd keys have a line and column."""
    with pytest.raises(TreeError, match=message) as caught:
        tree.parse(text)

    assert caught.value.mark[0] == mark[0]
    assert abs(caught.value.mark[1] - mark[1]) <= 1


def test_aliases_are_expanded_only_so_far() -> None:
    """The "billion laughs" are refused where they pass the bound, at once."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    for level in range(1, 10):
        items = ",".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{items}]")

    with pytest.raises(TreeError, match="more than 100000 values") as caught:
        tree.parse("\n".join(lines))

    assert caught.value.mark[0] == 5


def test_depth_is_bounded_also_through_aliases() -> None:
    """32 levels are read, 33 are not; an alias adds its own depth."""
    assert tree.parse("[" * 32 + "]" * 32) is not None
    with pytest.raises(TreeError, match="nested more than 32 deep"):
        tree.parse("[" * 33 + "]" * 33)
    half = "[" * 20 + "]" * 20
    with pytest.raises(TreeError, match="nested more than 32 deep"):
        tree.parse("a: &a " + half + "\nb: " + "[" * 15 + "*a" + "]" * 15)


def test_a_thousand_open_brackets_are_an_error_and_no_crash() -> None:
    """Depth is checked while reading, not by the interpreter's stack."""
    with pytest.raises(TreeError):
        tree.parse("[" * 500_000)


def test_an_empty_text_has_no_root() -> None:
    """Comments alone are nothing."""
    assert tree.parse("# nothing\n") is None
