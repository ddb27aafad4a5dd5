"""Values become JSON and come back; what has another shape is refused."""

from dataclasses import dataclass
from enum import Enum

import pytest

from proxy.model.document import decode, encode


class Colour(Enum):
    """An enum with text values."""

    RED = "red"


@dataclass(frozen=True, slots=True)
class Inner:
    """A nested value."""

    size: float
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Outer:
    """Every kind of field there is."""

    colour: Colour
    pair: tuple[int, bool]
    many: tuple[Inner, ...]
    by_name: dict[str, float]
    by_code: dict[int, int]
    inner: Inner | None = None


VALUE = Outer(
    Colour.RED, (1, True), (Inner(0.1), Inner(2.0, "b")), {"a": 1.5}, {200: 3}, None
)


def test_round_trip() -> None:
    """What was written reads back equal."""
    assert decode(Outer, encode(VALUE)) == VALUE


def test_whole_numbers_stand_for_floats_and_unknown_keys_are_ignored() -> None:
    """A newer version's keys and JavaScript's numbers do no harm."""
    assert decode(Inner, {"size": 2, "later": "x"}) == Inner(2.0)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([], "expected an object, got list"),
        ({}, "size"),
        ({"size": "x"}, "expected float, got str"),
        ({"size": True}, "expected float, got bool"),
    ],
)
def test_other_shapes_are_refused(document: object, complaint: str) -> None:
    """A document that is not the value says what was expected."""
    with pytest.raises(ValueError, match=complaint):
        decode(Inner, document)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("colour", "blue"),
        ("pair", [1]),
        ("pair", [True, True]),
        ("many", {}),
        ("by_name", []),
    ],
)
def test_other_shapes_inside_are_refused(key: str, value: object) -> None:
    """Nested values are checked as well."""
    document = encode(VALUE)
    assert isinstance(document, dict)

    with pytest.raises(ValueError):  # noqa: PT011 - any of the reader's sentences
        decode(Outer, {**document, key: value})


def test_what_json_has_no_word_for_is_refused() -> None:
    """Sets and functions are no values."""
    with pytest.raises(TypeError, match="set is no JSON value"):
        encode({"a": {1}})
