"""Patterns over paths."""

import pytest

from proxy.parallel import paths


def matches(pattern: str, *segments: str) -> bool:
    """Whether a pattern matches a path of segments."""
    state = paths.begin((paths.parse_pattern(pattern),))
    for segment in segments:
        state = paths.advance(state, segment)
    return bool(paths.reached(state))


@pytest.mark.parametrize(
    ("pattern", "segments", "expected"),
    [
        ("$", (), True),
        ("$.a", ("a",), True),
        ("$.a", ("b",), False),
        ("$.a", ("a", "b"), False),
        ("$.a[].b", ("a", "[]", "b"), True),
        ("$.a[*].b", ("a", "[]", "b"), True),
        ("$.a[3].b", ("a", "[]", "b"), True),
        ("$.a[id=].b", ("a", "[]", "b"), True),
        ("$.*.b", ("a", "b"), True),
        ("$.*", ("[]",), False),
        ("$..b", ("b",), True),
        ("$..b", ("a", "[]", "c", "b"), True),
        ("$..b.c", ("a", "b", "c"), True),
        ("$['a b'].c", ("a b", "c"), True),
        ('$["a.b"]', ("a.b",), True),
        ("$..['x y']", ("q", "x y"), True),
    ],
)
def test_patterns(pattern: str, segments: tuple[str, ...], *, expected: bool) -> None:
    """Keys, any key, any item and any depth match as they read."""
    assert matches(pattern, *segments) is expected


@pytest.mark.parametrize("text", ["", "a.b", "$a", "$.", "$.a..", "$.a[", "$.a b"])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    """A pattern that can be misread is refused, with what was expected."""
    with pytest.raises(ValueError, match=r"path"):
        paths.parse_pattern(text)


def test_the_most_specific_pattern_comes_last() -> None:
    """Where several match, a literal key wins over wildcards."""
    texts = ("$.a.b", "$..b", "$.*.b")
    state = paths.begin(tuple(paths.parse_pattern(text) for text in texts))
    for segment in ("a", "b"):
        state = paths.advance(state, segment)

    assert [one.text for one in paths.reached(state)] == ["$..b", "$.*.b", "$.a.b"]
