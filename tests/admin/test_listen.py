"""The server below the resources: bounds, and messages that are not HTTP."""

import asyncio
import socket

import pytest

from proxy.admin import listen
from tests.support.admin_api import admin_api
from tests.support.standin_controller import StandInController


async def say(port: int, message: bytes) -> bytes:
    """Send bytes and return everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(message)
    answer = await reader.read()
    writer.close()
    return answer


async def test_garbage_is_a_problem_and_closes() -> None:
    """What is not HTTP gets 400 without an echo of itself."""
    async with admin_api(StandInController()) as api:
        answer = await say(api.port, b"SECRET garbage\r\n\r\n")

    assert b" 400 Bad Request\r\n" in answer
    assert b"application/problem+json" in answer
    assert b'"reason": "MalformedRequest"' in answer
    assert b"SECRET" not in answer


async def test_an_expectation_that_is_no_text_is_417(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """RFC 9110 section 10.1.1; it is the client's mistake, so nothing is logged."""
    head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nExpect: \xff100-continue\r\n\r\n"
    async with admin_api(StandInController()) as api:
        answer = await say(api.port, head)

    assert b" 417 Expectation Failed\r\n" in answer
    assert b'"reason": "UnknownExpectation"' in answer
    assert "admin_request_failed" not in capsys.readouterr().err


async def test_an_oversized_field_is_refused() -> None:
    """A head is bounded; the answer is a problem and the connection ends."""
    head = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n"
    )
    async with admin_api(StandInController()) as api:
        answer = await say(api.port, head)

    assert b" 400 Bad Request\r\n" in answer
    assert b"problem+json" in answer


async def test_connections_are_bounded() -> None:
    """One connection more than the limit is closed, and room is given again."""
    async with admin_api(StandInController()) as api:
        held = [
            await asyncio.open_connection("127.0.0.1", api.port)
            for _ in range(listen.CONNECTIONS_MAX)
        ]
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        refused = await reader.read()
        writer.close()
        for _, open_writer in held:
            open_writer.close()
        await asyncio.gather(*(open_writer.wait_closed() for _, open_writer in held))
        answer = await api.ask("GET", "/livez")

    assert refused == b""
    assert answer.status == 200


async def test_a_client_that_says_nothing_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half a head does not hold a connection for ever."""
    monkeypatch.setattr(listen, "IDLE_S", 0.1)
    async with admin_api(StandInController()) as api:
        answer = await say(api.port, b"GET / HTTP/1.1\r\nHost: loc")

    assert answer == b""


async def test_the_listeners_are_closed_at_the_end() -> None:
    """After the context nobody answers any more."""
    async with admin_api(StandInController()) as api:
        port = api.port

    with socket.socket() as late:
        assert late.connect_ex(("127.0.0.1", port)) != 0
