"""Request bodies: strict JSON, bounded, and refusals that say where."""

import asyncio
import json
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.admin import bodies, listen
from proxy.admin.bodies import (
    BODY_BYTES_MAX,
    TEXT_CHARS_MAX,
    check_members,
    split_weights,
)
from proxy.errors import RequestError
from tests.support.admin_api import AdminApi, Answer, admin_api
from tests.support.standin_controller import StandInController

JSON = "application/json"
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
)


async def post(api: AdminApi, raw: bytes, kind: str = JSON) -> Answer:
    """Send a raw body to a verb."""
    return await api.ask(
        "POST", "/api/v1/rollouts/checkout/pause", raw=raw, Content_Type=kind
    )


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b'{"reason": }', "line 1 column 12"),
        (b'{\n"reason": "x"\n', "line 3 column 1"),
        (b"\xff", "byte 0"),
        (b"[1]", "an array"),
        (b'"x"', "a text"),
        (b'{"reason": 5}', "reason is a number, expected a text"),
        (b'{"full": "yes"}', "full is a text, expected true or false"),
        (b'{"full": 1}', "full is a number, expected true or false"),
        (b'{"reson": "x"}', "did you mean 'reason'"),
        (b'{"zzz": "x"}', "expected one of reason, revision, full, force"),
        (b'{"reason": "a", "reason": "b"}', "'reason' is there twice"),
        (b'{"reason": NaN}', "NaN"),
        (b"[" * 60_000, "nested too deeply"),
        (b'{"reason": "\\ud800"}', "half a character ('\\ud800')"),
        (b'{"reason": ' + b"9" * 5000 + b"}", "number"),
    ],
)
async def test_a_malformed_body_is_400_and_says_where(raw: bytes, where: str) -> None:
    """Whatever is wrong is named, and nothing was done."""
    controller = StandInController()
    async with admin_api(controller) as api:
        answer = await post(api, raw)

    assert (answer.status, answer.json["reason"]) == (400, "MalformedBody")
    assert where in answer.json["detail"]
    assert controller.asked == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
async def test_a_form_is_no_command(kind: str) -> None:
    """What a foreign page's form could send is refused by its type."""
    async with admin_api(StandInController()) as api:
        answer = await post(api, b"{}", kind)

    assert (answer.status, answer.json["reason"]) == (415, "UnsupportedMediaType")


async def test_a_compressed_body_is_not_read() -> None:
    """A small body that unpacks to a large one is refused unread."""
    async with admin_api(StandInController()) as api:
        answer = await api.ask(
            "POST",
            "/api/v1/rollouts/checkout/pause",
            raw=b"x",
            Content_Type=JSON,
            Content_Encoding="gzip",
        )

    assert answer.status == 415


@pytest.mark.parametrize(("extra", "status"), [(0, 400), (1, 413)])
async def test_bodies_are_bounded(extra: int, status: int) -> None:
    """The limit itself is read, one byte more is refused."""
    raw = b" " * (BODY_BYTES_MAX + extra)
    async with admin_api(StandInController()) as api:
        answer = await post(api, raw)

    assert answer.status == status


async def test_a_body_that_never_ends_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that stalls in its body gets 408 and holds nothing."""
    monkeypatch.setattr(bodies, "BODY_READ_S", 0.05)
    monkeypatch.setattr(listen, "LINGER_S", 0.05)
    head = (
        b"POST /api/v1/rollouts/checkout/pause HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    async with admin_api(StandInController()) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(head)
        answer = await reader.read()
        writer.close()

    assert b" 408 Request Timeout\r\n" in answer
    assert b'"reason": "BodyTimeout"' in answer


@pytest.mark.parametrize(("chars", "status"), [(0, 200), (1, 400)])
async def test_reasons_are_bounded(chars: int, status: int) -> None:
    """A reason is kept for ever, so it has a limit."""
    body = {"reason": "x" * (TEXT_CHARS_MAX + chars)}
    async with admin_api(StandInController()) as api:
        answer = await post(api, json.dumps(body).encode())

    assert answer.status == status


async def test_null_means_absent() -> None:
    """A client that always sends every member is understood."""
    controller = StandInController()
    async with admin_api(controller) as api:
        answer = await post(api, b'{"reason": null, "revision": null, "full": null}')

    assert answer.status == 200
    assert controller.asked[0]["full"] is False


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"canary": "5"},
        {"canary": True},
        {"canary": None},
        {"canary": -1},
        {"canary": 100.1},
        {"canary": nan},
        {"canary": inf},
        {"canary": 10**400},
        {"reason": "only"},
    ],
)
def test_what_is_no_share_is_refused(document: dict[str, Any]) -> None:
    """A split is percentages, and at least one."""
    with pytest.raises(RequestError):
        split_weights(document)


def test_a_version_may_be_called_reason() -> None:
    """A number is a share, whatever the version is called."""
    weights, reason, force = split_weights({"reason": 5, "force": 95})

    assert (weights, reason, force) == ({"reason": 5.0, "force": 95.0}, "", False)


@given(st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_any_document_is_a_split_or_a_request_error(document: dict[str, Any]) -> None:
    """Nothing a client sends ends in another error."""
    try:
        weights, _, _ = split_weights(document)
    except RequestError:
        return
    assert all(0 <= weight <= 100 for weight in weights.values())


@given(st.dictionaries(st.sampled_from(["reason", "full", "x"]), values, max_size=3))
def test_any_members_pass_or_are_a_request_error(document: dict[str, Any]) -> None:
    """What passes has the kinds that were asked for."""
    try:
        check_members(document, {"reason": str, "full": bool})
    except RequestError:
        return
    assert isinstance(document.get("full"), bool | None)
    assert isinstance(document.get("reason"), str | None)
