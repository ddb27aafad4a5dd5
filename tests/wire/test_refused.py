"""
Requests that are refused: one answer, the end, and nothing behind it counts.

Every case is sent over a real socket with another request right behind it. The
client must get exactly one answer with the status that the RFC asks for and then
a clean end; the origin must never see the request behind (RFC 9112 sections 9.3.2
and 9.6).
"""

import asyncio

import pytest

from tests.support.probes import Talk, talk
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Stage
from tests.support.wire import get

BEHIND = get("/behind")

Case = tuple[bytes, int]
"""The bytes, and the status that they deserve."""


def line(first: bytes) -> bytes:
    """Return a request with this request line."""
    return first + b"\r\nHost: shop.test\r\n\r\n"


def fields(*lines: bytes) -> bytes:
    """Return a GET with these field lines behind Host."""
    return b"\r\n".join((b"GET / HTTP/1.1", b"Host: shop.test", *lines, b"", b""))


def host(*lines: bytes, minor: int = 1) -> bytes:
    """Return a GET with these field lines instead of Host."""
    return b"\r\n".join((b"GET / HTTP/1.%d" % minor, *lines, b"", b""))


def post(*lines: bytes, body: bytes = b"hello", minor: int = 1) -> bytes:
    """Return a POST whose framing is in ``lines``."""
    first = b"POST / HTTP/1.%d" % minor
    return b"\r\n".join((first, b"Host: shop.test", *lines, b"", b"")) + body


def length(value: bytes) -> bytes:
    """Return a POST with this Content-Length."""
    return post(b"Content-Length: " + value)


def coding(*values: bytes, minor: int = 1) -> bytes:
    """Return a chunked POST with these Transfer-Encoding lines."""
    lines = [b"Transfer-Encoding: " + value for value in values]
    return post(*lines, body=b"5\r\nhello\r\n0\r\n\r\n", minor=minor)


def chunked(body: bytes) -> bytes:
    """Return a POST with this chunked body."""
    return post(b"Transfer-Encoding: chunked", body=body)


REQUEST_LINE: dict[str, Case] = {
    "two spaces": (line(b"GET  / HTTP/1.1"), 400),
    "two spaces before the version": (line(b"GET /  HTTP/1.1"), 400),
    "a tab": (line(b"GET\t/ HTTP/1.1"), 400),
    "a vertical tab": (line(b"GET\x0b/ HTTP/1.1"), 400),
    "a leading space": (line(b" GET / HTTP/1.1"), 400),
    "a trailing space": (line(b"GET / HTTP/1.1 "), 400),
    "no version": (line(b"GET /"), 400),
    "no version but a space": (line(b"GET / "), 400),
    "no target": (line(b"GET HTTP/1.1"), 400),
    "an empty target": (line(b"GET  HTTP/1.1"), 400),
    "a space in the target": (line(b"GET /a b HTTP/1.1"), 400),
    "only white space": (line(b"   "), 400),
    "a lower-case version": (line(b"GET / http/1.1"), 400),
    "a mixed-case version": (line(b"GET / HTtP/1.1"), 400),
    "no minor version": (line(b"GET / HTTP/1"), 400),
    "an empty minor version": (line(b"GET / HTTP/1."), 400),
    "leading zeros": (line(b"GET / HTTP/01.01"), 400),
    "two digits": (line(b"GET / HTTP/1.10"), 400),
    "two digits before the dot": (line(b"GET / HTTP/11.1"), 400),
    "a space in the version": (line(b"GET / HTTP/ 1.1"), 400),
    "a sign in the version": (line(b"GET / HTTP/+1.1"), 400),
    "a letter behind the version": (line(b"GET / HTTP/1.1x"), 400),
    "a comma in the version": (line(b"GET / HTTP/1,1"), 400),
    "a number too large": (line(b"GET / HTTP/4294967297.1"), 400),
    "another protocol": (line(b"GET / ICE/1.0"), 400),
    "yet another protocol": (line(b"DESCRIBE / RTSP/1.0"), 400),
    "http/0.9 by name": (line(b"GET / HTTP/0.9"), 505),
    "http/2.0": (line(b"GET / HTTP/2.0"), 505),
    "http/3.0": (line(b"GET / HTTP/3.0"), 505),
    "http/9.9": (line(b"GET / HTTP/9.9"), 505),
    "the preface of http/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "a method that is no token": (line(b"G@T / HTTP/1.1"), 400),
    "a quoted method": (line(b'"GET" / HTTP/1.1'), 400),
    "a nul in the method": (line(b"GE\x00T / HTTP/1.1"), 400),
    "a letter beyond ascii": (line(b"G\xc9T / HTTP/1.1"), 400),
    "a method too long": (line(b"M" * 33 + b" / HTTP/1.1"), 501),
    "a method far too long": (line(b"M" * 8_000 + b" / HTTP/1.1"), 501),
    "a word longer than a target": (line(b"M" * 20_000 + b" / HTTP/1.1"), 400),
    "a word longer than a head": (line(b"M" * 100_000 + b" / HTTP/1.1"), 400),
    "a backslash in the path": (line(b"GET /a\\b HTTP/1.1"), 400),
    "a backslash in the path and the query": (line(b"GET /a\\b?\\ HTTP/1.1"), 400),
    "trace": (line(b"TRACE / HTTP/1.1"), 405),
    "trace with max-forwards": (
        b"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
        405,
    ),
    "trace with a body": (
        b"TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        405,
    ),
    "connect in authority-form": (line(b"CONNECT shop.test:443 HTTP/1.1"), 405),
    "connect in origin-form": (line(b"CONNECT / HTTP/1.1"), 405),
    "a fragment": (line(b"GET /a#b HTTP/1.1"), 400),
    "a nul in the target": (line(b"GET /a\x00b HTTP/1.1"), 400),
    "a control in the target": (line(b"GET /a\x01b HTTP/1.1"), 400),
    "a delete in the target": (line(b"GET /a\x7fb HTTP/1.1"), 400),
    "a byte beyond ascii": (line(b"GET /a\xffb HTTP/1.1"), 400),
    "overlong utf-8": (line(b"GET /\xc0\xafetc HTTP/1.1"), 400),
    "a cr in the target": (line(b"GET /a\rb HTTP/1.1"), 400),
    "asterisk-form of get": (line(b"GET * HTTP/1.1"), 400),
    "asterisk-form with more": (line(b"OPTIONS *a HTTP/1.1"), 400),
    "authority-form of get": (line(b"GET shop.test:80 HTTP/1.1"), 400),
    "a relative target": (line(b"GET index.html HTTP/1.1"), 400),
    "another scheme": (line(b"GET ftp://shop.test/ HTTP/1.1"), 400),
    "an absolute target without a host": (line(b"GET http:///a HTTP/1.1"), 400),
    "an absolute target with userinfo": (
        line(b"GET http://ann@shop.test/ HTTP/1.1"),
        400,
    ),
    "an absolute target with a bad port": (
        line(b"GET http://shop.test:x/ HTTP/1.1"),
        400,
    ),
    "an absolute target of another host": (
        line(b"GET http://other.test/ HTTP/1.1"),
        400,
    ),
    "an absolute target and no host": (b"GET http://shop.test/ HTTP/1.1\r\n\r\n", 400),
    "a target too long": (line(b"GET /" + b"x" * 8192 + b" HTTP/1.1"), 414),
    "a target far too long": (line(b"GET /" + b"x" * 60_000 + b" HTTP/1.1"), 414),
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00" * 9, 400),
}

LINE_ENDS: dict[str, Case] = {
    "lf alone": (b"GET / HTTP/1.1\nHost: shop.test\n\n", 400),
    "lf behind the request line": (b"GET / HTTP/1.1\nHost: shop.test\r\n\r\n", 400),
    "lf behind a field": (
        b"GET / HTTP/1.1\r\nHost: shop.test\nX-A: b\r\n\r\n",
        400,
    ),
    "lf for the empty line": (b"GET / HTTP/1.1\r\nHost: shop.test\r\n\n", 400),
    "cr alone": (b"GET / HTTP/1.1\rHost: shop.test\r\r\n\r\n", 400),
    "cr behind the request line": (b"GET / HTTP/1.1\rHost: shop.test\r\n\r\n", 400),
    "cr before the crlf": (b"GET / HTTP/1.1\r\r\nHost: shop.test\r\n\r\n", 400),
    "cr in a value": (fields(b"X-A: b\rc"), 400),
    "cr before a name": (fields(b"\rX-A: b"), 400),
    "cr at the end of a value": (fields(b"X-A: b\r"), 400),
    "cr and any byte for the empty line": (
        b"GET / HTTP/1.1\r\nHost: a\r\n\rZGET /evil: HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    "lf in a value": (fields(b"X-A: b\nX-C: d"), 400),
    "white space before the first field": (
        b"GET / HTTP/1.1\r\n Host: shop.test\r\n\r\n",
        400,
    ),
    "a tab before the first field": (
        b"GET / HTTP/1.1\r\n\tX-A: b\r\nHost: shop.test\r\n\r\n",
        400,
    ),
    "a line of white space": (b"GET / HTTP/1.1\r\n \r\nHost: shop.test\r\n\r\n", 400),
    "three empty lines before": (b"\r\n\r\n\r\n" + BEHIND, 400),
    "an lf before": (b"\n" + BEHIND, 400),
    "a space before": (b" " + BEHIND, 400),
    "a cr before": (b"\r" + BEHIND, 400),
}

FIELDS: dict[str, Case] = {
    "a space before the colon": (fields(b"X-A : b"), 400),
    "a tab before the colon": (fields(b"X-A\t: b"), 400),
    "a space in the name": (fields(b"X A: b"), 400),
    "an empty name": (fields(b": b"), 400),
    "nothing but a colon": (fields(b":"), 400),
    "no colon": (fields(b"X-A"), 400),
    "a space for the colon": (fields(b"Content-Length 5"), 400),
    "a bracket in the name": (fields(b"X[A]: b"), 400),
    "an at sign in the name": (fields(b"X@A: b"), 400),
    "a slash in the name": (fields(b"X/A: b"), 400),
    "a quote in the name": (fields(b'"X-A": b'), 400),
    "a byte beyond ascii in the name": (fields(b"X\xffA: b"), 400),
    "next line behind the name": (fields(b"Content-Length\x85: 5"), 400),
    "no-break space behind the name": (fields(b"Content-Length\xa0: 5"), 400),
    "a nul in the name": (fields(b"X\x00A: b"), 400),
    "a nul in the value": (fields(b"X-A: b\x00c"), 400),
    "a nul at the end of the value": (fields(b"X-A: b\x00"), 400),
    "a control in the value": (fields(b"X-A: b\x01c"), 400),
    "a bell in the value": (fields(b"X-A: b\x07"), 400),
    "a vertical tab in the value": (fields(b"X-A: \x0bb"), 400),
    "a form feed in the value": (fields(b"X-A: \x0cb"), 400),
    "an escape in the value": (fields(b"X-A: \x1bb"), 400),
    "a delete in the value": (fields(b"X-A: b\x7f"), 400),
    "a folded line": (fields(b"X-A: b\r\n c"), 400),
    "a line folded by a tab": (fields(b"X-A: b\r\n\tc"), 400),
    "a folded empty line": (fields(b"X-A: b\r\n "), 400),
    "a folded name": (fields(b"Transfer-\r\n Encoding: chunked"), 400),
    "a broken name": (fields(b"Transfer-\r\nEncoding: chunked"), 400),
    "an unknown expectation": (fields(b"Expect: 200-ok"), 417),
    "two expectations": (fields(b"Expect: 100-continue, 200-ok"), 417),
    "101 fields": (fields(*(b"X-A: b" for _ in range(100))), 431),
    "a value too large": (fields(b"X-A: " + b"b" * 40_000), 431),
    "a name too large": (fields(b"X" * 40_000 + b": b"), 431),
}

HOST: dict[str, Case] = {
    "missing": (host(b"X-A: b"), 400),
    "twice the same": (host(b"Host: a", b"Host: a"), 400),
    "twice": (host(b"Host: a", b"Host: b"), 400),
    "twice in another case": (host(b"Host: a", b"X-A: b", b"hOST: b"), 400),
    "empty": (host(b"Host:"), 400),
    "a space": (host(b"Host:  "), 400),
    "userinfo": (host(b"Host: ann@a"), 400),
    "userinfo with a password": (host(b"Host: ann:x@a"), 400),
    "a path": (host(b"Host: a/b"), 400),
    "a query": (host(b"Host: a?b"), 400),
    "a fragment": (host(b"Host: a#b"), 400),
    "a scheme": (host(b"Host: http://a"), 400),
    "a comma": (host(b"Host: a, b"), 400),
    "a comma without a space": (host(b"Host: a,b"), 400),
    "a space within": (host(b"Host: a b"), 400),
    "a port of letters": (host(b"Host: a:b"), 400),
    "a port with a sign": (host(b"Host: a:+80"), 400),
    "a negative port": (host(b"Host: a:-1"), 400),
    "a port too large": (host(b"Host: a:65536"), 400),
    "two ports": (host(b"Host: a:80:80"), 400),
    "only a port": (host(b"Host: :80"), 400),
    "an open bracket": (host(b"Host: [::1"), 400),
    "an address without brackets": (host(b"Host: ::1"), 400),
    "more behind the bracket": (host(b"Host: [::1]a"), 400),
    "a bad escape": (host(b"Host: a%zz"), 400),
    "a backslash": (host(b"Host: a\\b"), 400),
    "a nul": (host(b"Host: a\x00b"), 400),
    "bytes beyond ascii": (host(b"Host: \xffa\xff"), 400),
    "a space before the colon": (host(b"Host : a"), 400),
    "a folded value": (host(b"Host: a\r\n b"), 400),
    "twice in http/1.0": (host(b"Host: a", b"Host: a", minor=0), 400),
    "invalid in http/1.0": (host(b"Host: a b", minor=0), 400),
}

LENGTH: dict[str, Case] = {
    "negative": (length(b"-1"), 400),
    "negative zero": (length(b"-0"), 400),
    "a plus sign": (length(b"+5"), 400),
    "hexadecimal": (length(b"0x5"), 400),
    "octal": (length(b"0o5"), 400),
    "an underscore": (length(b"1_0"), 400),
    "a space within": (length(b"1 0"), 400),
    "a letter behind": (length(b"5x"), 400),
    "an exponent": (length(b"5e0"), 400),
    "a fraction": (length(b"5.0"), 400),
    "a quote": (length(b'"5"'), 400),
    "a list of the same": (length(b"5, 5"), 400),
    "a list": (length(b"5, 6"), 400),
    "an empty list element": (length(b"5,"), 400),
    "empty": (length(b""), 400),
    "letters": (length(b"five"), 400),
    "digits beyond ascii": (length(b"\xd9\xa5"), 400),
    "a superscript": (length(b"\xb2"), 400),
    "a vertical tab": (length(b"\x0b5"), 400),
    "a no-break space": (length(b"\xa05"), 400),
    "a nul": (length(b"5\x00"), 400),
    "too large": (length(b"9" * 19), 400),
    "larger than 64 bits": (length(b"18446744073709551617"), 400),
    "twice the same": (post(b"Content-Length: 5", b"Content-Length: 5"), 400),
    "twice": (post(b"Content-Length: 5", b"content-length: 6"), 400),
    "empty, then a number": (post(b"Content-Length:", b"Content-Length: 5"), 400),
    "a space before the colon": (post(b"Content-Length : 5"), 400),
    "a look-alike": (post(b"Content_Length: 5"), 400),
    "a look-alike beside it": (post(b"Content-Length: 5", b"CONTENT_LENGTH: 6"), 400),
}

CODING: dict[str, Case] = {
    "a length and chunked": (
        post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        400,
    ),
    "chunked and a length": (
        post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
        400,
    ),
    "chunked and a length of zero": (
        post(b"Transfer-Encoding: chunked", b"Content-Length: 0", body=b"0\r\n\r\n"),
        400,
    ),
    "chunked and an invalid length": (
        post(b"Transfer-Encoding: chunked", b"Content-Length: x", body=b"0\r\n\r\n"),
        400,
    ),
    "an unknown coding and a length": (
        post(b"Transfer-Encoding: foo", b"Content-Length: 5"),
        400,
    ),
    "chunked twice": (coding(b"chunked, chunked"), 400),
    "chunked on two lines": (coding(b"chunked", b"chunked"), 400),
    "identity": (coding(b"identity"), 400),
    "identity, chunked": (coding(b"identity, chunked"), 400),
    "chunked, identity": (coding(b"chunked", b"identity"), 400),
    "chunked, gzip": (coding(b"chunked, gzip"), 400),
    "gzip": (coding(b"gzip"), 400),
    "a longer name": (coding(b"xchunked"), 400),
    "a yet longer name": (coding(b"chunkedx"), 400),
    "a parameter": (coding(b"chunked;a=b"), 400),
    "a quoted name": (coding(b'"chunked"'), 400),
    "empty": (coding(b""), 400),
    "a comma before": (coding(b", chunked"), 400),
    "a comma behind": (coding(b"chunked,"), 400),
    "only a comma": (coding(b","), 400),
    "a space within": (coding(b"chun ked"), 400),
    "a vertical tab before": (coding(b"\x0bchunked"), 400),
    "a form feed behind": (coding(b"chunked\x0c"), 400),
    "a nul behind": (coding(b"chunked\x00"), 400),
    "next line before": (coding(b"\x85chunked"), 400),
    "no-break spaces": (coding(b"\xa0chunked\xa0"), 400),
    "a space before the colon": (post(b"Transfer-Encoding : chunked"), 400),
    "folded": (post(b"Transfer-Encoding:\r\n chunked", b"Content-Length: 5"), 400),
    "http/1.0": (coding(b"chunked", minor=0), 400),
    "http/1.0 and a length": (
        post(b"Transfer-Encoding: chunked", b"Content-Length: 5", minor=0),
        400,
    ),
    "a look-alike": (post(b"Transfer_Encoding: chunked", b"Content-Length: 5"), 400),
    "gzip, chunked": (coding(b"gzip, chunked"), 501),
    "an unknown name, chunked": (coding(b"foo, chunked"), 501),
    "an unknown name on a line of its own": (coding(b"foo", b"chunked"), 501),
    "a parameter of an unknown name": (coding(b"foo;q=1, chunked"), 501),
    "two unknown names": (coding(b"br, x-foo, Chunked"), 501),
}

CHUNKS: dict[str, Case] = {
    "a letter": (chunked(b"g\r\nhello\r\n0\r\n\r\n"), 400),
    "a plus sign": (chunked(b"+5\r\nhello\r\n0\r\n\r\n"), 400),
    "plus zero": (chunked(b"+0\r\n\r\n"), 400),
    "negative": (chunked(b"-1\r\nhello\r\n0\r\n\r\n"), 400),
    "a prefix": (chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), 400),
    "an underscore": (chunked(b"0_5\r\nhello\r\n0\r\n\r\n"), 400),
    "a leading space": (chunked(b" 5\r\nhello\r\n0\r\n\r\n"), 400),
    "a trailing space": (chunked(b"5 \r\nhello\r\n0\r\n\r\n"), 400),
    "a trailing tab": (chunked(b"5\t\r\nhello\r\n0\r\n\r\n"), 400),
    "no size": (chunked(b"\r\nhello\r\n0\r\n\r\n"), 400),
    "only an extension": (chunked(b";a=b\r\nhello\r\n0\r\n\r\n"), 400),
    "digits beyond ascii": (chunked(b"\xd9\xa5\r\nhello\r\n0\r\n\r\n"), 400),
    "too large": (chunked(b"8000000000000000\r\nhello"), 400),
    "larger than 64 bits": (chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), 400),
    "endless zeros": (chunked(b"0" * 100_000 + b"5\r\nhello\r\n0\r\n\r\n"), 400),
    "lf behind the size": (chunked(b"5\nhello\r\n0\r\n\r\n"), 400),
    "cr behind the size": (chunked(b"5\rhello\r\n0\r\n\r\n"), 400),
    "cr before the crlf": (chunked(b"5\r\r\nhello\r\n0\r\n\r\n"), 400),
    "lf behind the data": (chunked(b"5\r\nhello\n0\r\n\r\n"), 400),
    "nothing behind the data": (chunked(b"5\r\nhello0\r\n\r\n"), 400),
    "too much data": (chunked(b"5\r\nhello!!\r\n0\r\n\r\n"), 400),
    "an empty line more": (chunked(b"5\r\nhello\r\n\r\n0\r\n\r\n"), 400),
    "an extension without a name": (chunked(b"5;\r\nhello\r\n0\r\n\r\n"), 400),
    "two semicolons": (chunked(b"5;;a\r\nhello\r\n0\r\n\r\n"), 400),
    "an extension that is no token": (chunked(b"5;a[=b\r\nhello\r\n0\r\n\r\n"), 400),
    "an extension without a value": (chunked(b"5;a=\r\nhello\r\n0\r\n\r\n"), 400),
    "an extension of a value only": (chunked(b"5;=b\r\nhello\r\n0\r\n\r\n"), 400),
    "an open quote": (chunked(b'5;a="b\r\nhello\r\n0\r\n\r\n'), 400),
    "more behind a quote": (chunked(b'5;a="b"c\r\nhello\r\n0\r\n\r\n'), 400),
    "a nul in an extension": (chunked(b"5;a\x00\r\nhello\r\n0\r\n\r\n"), 400),
    "a cr in an extension": (chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), 400),
    "a cr before an extension": (chunked(b"5\r\r;a\r\nhello\r\n0\r\n\r\n"), 400),
    "an lf in an extension": (chunked(b"5;a\nhello\r\n0\r\n\r\n"), 400),
    "an lf in a quoted extension": (
        chunked(b'5;a="\nb"\r\nhello\r\n0\r\n\r\n'),
        400,
    ),
    "an endless extension": (chunked(b"5;a=" + b"b" * 70_000), 400),
    "lf at the end": (chunked(b"0\r\n\n"), 400),
    "cr at the end": (chunked(b"0\r\n\rX\r\n\r\n"), 400),
    "a trailer without a colon": (chunked(b"0\r\nX-A\r\n\r\n"), 400),
    "a trailer without a name": (chunked(b"0\r\n: b\r\n\r\n"), 400),
    "a trailer with a space before the colon": (chunked(b"0\r\nX-A : b\r\n\r\n"), 400),
    "a folded trailer": (chunked(b"0\r\nX-A: b\r\n c\r\n\r\n"), 400),
    "a nul in a trailer": (chunked(b"0\r\nX-A: b\x00\r\n\r\n"), 400),
    "an lf in a trailer": (chunked(b"0\r\nX-A: b\nX-C: d\r\n\r\n"), 400),
    "endless trailers": (chunked(b"0\r\n" + b"X-A: b\r\n" * 5_000), 400),
}

GROUPS: dict[str, dict[str, Case]] = {
    "RFC 9112 section 3, request line": REQUEST_LINE,
    "RFC 9112 section 2.2, line ends": LINE_ENDS,
    "RFC 9112 section 5, field lines": FIELDS,
    "RFC 9112 section 3.2, Host": HOST,
    "RFC 9110 section 8.6, Content-Length": LENGTH,
    "RFC 9112 section 6, Transfer-Encoding": CODING,
    "RFC 9112 section 7.1, chunks": CHUNKS,
}

AT_ONCE = 16
"""Conversations at a time; the accept queue of the tests is longer."""


async def patient(call: Call) -> None:
    """Read the body, if one comes to an end, and answer."""
    await call.read_body()
    await call.reply()


@pytest.mark.parametrize("group", GROUPS)
async def test_one_refusal_and_nothing_behind_it(stage: Stage, group: str) -> None:
    """The section of the group's name; and sections 9.3.2 and 9.6 for the end."""
    room = asyncio.Semaphore(AT_ONCE)

    async def probe(data: bytes) -> Talk:
        async with room:
            return await talk(stage.port, data + BEHIND)

    async with ScriptedOrigin(patient, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        cases = GROUPS[group]
        talks = await asyncio.gather(*(probe(data) for data, _ in cases.values()))
        targets = {request.target for request in origin.requests}

    wrong = {
        name: (seen.statuses, seen.reset)
        for (name, (_, status)), seen in zip(cases.items(), talks, strict=True)
        if seen.statuses != [status] or seen.reset
    }
    assert wrong == {}
    assert "/behind" not in targets
    if group != "RFC 9112 section 7.1, chunks":
        assert targets == set()


async def test_a_405_says_what_is_allowed(stage: Stage) -> None:
    """RFC 9110 section 15.5.6: with an Allow field."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]})
        seen = await talk(stage.port, line(b"TRACE / HTTP/1.1"))

    assert seen.statuses == [405]
    assert b"\r\nAllow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n" in seen.raw


async def test_a_refusal_of_head_has_no_content(stage: Stage) -> None:
    """RFC 9110 section 9.3.2: not even when the request is malformed."""
    bodies = [
        b"HEAD / HTTP/1.1\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
        b"HEAD / HTTP/1.1\nHost: a\n\n",
        b"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ]
    async with ScriptedOrigin(patient, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        seen = [await talk(stage.port, data, methods=["HEAD"]) for data in bodies]

    assert [one.statuses for one in seen] == [[400]] * 4
    assert all(one.raw.endswith(b"\r\n\r\n") for one in seen)


async def test_garbage_is_not_waited_for(stage: Stage) -> None:
    """RFC 9112 section 2.2: what can never become a request is refused at once."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]})
        tls = await talk(stage.port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        line_feeds = await talk(stage.port, b"GET / HTTP/1.1\nHost: a\n")
        bare = await talk(stage.port, b"Invalid\r\n")
        old = await talk(stage.port, b"GET /\r\n")

    assert [one.statuses for one in (tls, line_feeds, bare, old)] == [[400]] * 4
