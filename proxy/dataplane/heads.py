"""
What a head gains on its way through: forwarding, tracing, identity fields.

Fields of the next hop are put together as bytes with a CRLF before each line,
so that they can be appended to the lines that were received.
"""

import ipaddress
import random
from time import gmtime
from typing import TYPE_CHECKING, Final, Protocol
from zlib import crc32

from proxy.http1.request import Request
from proxy.routing.table import UnitSource

if TYPE_CHECKING:
    from proxy.dataplane.downstream import Downstream

DAYS: Final = b"Mon Tue Wed Thu Fri Sat Sun".split()
MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
"""As HTTP dates have them; `email.utils` would take 0.6 MiB of every worker."""

UNIX: Final = b"unix"
"""What stands for the address of a peer that has none."""

FORWARDED_BYTES_MAX: Final = 2048
"""A longer X-Forwarded-For of a trusted peer is cut off at its old end."""


class Ids(Protocol):
    """Where new ids come from: a generator, and 16 hexadecimal digits."""

    chance: random.Random
    trace_prefix: bytes


def pseudonym(tree: str) -> bytes:
    """
    Return our name in Via (RFC 9110 section 7.6.3) for one tree of processes.

    It differs between trees, so that one Headgate behind another is no loop;
    it tells no host name.
    """
    return b"headgate-%08x" % crc32(tree.encode())


def peer_fields(name: bytes, address: bytes) -> bytes:
    """Return what every request of one untrusted client gains; its host follows."""
    return (
        b"\r\nVia: 1.1 %b\r\nX-Forwarded-For: %b"
        b"\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: " % (name, address)
    )


def forwarding_fields(request: Request, down: "Downstream") -> bytes:
    """Return Via and the X-Forwarded-* of a request; its host is known."""
    if down.trusted:
        return trusted_fields(request, down.worker.pseudonym, down.address)
    return down.peer_fields + request.host


def trusted_fields(request: Request, name: bytes, address: bytes) -> bytes:
    """
    Return the same behind a trusted proxy, whose fields are continued.

    Forwarded (RFC 7239) and X-Forwarded-Port go on only where they came.
    """
    received: dict[bytes, bytes] = {}
    chain: list[bytes] = []
    hops: list[bytes] = []
    for field, value in request.forwarded:
        if field == b"x-forwarded-for":
            chain.append(value)
        elif field == b"forwarded":
            hops.append(value)
        else:
            received[field] = value
    chain.append(address)
    out = [
        b"\r\nVia: 1.1 ",
        name,
        b"\r\nX-Forwarded-For: ",
        _newest(b", ".join(chain)),
        b"\r\nX-Forwarded-Proto: ",
        received.get(b"x-forwarded-proto") or b"http",
        b"\r\nX-Forwarded-Host: ",
        received.get(b"x-forwarded-host") or request.host,
    ]
    if b"x-forwarded-port" in received:
        out += (b"\r\nX-Forwarded-Port: ", received[b"x-forwarded-port"])
    if hops:
        hops.append(b"for=%b;proto=http" % _node(address))
        out += (b"\r\nForwarded: ", _newest(b", ".join(hops)))
    return b"".join(out)


def _node(address: bytes) -> bytes:
    """Return an address as Forwarded writes it (RFC 7239 section 6)."""
    if address == UNIX:
        return b"unknown"
    return b'"[%b]"' % address if b":" in address else address


def _newest(chain: bytes) -> bytes:
    """Return a comma-separated chain, or as much of its new end as is allowed."""
    if len(chain) <= FORWARDED_BYTES_MAX:
        return chain
    return chain[-FORWARDED_BYTES_MAX:].partition(b",")[2].lstrip(b" \t")


def client_address(request: Request, address: bytes) -> bytes:
    """Return the client that a trusted peer speaks for: its last hop."""
    for name, value in request.forwarded:
        if name == b"x-forwarded-for":
            last = value.rpartition(b",")[2].strip(b" \t")
            try:
                ipaddress.ip_address(last.decode("ascii", "replace"))
            except ValueError:
                return address
            return last
    return address


REQUEST_ID: Final = b"\r\nx-request-id: "
"""What stands before an id of our making in the fields below."""


def tracing_fields(request: Request, ids: "Ids") -> bytes:
    """
    Return x-request-id and traceparent where the request lacks them.

    A trace id is the worker's random half and a random half of the request's,
    which is our span's id too (W3C Trace Context, section 3.2.2).
    """
    watched = request.watched
    low = b"%016x" % (ids.chance.getrandbits(64) | 1)
    high = ids.trace_prefix
    if b"x-request-id" not in watched:
        if b"traceparent" in watched:
            return b"\r\nx-request-id: %b%b" % (high, low)
        return b"\r\nx-request-id: %b%b\r\ntraceparent: 00-%b%b-%b-01" % (
            high,
            low,
            high,
            low,
            low,
        )
    if b"traceparent" in watched:
        return b""
    return b"\r\ntraceparent: 00-%b%b-%b-01" % (high, low, low)


def body_fields(request: Request) -> bytes:
    """Return the framing of a request's body, where its lines have none."""
    if request.framed:
        return b""
    if request.chunked:
        framing = b"\r\nTransfer-Encoding: chunked"
    elif request.length >= 0:
        framing = b"\r\nContent-Length: %d" % request.length
    else:
        return b""
    if request.expect_continue and request.has_body:
        framing += b"\r\nExpect: 100-continue"
    return framing


def connection_fields(request: Request) -> bytes:
    """Return Connection, TE and Upgrade where the next hop needs them."""
    if request.upgrade:
        return b"\r\nConnection: Upgrade\r\nUpgrade: " + request.upgrade
    if request.te_trailers:
        return b"\r\nConnection: TE\r\nTE: trailers"
    return b""


def cookie_line(source: UnitSource, unit: bytes, *, secure: bool) -> bytes:
    """Return the Set-Cookie line that hands out a unit (RFC 6265)."""
    return b"Set-Cookie: %b=%b; Max-Age=%d; Path=/; HttpOnly; SameSite=Lax%b" % (
        source.name,
        unit,
        source.max_age_s,
        b"; Secure" if secure else b"",
    )


def is_secure(request: Request) -> bool:
    """Whether a trusted peer says that the client came over TLS."""
    return (b"x-forwarded-proto", b"https") in request.forwarded


def http_date(now_s: float) -> bytes:
    """Return an IMF-fixdate (RFC 9110 section 5.6.7)."""
    at = gmtime(now_s)
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (
        DAYS[at.tm_wday],
        at.tm_mday,
        MONTHS[at.tm_mon - 1],
        at.tm_year,
        at.tm_hour,
        at.tm_min,
        at.tm_sec,
    )
