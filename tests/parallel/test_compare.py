"""Whole answers, compared."""

import gzip
import json
import zlib

import brotli  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.parallel.bodies import DECODED_BYTES_MAX, decoded
from proxy.parallel.compare import Comparer
from proxy.parallel.rules import Rules
from proxy.parallel.values import Answer, Outcome

JSON = ("content-type", "application/json")
TEXT = ("content-type", "text/plain; charset=utf-8")
XML = ("content-type", "application/xml")
DEEP = b"[" * 100_000 + b"]" * 100_000
"""Deeper than any parser of ours goes."""
BYTES = ("content-type", "application/octet-stream")


def answer(
    body: bytes = b"",
    *headers: tuple[str, str],
    status: int = 200,
    outcome: Outcome = Outcome.ANSWERED,
) -> Answer:
    """Return an answer."""
    return Answer(outcome, status, headers, body, len(body))


def differences(
    left: Answer, right: Answer, rules: Rules | None = None
) -> set[tuple[str, str]]:
    """Return paths and kinds of a comparison."""
    found = Comparer(rules or Rules()).compare(left, right)
    return {(one.path, one.kind.value) for one in found}


def _raw_deflate(body: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(body) + engine.flush()


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", _raw_deflate),
        ("br", brotli.compress),
        ("identity", bytes),
    ],
)
def test_codings_are_undone(coding: str, encode: object) -> None:
    """The same document in another content coding is the same document."""
    body = json.dumps({"a": [1, 2, 3]}).encode()
    assert callable(encode)
    packed = answer(encode(body), JSON, ("content-encoding", coding))

    assert differences(answer(body, JSON), packed) == set()


def test_two_codings_are_undone_in_reverse() -> None:
    """Codings stand in the order in which they were applied (RFC 9110 8.4)."""
    body = brotli.compress(gzip.compress(b"abc"))

    assert decoded(answer(body, ("content-encoding", "gzip, br"))) == b"abc"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_what_cannot_be_decoded_differs_in_type(coding: str) -> None:
    """Bytes that are not in the coding they claim are no JSON."""
    broken = answer(b"\x00garbage", JSON, ("content-encoding", coding))

    assert differences(answer(b"{}", JSON), broken) == {("$", "type")}
    assert differences(broken, broken) == set()


def test_a_bomb_is_not_unpacked() -> None:
    """What would unpack to more than the bound is not decoded at all."""
    plain = bytes(DECODED_BYTES_MAX + 1)
    for coding, body in (
        ("gzip", gzip.compress(plain)),
        ("deflate", zlib.compress(plain)),
        ("br", brotli.compress(plain, quality=1)),
    ):
        assert decoded(answer(body, ("content-encoding", coding))) is None


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "br", "", "x"]))
def test_any_bytes_decode_or_not(body: bytes, coding: str) -> None:
    """Garbage in any coding never raises, and never differs from itself."""
    one = answer(body, JSON, ("content-encoding", coding))

    assert differences(one, one) == set()


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (answer(status=200), answer(status=404), {("status", "status")}),
        (
            answer(b"{}", JSON),
            answer(outcome=Outcome.TIMEOUT),
            {("leg", "leg_failed")},
        ),
        (answer(b"a  b\r\n", TEXT), answer(b"a b", TEXT), set()),
        (answer(b"a b", TEXT), answer(b"a c", TEXT), {("$", "value")}),
        (answer(b"\x01\x02", BYTES), answer(b"\x01\x03", BYTES), {("$", "value")}),
        (answer(b"\x01", BYTES), answer(b"\x01\x03", BYTES), {("$", "length")}),
        (answer(b"{}", JSON), answer(b"<html>", JSON), {("$", "type")}),
        (answer(b'{"a": 1}', JSON), answer(b'{"a":1.0}', JSON), set()),
        (
            answer(b"{}", JSON),
            answer(b"{}", TEXT),
            {("header:content-type", "header")},
        ),
        (
            answer(b"", ("etag", '"1"'), ("date", "x"), ("set-cookie", "a=1; Path=/")),
            answer(b"", ("etag", '"2"'), ("date", "y"), ("set-cookie", "a=2")),
            set(),
        ),
        (answer(b"", ("etag", "1")), answer(b""), {("header:etag", "header")}),
        (
            answer(b"", ("set-cookie", "a=1")),
            answer(b"", ("set-cookie", "b=1")),
            {("header:set-cookie", "header")},
        ),
        (
            answer(b"", ("vary", "accept, cookie")),
            answer(b"", ("vary", "Cookie, Accept")),
            set(),
        ),
        (
            answer(b"", ("content-type", "text/html; charset=utf-8")),
            answer(b"", ("content-type", "Text/HTML;charset=UTF-8")),
            set(),
        ),
        (
            answer(b"{}", JSON),
            answer(b"", JSON, outcome=Outcome.TOO_LARGE),
            {("$", "size")},
        ),
        (
            answer(b"", JSON, outcome=Outcome.TOO_LARGE),
            answer(b"", JSON, outcome=Outcome.TOO_LARGE),
            set(),
        ),
        (
            answer(b"ab", JSON, ("content-encoding", "zstd")),
            answer(b"ac", JSON, ("content-encoding", "zstd")),
            {("$", "value")},
        ),
        (answer(b"no json", JSON), answer(b"nor this", JSON), {("$", "length")}),
        (answer(DEEP, JSON), answer(DEEP, JSON), set()),
        (answer(DEEP, JSON), answer(b"[]", JSON), {("$", "type")}),
        (answer(b"<a/>", XML), answer(b"<a />", XML), {("$", "value")}),
    ],
)
def test_what_differs(
    left: Answer, right: Answer, expected: set[tuple[str, str]]
) -> None:
    """Outcome, status, headers by allow-list, and the body by its media type."""
    assert differences(left, right) == expected


def test_rules_for_status_and_headers() -> None:
    """A class of statuses, a header not to compare, and one more to compare."""
    rules = Rules.from_document(
        {
            "ignore": ["header:ETag"],
            "skip": [],
            "match": {},
            "tolerance": {},
            "order": {},
            "headers": ["X-Price-List"],
            "status": "class",
            "extra_fields": "forbid",
            "null_equals_missing": False,
        }
    )
    left = answer(b"", ("etag", "1"), ("x-price-list", "a"), status=200)
    right = answer(b"", ("x-price-list", "b"), status=201)

    assert differences(left, right, rules) == {("header:x-price-list", "header")}


def test_a_form_is_checked_in_equal_bodies_too() -> None:
    """A value that lacks its form differs, though both sides have the same."""
    rules = Rules.from_document(
        {
            "ignore": [],
            "skip": [],
            "match": {"$.id": {"form": "uuid", "skew": None}},
            "tolerance": {},
            "order": {},
            "headers": [],
            "status": "exact",
            "extra_fields": "forbid",
            "null_equals_missing": False,
        }
    )
    one = answer(b'{"id": "7"}', JSON)

    assert differences(one, one, rules) == {("$.id", "value")}
