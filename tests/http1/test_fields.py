"""Field lines, and the values that a proxy must understand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1 import fields

name = st.binary(min_size=1, max_size=12)
value = st.binary(max_size=20)


@given(name, value)
def test_a_line_is_a_field_or_none(name: bytes, value: bytes) -> None:
    """RFC 9110 section 5: token, colon, no control; never an exception."""
    field = fields.split_line(name + b":" + value)

    first, _, rest = (name + b":" + value).partition(b":")
    legal = bool(first) and all(octet in fields.TOKEN for octet in first)
    legal = legal and all(octet in fields.VALUE for octet in rest)
    assert (field is not None) == legal
    if field is not None:
        assert field == (first.lower(), rest.strip(b" \t"))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"name",
        b": value",
        b" name: value",
        b"name : value",
        b"na me: value",
        b"name\t: value",
        b"name: a\rb",
        b"name: a\nb",
        b"name: a\0b",
        b"name: a\x7fb",
        b"name: a\x0bb",
        b"n\xe4me: value",
    ],
)
def test_what_is_no_field(line: bytes) -> None:
    """RFC 9112 section 5.1: white space before the colon and controls are errors."""
    assert fields.split_line(line) is None


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (b"a", b"a"),
        (b"Shop.Example.com", b"shop.example.com"),
        (b"a:80", b"a"),
        (b"a:", b"a"),
        (b"a:65535", b"a"),
        (b"[::1]", b"[::1]"),
        (b"[::1]:8080", b"[::1]"),
        (b"a%20b", b"a%20b"),
        (b"under_score", b"under_score"),
        (b"", None),
        (b"a:65536", None),
        (b"a:+80", None),
        (b"a:8o", None),
        (b"user@a", None),
        (b"a/b", None),
        (b"a,b", None),
        (b"a b", None),
        (b"a%2", None),
        (b"[::1", None),
        (b"::1", None),
        (b"a:80:80", None),
        (b"a\xe4", None),
        (b"a\n", None),
    ],
)
def test_host_values(host: bytes, name: bytes | None) -> None:
    """RFC 9110 section 7.2: a host and perhaps a port; no user, path or list."""
    assert fields.valid_host(host) == name


@pytest.mark.parametrize(
    ("value", "length"),
    [
        (b"0", 0),
        (b"007", 7),
        (b"9" * 18, 10**18 - 1),
        (b"9" * 19, None),
        (b"", None),
        (b"+1", None),
        (b"-1", None),
        (b"1_0", None),
        (b"1,1", None),
        (b"0x1", None),
        (b"1.0", None),
        ("\u0661".encode(), None),
    ],
)
def test_content_length(value: bytes, length: int | None) -> None:
    """RFC 9110 section 8.6: digits alone; ``int()`` would take far more."""
    assert fields.content_length(value) == length


@given(st.binary(max_size=40))
def test_content_length_never_raises(value: bytes) -> None:
    """Whatever stands there is a number or refused."""
    length = fields.content_length(value)

    assert length is None or (value.isdigit() and length == int(value))


def test_tokens() -> None:
    """RFC 9110 section 5.6.1: empty elements of a list are ignored."""
    assert fields.tokens(b" Close,\t, TE ,,") == (b"close", b"te")
    assert fields.tokens(b"") == ()


@pytest.mark.parametrize(
    ("cookies", "value"),
    [
        (b"id=1", b"1"),
        (b"a=b; id=1; id=2", b"1"),
        (b"xid=1;  id = 2", None),
        (b'id="quoted"', b"quoted"),
        (b"id", None),
        (b"id=", b""),
        (b"id=a=b", b"a=b"),
        (b"ID=1", None),
        (b";;id=1;;", b"1"),
    ],
)
def test_cookies(cookies: bytes, value: bytes | None) -> None:
    """RFC 6265 section 4.2.1: the first pair of that exact name counts."""
    assert fields.cookie_value(cookies, b"id") == value


def test_trailers_that_steer_are_not_allowed() -> None:
    """RFC 9110 section 6.5.1: nor their twins with an underscore, nor our own."""
    for name in (b"host", b"content-length", b"content_length", b"x-headgate-version"):
        assert not fields.allowed_trailer(name)
    for name in (b"server-timing", b"x-sum", b"grpc-status", b"x_own", b"digest"):
        assert fields.allowed_trailer(name)


def test_upgrades_to_http_are_none() -> None:
    """RFC 9110 section 7.8: what remains can be offered or taken."""
    assert fields.upgrades(b"h2c, WebSocket, HTTP/2.0,, raw") == (b"websocket", b"raw")
