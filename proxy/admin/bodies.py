"""
Request bodies: JSON objects of known members, or a refusal that says where.

Decides what is readable; whether it makes sense for a rollout is control's.
"""

import asyncio
import json
from collections.abc import Mapping
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any, NoReturn

from aiohttp import web

from proxy.errors import RequestError

BODY_BYTES_MAX = 64 * 1024
"""A command is a few hundred bytes; this leaves room for a long reason."""
BODY_READ_S = 10.0
"""A body that takes longer comes from a client that is stuck or hostile."""
TEXT_CHARS_MAX = 2000
"""Longest reason or revision; it is kept for ever in the decisions."""
PUSHED_MAX = 1_000_000
"""Events of one push; who has more sends more pushes."""
WEIGHT_MAX = 100
"""Shares are written in percent."""


async def read_object(request: web.Request) -> dict[str, Any]:
    """
    Read a body as one JSON object; an absent body is an empty object.

    Raises:
        RequestError: 400 malformed, 408 too slow, 413 too large, 415 not JSON.
    """
    raw = await _read(request)
    if not raw:
        return {}
    if request.content_type != "application/json":
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            f"the body is {request.content_type}, expected application/json",
        )
    document = _parse(raw)
    if not isinstance(document, dict):
        _refuse(f"the body is {_kind(document)}, expected a JSON object")
    return document


def check_members(document: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    """
    Refuse members that are not in ``kinds``, or are of another kind.

    ``null`` stands for "absent" in any member.

    Raises:
        RequestError: 400 with the member's name.
    """
    for name, value in document.items():
        if name not in kinds:
            near = get_close_matches(name, kinds, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            expected = ", ".join(kinds)
            _refuse(f"unknown member {name!r}{hint or f', expected one of {expected}'}")
        kind = kinds[name]
        if value is not None and type(value) is not kind:
            _refuse(f"{name} is {_kind(value)}, expected {_KIND_NAMES[kind]}")
        if isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
            _refuse(f"{name} has {len(value)} characters, at most {TEXT_CHARS_MAX}")


def split_weights(document: Mapping[str, Any]) -> tuple[dict[str, float], str, bool]:
    """
    Return the shares (percent by version), the reason and ``force`` of a split.

    ``reason`` as a text and ``force`` as a truth value are the options; with a
    number they are the shares of versions of those names.

    Raises:
        RequestError: 400 when a share is no percentage, or none is given.
    """
    weights = dict(document)
    reason = weights.pop("reason") if _is_text(weights.get("reason", 0)) else None
    force = weights.pop("force") if _is_truth(weights.get("force", 0)) else None
    check_members({"reason": reason}, {"reason": str})
    for version, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            _refuse(f"{version} is {_kind(weight)}, expected a share in percent")
        if not 0 <= weight <= WEIGHT_MAX:  # NaN is not either
            _refuse(f"{version} is {weight}, expected 0 to 100 percent")
    if not weights:
        _refuse('no share is given, expected for example {"canary": 5}')
    return (
        {name: float(weight) for name, weight in weights.items()},
        reason or "",
        bool(force),
    )


def pushed_event(document: Mapping[str, Any]) -> tuple[str, str, int]:
    """
    Return the version, the event and the count (1 when absent) of a push.

    Raises:
        RequestError: 400 when a member is missing or no such thing.
    """
    check_members(document, {"version": str, "event": str, "count": int})
    for name in ("version", "event"):
        if not document.get(name):
            _refuse(f"{name} is missing, expected its name")
    count = 1 if document.get("count") is None else document["count"]
    if not 1 <= count <= PUSHED_MAX:
        _refuse(f"count is {count}, expected 1 to {PUSHED_MAX}")
    return document["version"], document["event"], count


async def _read(request: web.Request) -> bytes:
    """Read a bounded body within a bounded time."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            "encoded bodies are not read, expected plain JSON",
        )
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_READ_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    raise RequestError(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                        "BodyTooLarge",
                        f"the body is larger than {BODY_BYTES_MAX} bytes",
                    )
    except TimeoutError as error:
        raise RequestError(
            HTTPStatus.REQUEST_TIMEOUT,
            "BodyTimeout",
            f"the body did not arrive within {BODY_READ_S:g} s",
        ) from error
    except web.RequestPayloadError as error:
        raise RequestError(
            HTTPStatus.BAD_REQUEST, "MalformedBody", "the body's framing is broken"
        ) from error
    return bytes(body)


def _parse(raw: bytes) -> object:
    """Parse strict JSON: UTF-8, no NaN, no member twice, no half a character."""
    try:
        document = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
        )
        # An escaped surrogate without its other half: no answer could repeat it.
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        _refuse(f"the body is not UTF-8 at byte {error.start}")
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        _refuse(f"the body holds half a character ({half}), expected whole ones")
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        _refuse(f"the body is not JSON at {where}: {error.msg.lower()}")
    except RecursionError:
        _refuse("the body is nested too deeply")
    except ValueError as error:  # an integer with more digits than Python reads
        _refuse(f"the body holds a number that cannot be read: {error}")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a member that is there twice; parsers differ on which one wins."""
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        _refuse(f"member {twice!r} is there twice")
    return document


def _no_constant(name: str) -> NoReturn:
    _refuse(f"{name} is no JSON number")


def _refuse(detail: str) -> NoReturn:
    raise RequestError(HTTPStatus.BAD_REQUEST, "MalformedBody", detail)


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_truth(value: object) -> bool:
    return value is None or isinstance(value, bool)


_KIND_NAMES: dict[type, str] = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def _kind(value: object) -> str:
    return _KIND_NAMES[type(value)]
