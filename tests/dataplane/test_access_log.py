"""The access log: off, json or text; sampled; never in a request's way."""

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from proxy.dataplane.access_log import FIELDS
from proxy.telemetry import layout
from tests.support import table
from tests.support.data_plane import DataPlane
from tests.support.eventually import eventually
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.wire import dial, get, post


async def by_target(call: Call) -> None:
    """Answer with the status that the target names."""
    await call.reply(call.request.body or b"ok", status=int(call.request.target[1:4]))


async def reset(call: Call) -> None:
    """Take the request, then reset."""
    call.reset()


@asynccontextmanager
async def logging(
    origin: ScriptedOrigin, *, form: str, sample: float, errors: float = 1.0
) -> AsyncIterator[tuple[DataPlane, int]]:
    """Run a worker with a log; yield it and the log's reading end."""
    versions = [table.version("stable", [origin.port], cell=0)]
    service = table.service(versions, retries=NO_RETRIES)
    async with logged(service, form=form, sample=sample, errors=errors) as running:
        yield running


@asynccontextmanager
async def logged(
    service: dict[str, Any],
    *,
    form: str,
    sample: float,
    errors: float = 1.0,
    **tables: Any,  # noqa: ANN401 - JSON
) -> AsyncIterator[tuple[DataPlane, int]]:
    """Do the same for any service."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    settings: dict[str, Any] = {"format": form, "sample": sample, "errors": errors}
    plane = DataPlane(table.table([service], access_log=settings, **tables))
    plane.stdout = writing
    try:
        async with plane:
            yield plane, reading
    finally:
        os.close(reading)
        os.close(writing)


NO_RETRIES = {"attempts": 0, "on": [], "budget": 0.2, "shield": False}


async def lines(reading: int, count: int, mark: bytes = b"\n") -> list[bytes]:
    """Return all lines once ``mark`` was written so many times."""
    data = b""

    def whole() -> bool:
        nonlocal data
        try:
            data += os.read(reading, 65536)
        except BlockingIOError:
            return data.count(mark) >= count
        return False

    await eventually(whole, within_s=10)
    return data.splitlines()


async def test_one_json_object_a_request() -> None:
    """What was asked, who answered, how long it took; nothing of the content."""
    async with (
        ScriptedOrigin(by_target) as origin,
        logging(origin, form="json", sample=1.0) as (plane, reading),
        dial(plane.port) as wire,
    ):
        await wire.ask(post(b"hello", "Authorization: secret", target="/200?q=1"))
        await wire.ask(get("/503"))
        first, second = map(json.loads, await lines(reading, 2))

    assert first["service"] == "shop"
    assert first["version"] == "stable"
    assert (first["method"], first["target"]) == ("POST", "/200?q=1")
    assert (first["host"], first["status"]) == ("shop.test", 200)
    assert (first["bytes_in"], first["bytes_out"]) == (5, 5)
    assert (first["attempts"], first["shielded"]) == (1, False)
    assert 0 < first["duration_ms"] < 5000
    assert "secret" not in json.dumps(first)
    assert second["status"] == 503


async def test_who_asked_and_who_was_asked() -> None:
    """When, by whom, under which id, and which endpoint had it."""
    async with (
        ScriptedOrigin(by_target) as origin,
        logging(origin, form="json", sample=1.0) as (plane, reading),
        dial(plane.port) as wire,
    ):
        await wire.ask(get("/200"))
        await wire.ask(get("/200", "x-request-id: mine"))
        first, second = map(json.loads, await lines(reading, 2))

    written = datetime.fromisoformat(first["time"])
    assert first["time"].endswith("Z")
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=1)
    assert first["client"] == "127.0.0.1"
    assert first["endpoint"] == f"127.0.0.1:{origin.port}"
    assert first["request_id"] == origin.requests[0].get("x-request-id")
    assert second["request_id"] == "mine"
    assert (first["reason"], first["flag"], first["failures"]) == (None, None, [])
    assert 0 < first["ttfb_ms"] <= first["duration_ms"]


async def test_the_usual_line_is_like_any_other() -> None:
    """What is written without JSON's help has the same fields in the same order."""
    dated = "Date: Sun, 22 Nov 2026 12:00:00 GMT"

    async def script(call: Call) -> None:
        await call.reply(b"whole", dated)

    async with (
        ScriptedOrigin(script) as origin,
        logging(origin, form="json", sample=1.0) as (plane, reading),
        dial(plane.port) as wire,
    ):
        for target in ("/a", '/a"b?\\c', "/" + "a" * 600):
            await wire.ask(get(target, "x-request-id: mine"))
            await wire.ask(get(target, 'x-request-id: mi"ne'))
            await wire.ask(get(target))
        shown = [json.loads(line) for line in await lines(reading, 9)]

    changing = ("time", "request_id", "duration_ms", "ttfb_ms", "target")
    assert [list(one) for one in shown] == [list(FIELDS)] * 9
    assert {json.dumps(one | dict.fromkeys(changing)) for one in shown} == {
        json.dumps(shown[0] | dict.fromkeys(changing))
    }
    assert shown[0]["client"] == "127.0.0.1"
    assert shown[0]["endpoint"] == f"127.0.0.1:{origin.port}"
    assert [one["request_id"] for one in shown[:2]] == ["mine", 'mi"ne']
    assert [len(one["request_id"]) for one in shown[2::3]] == [32] * 3
    assert [one["target"] for one in shown[::3]] == ["/a", '/a"b?\\c', "/" + "a" * 511]
    for one in shown:
        assert 0 < one["ttfb_ms"] <= one["duration_ms"]
        assert datetime.fromisoformat(one["time"]).tzinfo is not None


async def test_shielding_is_seen() -> None:
    """Who answered, and what the canary did before; beside any sample."""
    async with ScriptedOrigin(by_target) as stable, ScriptedOrigin(reset) as canary:
        versions = [
            table.version("stable", [stable.port], cell=0),
            table.version("canary", [canary.port], cell=4, seen=1),
        ]
        service = table.service(versions, fail_fast=None)
        async with logged(service, form="json", sample=0.0) as (plane, reading):
            plane.weights((1, 100_000))
            async with dial(plane.port) as wire:
                await wire.ask(get("/200"))
                await wire.ask(post(b"order", target="/200"))
            shielded, posted = map(json.loads, await lines(reading, 2))

    assert (shielded["status"], shielded["version"]) == (200, "stable")
    assert (shielded["attempts"], shielded["shielded"]) == (2, True)
    assert shielded["failures"] == [f"canary 127.0.0.1:{canary.port} UR"]
    assert shielded["endpoint"] == f"127.0.0.1:{stable.port}"
    assert (shielded["flag"], shielded["reason"]) == (None, None)
    assert (posted["status"], posted["version"]) == (502, "canary")
    assert (posted["flag"], posted["reason"]) == ("UR", "upstream_reset")
    assert (posted["attempts"], posted["failures"]) == (1, [])
    assert posted["bytes_out"] > 0


@pytest.mark.parametrize(
    ("request_", "status", "reason", "method"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_host", None),
        (get("/", "X: y", method="TRACE"), 405, "method_not_allowed", None),
        (get("/elsewhere"), 404, "no_route", "GET"),
        (post(b"12345678901", target="/shop"), 413, "body_too_large", "POST"),
        (
            get("/shop", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n",
            400,
            "bad_chunk",
            "POST",
        ),
    ],
)
async def test_what_was_refused_is_there_too(
    request_: bytes, status: int, reason: str, method: str | None
) -> None:
    """One line, with what could be read of it and no version."""
    async with ScriptedOrigin(by_target) as origin:
        versions = [table.version("stable", [origin.port], cell=0)]
        match = [{"host": None, "path_prefix": "/shop"}]
        service = table.service(versions, match=match)
        limits = {**table.table([])["limits"], "body": 10}
        running = logged(service, form="json", sample=0.0, limits=limits)
        async with running as (plane, reading), dial(plane.port) as wire:
            answer = await wire.ask(request_)
            await wire.rest() if status != 404 else None
            (line,) = await lines(reading, 1)
            entry = json.loads(line)

    assert (entry["status"], entry["reason"]) == (answer.status, reason)
    assert (entry["status"], entry["method"]) == (status, method)
    assert entry["client"] == "127.0.0.1"
    assert entry["bytes_out"] == len(answer.body)


async def test_text_has_the_same_fields() -> None:
    """`name=value` as JSON writes values: strings quoted, true, null."""
    async with (
        ScriptedOrigin(by_target) as origin,
        logging(origin, form="text", sample=1.0) as (plane, reading),
        dial(plane.port) as wire,
    ):
        await wire.ask(get("/200"))
        (line,) = await lines(reading, 1)

    assert b'version="stable"' in line
    assert b"status=200" in line
    assert b'target="/200"' in line
    assert b" shielded=false " in line
    assert b" flag=null " in line


async def test_a_sample_of_what_is_well_and_all_errors() -> None:
    """`sample: 0.1, errors: 1.0`."""
    async with (
        ScriptedOrigin(by_target) as origin,
        logging(origin, form="json", sample=0.1) as (plane, reading),
        dial(plane.port) as wire,
    ):
        for _ in range(300):
            await wire.ask(get("/200"))
        for _ in range(20):
            await wire.ask(get("/500"))
        found = [json.loads(line) for line in await lines(reading, 20, b'"status":500')]

    good = sum(entry["status"] == 200 for entry in found)
    assert sum(entry["status"] == 500 for entry in found) == 20
    assert 5 < good < 80


async def test_off_writes_nothing() -> None:
    """The default."""
    async with (
        ScriptedOrigin(by_target) as origin,
        logging(origin, form="off", sample=1.0) as (plane, reading),
        dial(plane.port) as wire,
    ):
        await wire.ask(get("/500"))
        await asyncio.sleep(0.3)
        with pytest.raises(BlockingIOError):
            os.read(reading, 1)


async def test_a_reader_that_stops_delays_nobody() -> None:
    """What does not fit is dropped and counted; traffic goes on."""
    async with (
        ScriptedOrigin(by_target) as origin,
        logging(origin, form="json", sample=1.0) as (plane, reading),
        dial(plane.port) as wire,
    ):
        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)

        async def dropped() -> bool:
            async with asyncio.timeout(5):
                for _ in range(50):
                    assert (await wire.ask(get("/200"))).status == 200
            return plane.control.region_word(0, layout.R_ACCESS_LOG_DROPPED) > 0

        await eventually(dropped, within_s=20)


async def test_lines_are_never_cut() -> None:
    """Whoever else writes to the same pipe, each line stays whole."""
    async with (
        ScriptedOrigin(by_target) as origin,
        logging(origin, form="json", sample=1.0) as (plane, reading),
        dial(plane.port) as wire,
    ):
        target = '/200"?\\' + "x" * 5000
        await wire.send(get(target) * 50)
        for _ in range(50):
            await wire.answer()
        found = [json.loads(line) for line in await lines(reading, 50)]

    assert {entry["target"] for entry in found} == {target[:512]}
