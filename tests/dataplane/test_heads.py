"""Heads: what the next hop is told about the client, and what it is not."""

import random
import re
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dataplane import heads
from proxy.http1.request import Request, RequestParser
from proxy.routing.table import COOKIE_UNIT, UnitSource

PARSER = RequestParser((), target_bytes_max=8192, fields_max=100)
SOURCE = UnitSource(COOKIE_UNIT, b"id", issue=True, max_age_s=60)


class Ids:
    """The same ids in each run."""

    def __init__(self) -> None:
        self.chance = random.Random(1)  # noqa: S311 - no secret
        self.trace_prefix = b"0123456789abcdef"


def parsed(*lines: bytes) -> Request:
    """Return a request with these further field lines."""
    request = PARSER.parse(b"\r\n".join((b"GET / HTTP/1.1", b"Host: shop", *lines)))
    assert isinstance(request, Request)
    return request


def test_a_trusted_peers_chain_is_continued() -> None:
    """X-Forwarded-For grows by the peer; proto and host stay as they came."""
    request = parsed(
        b"X-Forwarded-For: 203.0.113.7",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: shop.example",
    )

    fields = heads.trusted_fields(request, b"name", b"10.0.0.1").split(b"\r\n")

    assert b"X-Forwarded-For: 203.0.113.7, 10.0.0.1" in fields
    assert b"X-Forwarded-Proto: https" in fields
    assert b"X-Forwarded-Host: shop.example" in fields


@pytest.mark.parametrize(
    ("address", "node"),
    [
        (b"192.0.2.1", b"192.0.2.1"),
        (b"2001:db8::1", b'"[2001:db8::1]"'),
        (b"unix", b"unknown"),
    ],
)
def test_forwarded_names_the_peer(address: bytes, node: bytes) -> None:
    """RFC 7239 section 6: brackets and quotes around IPv6, no name for a socket."""
    request = parsed(b"Forwarded: for=203.0.113.7", b"X-Forwarded-Port: 443")

    fields = heads.trusted_fields(request, b"name", address).split(b"\r\n")

    assert b"Forwarded: for=203.0.113.7, for=%b;proto=http" % node in fields
    assert b"X-Forwarded-Port: 443" in fields


def test_an_endless_chain_is_cut_at_its_old_end() -> None:
    """What is sent on is bounded, and the nearest hops stay."""
    request = parsed(b"X-Forwarded-For: " + b"203.0.113.7, " * 500 + b"198.51.100.1")

    fields = heads.trusted_fields(request, b"name", b"10.0.0.1")

    assert len(fields) < heads.FORWARDED_BYTES_MAX + 200
    assert b"198.51.100.1, 10.0.0.1\r\n" in fields


def test_the_client_behind_a_trusted_peer_is_its_last_hop() -> None:
    """The leftmost address is whatever the client wrote; it is not believed."""
    request = parsed(b"X-Forwarded-For: 1.1.1.1, 203.0.113.7")

    assert heads.client_address(request, b"10.0.0.1") == b"203.0.113.7"


@given(
    st.binary(max_size=20).filter(lambda one: not re.search(rb"[\x00-\x1f\x7f]", one))
)
def test_an_address_that_is_none_is_not_believed(value: bytes) -> None:
    """Then the peer itself is the client."""
    request = parsed(b"X-Forwarded-For: x" + value)

    assert heads.client_address(request, b"10.0.0.1") == b"10.0.0.1"


def test_ids_are_started_where_there_are_none() -> None:
    """x-request-id and a W3C traceparent, new for each request."""
    ids = Ids()
    pattern = re.compile(
        rb"\r\nx-request-id: [0-9a-f]{32}"
        rb"\r\ntraceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-01"
    )

    first = heads.tracing_fields(parsed(), ids)
    second = heads.tracing_fields(parsed(), ids)

    assert pattern.fullmatch(first)
    assert first != second


def test_ids_that_came_are_passed_on() -> None:
    """Only the missing one is started."""
    ids = Ids()
    trace = b"traceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"

    both = heads.tracing_fields(parsed(b"x-request-id: 7", trace), ids)
    no_trace = heads.tracing_fields(parsed(b"x-request-id: 7"), ids)

    assert both == b""
    assert b"x-request-id" not in no_trace
    assert b"traceparent: 00-" in no_trace


def test_an_issued_cookie_is_secure_behind_tls() -> None:
    """Only where a trusted peer says so."""
    over_tls = parsed(b"X-Forwarded-Proto: https")
    plain = parsed(b"X-Forwarded-Proto: http")

    line = heads.cookie_line(SOURCE, b"abc", secure=heads.is_secure(over_tls))

    assert line == (
        b"Set-Cookie: id=abc; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure"
    )
    assert not heads.is_secure(plain)


@given(st.integers(min_value=0, max_value=253_402_300_799))
def test_dates_are_those_of_the_standard_library(now_s: int) -> None:
    """RFC 9110 section 5.6.7, to the year 9999, as `email.utils` writes them."""
    assert heads.http_date(now_s).decode() == formatdate(now_s, usegmt=True)
