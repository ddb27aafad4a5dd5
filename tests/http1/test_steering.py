"""Lines that steer: what they mean for the request, and when they refuse it."""

import pytest

from proxy.http1 import steering
from proxy.http1.refusals import (
    ANSWERED_HERE,
    BAD_FRAMING,
    BAD_MAX_FORWARDS,
    LOOP,
    UNKNOWN_CODING,
    Refusal,
)
from proxy.http1.request import Request, RequestParser

PSEUDONYM = b"headgate-12345678"


def parsed(*lines: bytes, first: bytes = b"POST / HTTP/1.1") -> Request | Refusal:
    """Return what a head with these lines yields."""
    parser = RequestParser(
        (b"x-user-id",), target_bytes_max=100, fields_max=20, pseudonym=PSEUDONYM
    )
    return parser.parse(b"\r\n".join((first, b"Host: a", *lines)))


def request(*lines: bytes, first: bytes = b"POST / HTTP/1.1") -> Request:
    """Return the request of a head that must be taken."""
    result = parsed(*lines, first=first)
    assert isinstance(result, Request), result
    return result


@pytest.mark.parametrize(
    ("coding", "expected"),
    [
        (b"foo, chunked", UNKNOWN_CODING),
        (b"gzip;level=9, chunked", UNKNOWN_CODING),
        (b"x-made-up , br, CHUNKED", UNKNOWN_CODING),
        (b"chunked, foo, chunked", BAD_FRAMING),
        (b"identity, chunked", BAD_FRAMING),
        (b"foo bar, chunked", BAD_FRAMING),
        (b"foo=1, chunked", BAD_FRAMING),
        (b", chunked", BAD_FRAMING),
        (b"foo", BAD_FRAMING),
    ],
)
def test_codings_under_chunked(coding: bytes, expected: Refusal) -> None:
    """RFC 9112 section 6.1: 501 for what has a name, 400 for what is ambiguous."""
    assert parsed(b"Transfer-Encoding: " + coding) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"content_length", None),
        (b"transfer_encoding", None),
        (b"x_forwarded_for", steering.DROP),
        (b"x-forwarded_host", steering.DROP),
        (b"max_forwards", steering.DROP),
        (b"proxy_authorization", steering.DROP),
        (b"x_user_id", steering.DROP),
        (b"x_own", steering.PASS),
        (b"_", steering.PASS),
    ],
)
def test_look_alikes(name: bytes, expected: int | None) -> None:
    """RFC 3875 section 4.1.18: refused, dropped, or nobody's twin."""
    kinds = {**steering.KINDS, b"x-user-id": steering.WATCH}

    assert steering.look_alike(name, kinds) == expected


def test_a_look_alike_of_a_watched_field_is_no_unit() -> None:
    """Nor does it go on: an origin would take it for the real one."""
    result = request(b"X_User_Id: ann", b"X-User-Id: bob")

    assert result.watched[b"x-user-id"] == b"bob"
    assert result.lines == [b"Host: a", b"X-User-Id: bob"]


def test_max_forwards() -> None:
    """RFC 9110 section 7.6.2: counted for OPTIONS, at zero answered, else passed."""
    options = b"OPTIONS * HTTP/1.1"

    assert request(b"Max-Forwards: 9", first=options).lines[-1] == b"Max-Forwards: 8"
    assert parsed(b"Max-Forwards: 0", first=options) is ANSWERED_HERE
    assert parsed(b"Max-Forwards: 00", first=options) is ANSWERED_HERE
    assert parsed(b"Max-Forwards: a", first=options) is BAD_MAX_FORWARDS
    twice = (b"Max-Forwards: 1", b"Max-Forwards: 1")
    assert parsed(*twice, first=options) is BAD_MAX_FORWARDS
    assert request(*twice).lines[1:] == list(twice)


def test_our_own_name_in_via_is_a_loop() -> None:
    """RFC 9110 section 7.6.3: on any line, at any place."""
    assert parsed(b"Via: 1.1 a", b"Via: 1.0 b, 1.1 " + PSEUDONYM) is LOOP
    assert request(b"Via: 1.1 headgate-87654321").lines[-1].startswith(b"Via")


def test_close_means_the_same_however_it_is_said() -> None:
    """RFC 9112 section 9.6: alone, in a list, in capitals, twice."""
    for lines in (
        (b"Connection: close",),
        (b"Connection: CLOSE",),
        (b"Connection: x, close",),
        (b"Connection: keep-alive, close",),
        (b"Connection: keep-alive", b"Connection: close"),
    ):
        result = request(*lines)
        assert result.close
        assert not result.plain
        assert result.lines == [b"Host: a"]
    assert not request(b"Connection: keep-alive").close


def test_what_connection_names_is_known() -> None:
    """RFC 9110 section 7.6.1: for trailers too; never what all have to read."""
    result = request(b"Connection: x-a, host, via, authorization", b"X-A: 1")

    assert result.named == {b"x-a"}
    assert result.lines == [b"Host: a"]


@pytest.mark.parametrize(
    ("method", "value", "expected"),
    [
        (b"GET", b"websocket", b"websocket"),
        (b"POST", b"websocket", b""),
        (b"POST", b"websocket, tcp", b"tcp"),
        (b"GET", b"h2c, HTTP/3.0, h3, http", b""),
    ],
)
def test_upgrades(method: bytes, value: bytes, expected: bytes) -> None:
    """RFC 9110 section 7.8, RFC 6455 section 4.1."""
    result = request(
        b"Connection: upgrade", b"Upgrade: " + value, first=method + b" / HTTP/1.1"
    )

    assert result.upgrade == expected


@pytest.mark.parametrize(
    ("target", "host", "equal"),
    [
        (b"a:80", b"a", True),
        (b"a", b"A:80", True),
        (b"a:", b"a", True),
        (b"a:81", b"a:81", True),
        (b"a:81", b"a", False),
        (b"a", b"b", False),
    ],
)
def test_the_default_port_is_no_other_host(
    target: bytes, host: bytes, *, equal: bool
) -> None:
    """RFC 9110 section 4.2.3: a target and a Host may differ by it."""
    head = b"GET http://%b/ HTTP/1.1\r\nHost: %b" % (target, host)
    parser = RequestParser((), target_bytes_max=100, fields_max=20)

    assert isinstance(parser.parse(head), Request) is equal
