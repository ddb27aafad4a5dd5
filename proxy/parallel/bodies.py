"""
Bodies: decoded, then compared by what they are.

JSON is compared by meaning, text by its words, anything else by its bytes. What
cannot be decoded, or is no JSON where the other side is, differs in type.
Nothing here grows beyond ``DECODED_BYTES_MAX``, whatever an answer claims.
"""

import hashlib
import json
import zlib
from collections.abc import Callable
from typing import Final

import brotli  # type: ignore[import-untyped]

from proxy.parallel.rules import Node, Rules
from proxy.parallel.values import BODY_PATH, Answer, Difference, Kind
from proxy.parallel.walk import Found, Walk

DECODED_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of one body; 1 MiB of text seldom unpacks to more, and a bomb always does."""
GZIP_WINDOW: Final = 31
"""``zlib``'s way to say gzip (RFC 1952)."""
RAW_WINDOW: Final = -15
"""Deflate without the zlib wrapper, which some servers send (RFC 9110 8.4.1.2)."""
NOT_JSON: Final = object()


def compare_bodies(
    rules: Rules, root: Node, left: Answer, right: Answer
) -> list[Difference]:
    """Return how the candidate's body differs from stable's."""
    one, other = decoded(left), decoded(right)
    if one is None or other is None:
        if left.body == right.body:
            return []
        if (one is None) is not (other is None):
            return [_whole(Kind.TYPE, left.body, right.body)]
        return _bytes(left.body, right.body)
    if is_json(left) or is_json(right):
        return _json(rules, root, one, other)
    if one == other:
        return []
    if _is_text(left) and _is_text(right):
        words, other_words = _normalised(one), _normalised(other)
        return [] if words == other_words else [_whole(Kind.VALUE, words, other_words)]
    return _bytes(one, other)


def _json(rules: Rules, root: Node, left: bytes, right: bytes) -> list[Difference]:
    if left == right and not root.ruled:
        return []
    one, other = _parsed(left), _parsed(right)
    if one is NOT_JSON or other is NOT_JSON:
        if left == right:
            return []
        if one is other:
            return _bytes(left, right)
        return [_whole(Kind.TYPE, left, right)]
    try:
        return list(_walked(rules, root, one, other).values())
    except RecursionError:  # deeper than any document of people
        return [] if left == right else [_whole(Kind.VALUE, left, right)]


def _walked(rules: Rules, root: Node, left: object, right: object) -> Found:
    walk = Walk(rules)
    walk.compare(root, left, right)
    return walk.found


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return NOT_JSON


def _bytes(left: bytes, right: bytes) -> list[Difference]:
    """Compare by length and digest: what differs is named, and not kept."""
    if len(left) != len(right):
        return [Difference(BODY_PATH, Kind.LENGTH, len(left), len(right))]
    if left == right:
        return []
    return [Difference(BODY_PATH, Kind.VALUE, _digest(left), _digest(right))]


def _digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()[:16]


def _whole(kind: Kind, left: bytes | str, right: bytes | str) -> Difference:
    return Difference(BODY_PATH, kind, _shown(left), _shown(right))


def _shown(body: bytes | str) -> str:
    text = body if isinstance(body, str) else body.decode("utf-8", "replace")
    return text[:256]


def _normalised(body: bytes) -> str:
    """Return a text with every run of white space as one space."""
    return " ".join(body.decode("utf-8", "replace").split())


def media_type(answer: Answer) -> str:
    """Return the type of an answer's body, lower case and without parameters."""
    return answer.header("content-type").partition(";")[0].strip().lower()


def is_json(answer: Answer) -> bool:
    """Whether an answer says that its body is JSON."""
    kind = media_type(answer)
    return kind == "application/json" or kind.endswith("+json")


def _is_text(answer: Answer) -> bool:
    kind = media_type(answer)
    return kind.startswith("text/") or kind.endswith(
        ("xml", "javascript", "urlencoded")
    )


def decoded(answer: Answer) -> bytes | None:
    """Return the body without its content codings; ``None`` if it has none of ours."""
    body = answer.body
    codings = [
        coding.strip().lower()
        for name, value in answer.headers
        if name == "content-encoding"
        for coding in value.split(",")
    ]
    for coding in reversed(codings):
        if coding in ("", "identity"):
            continue
        decode = _DECODERS.get(coding)
        out = None if decode is None else decode(body)
        if out is None:
            return None
        body = out
    return body


def _gzip(body: bytes) -> bytes | None:
    return _inflated(body, GZIP_WINDOW)


def _deflate(body: bytes) -> bytes | None:
    out = _inflated(body, zlib.MAX_WBITS)
    return _inflated(body, RAW_WINDOW) if out is None else out


def _inflated(body: bytes, window: int) -> bytes | None:
    engine = zlib.decompressobj(window)
    try:
        out = engine.decompress(body, DECODED_BYTES_MAX)
    except zlib.error:
        return None
    return out if engine.eof and not engine.unused_data else None


def _brotli(body: bytes) -> bytes | None:
    engine = brotli.Decompressor()
    try:
        out: bytes = engine.process(body, output_buffer_limit=DECODED_BYTES_MAX)
    except brotli.error:
        return None
    return out if engine.is_finished() and len(out) <= DECODED_BYTES_MAX else None


_DECODERS: Final[dict[str, Callable[[bytes], bytes | None]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
}
