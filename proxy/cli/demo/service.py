"""
One version of the demo shop, as a process of its own.

Answers users on one port, and on a private port takes what it shall do next::

    GET  /version    its revision, as text      | GET /behaviour  what it does
    GET  /healthz    always 200                 | PUT /behaviour  change some of it
    any other        an answer, late or failed  | GET /tally      what it saw since

It is as much of HTTP/1.1 as the demo needs (no chunked requests), on purpose:
Headgate's own parser is not tested against itself here. It prints its two ports as
one JSON line, and ends with its standard input or by SIGTERM.
"""

import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from proxy.cli.demo.behaviour import Behaviour, JsonValue, Tally

HEAD_BYTES_MAX = 16 * 1024
"""Longest head of a request that is read: Headgate adds a few fields to a user's."""
BODY_BYTES_MAX = 64 * 1024
"""Longest body of a request that is read: orders are small."""
ITEMS_LISTED = 8
"""Prices in an answer of the catalogue; their order is drawn anew each time."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the shop sees it."""

    method: str
    path: str
    body: bytes
    hung_up: Callable[[], Awaitable[None]]
    """Waits until the caller gave up."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer; ``None`` instead of one closes the connection."""

    status: HTTPStatus
    body: bytes
    content_type: str = "application/json"


Respond = Callable[[Request], Awaitable[Answer | None]]


class Shop:
    """One version: its behaviour, its tally and the answers that follow."""

    def __init__(self, name: str, revision: str) -> None:
        self._name = name
        self._behaviour = Behaviour(revision=revision)
        self._tally = Tally()
        self._in_flight = 0
        # The same answers at each start; nothing here is secret.
        self._chance = random.Random(name)  # noqa: S311

    async def to_user(self, request: Request) -> Answer | None:
        """Answer a user, a health check or a poll of the revision."""
        if request.path == "/healthz":
            return Answer(HTTPStatus.OK, b"ok", "text/plain")
        if request.path == "/version":
            return Answer(
                HTTPStatus.OK, self._behaviour.revision.encode(), "text/plain"
            )
        self._in_flight += 1
        self._tally = self._tally.arrived(time.monotonic(), self._in_flight)
        try:
            return await self._behave(request)
        finally:
            self._in_flight -= 1

    async def to_demo(self, request: Request) -> Answer | None:
        """Answer on the private port."""
        match request.method, request.path:
            case "GET", "/tally":
                return _document(self._tally.document())
            case "GET", "/behaviour":
                return _document(self._behaviour.document())
            case "PUT", "/behaviour":
                return self._change(request.body)
            case _:
                return _problem(HTTPStatus.NOT_FOUND, "expected /tally or /behaviour")

    def _change(self, body: bytes) -> Answer:
        try:
            changes = json.loads(body)
            if not isinstance(changes, dict):
                return _problem(HTTPStatus.BAD_REQUEST, "expected a JSON object")
            self._behaviour = self._behaviour.changed(changes)
        except ValueError as error:
            return _problem(HTTPStatus.BAD_REQUEST, str(error))
        self._tally = Tally()
        return _document(self._behaviour.document())

    async def _behave(self, request: Request) -> Answer | None:
        behaviour = self._behaviour
        if behaviour.hangs:
            await request.hung_up()
            return None
        if self._chance.random() < behaviour.error_rate:
            return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the shop is broken")
        wait = self._chance.lognormvariate(0, behaviour.sigma) * behaviour.median_s
        await asyncio.sleep(wait)
        if behaviour.catalogue and request.method == "GET":
            return Answer(HTTPStatus.OK, self._catalogue(behaviour.wrong_prices))
        if request.method == "POST" and self._chance.random() < behaviour.lost_orders:
            return Answer(HTTPStatus.SEE_OTHER, b'{"detail": "please log in"}')
        return _document(
            {
                "shop": self._name,
                "revision": behaviour.revision,
                "method": request.method,
                "path": request.path,
            }
        )

    def _catalogue(self, wrong_prices: float) -> bytes:
        """Return prices, with all that differs between two answers of one version."""
        prices = [10.0 + number for number in range(ITEMS_LISTED)]
        if self._chance.random() < wrong_prices:
            prices[0] = round(prices[0] * 1.01, 2)
        items = [
            {"sku": f"item-{number}", "price": price}
            for number, price in enumerate(prices)
        ]
        self._chance.shuffle(items)
        document = {
            "id": f"{self._chance.getrandbits(128):032x}",
            "at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "items": items,
        }
        return json.dumps(document).encode()


async def serve(respond: Respond) -> asyncio.Server:
    """Serve on a free port of loopback."""

    async def converse(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one connection's requests, one after another."""
        try:
            while (request := await _read(reader)) is not None:
                answer = await respond(request)
                if answer is None:
                    return
                writer.write(_encode(answer))
                await writer.drain()
        except (OSError, EOFError, ValueError, asyncio.CancelledError):
            return  # the caller went away or spoke no HTTP, or the shop closes
        finally:
            writer.close()

    return await asyncio.start_server(
        converse, "127.0.0.1", 0, limit=HEAD_BYTES_MAX, backlog=1024
    )


def port(server: asyncio.Server) -> int:
    """Return the port a server got."""
    return int(server.sockets[0].getsockname()[1])


async def _read(reader: asyncio.StreamReader) -> Request | None:
    """
    Return the next request; ``None`` when the caller is done.

    Raises:
        ValueError: this is no request, or one the shop does not take.
    """
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise ValueError("the head is too long") from error
    lines = head.split("\r\n")
    method, path, _version = lines[0].split(" ", 2)
    length = 0
    for line in lines[1:]:
        name, _colon, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
        elif name.lower() == "transfer-encoding":
            raise ValueError("chunked requests are not taken")
    if not 0 <= length <= BODY_BYTES_MAX:
        raise ValueError("the body is too long")
    body = await reader.readexactly(length)

    async def hung_up() -> None:
        await reader.read(1)

    return Request(method, path.partition("?")[0], body, hung_up)


def _encode(answer: Answer) -> bytes:
    """Return the bytes of an answer."""
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"content-type: {answer.content_type}\r\n"
        f"content-length: {len(answer.body)}\r\n\r\n"
    )
    return head.encode("latin-1") + answer.body


def _document(value: dict[str, JsonValue]) -> Answer:
    """Return a JSON answer."""
    return Answer(HTTPStatus.OK, json.dumps(value).encode())


def _problem(status: HTTPStatus, detail: str) -> Answer:
    """Return a refusal or a failure."""
    return Answer(status, json.dumps({"detail": detail}).encode())


async def _run(name: str, revision: str) -> None:
    """Serve both ports until standard input ends or SIGTERM comes."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    shop = Shop(name, revision)
    public, private = await serve(shop.to_user), await serve(shop.to_demo)
    ports = {"port": port(public), "private_port": port(private)}
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()

    await loop.connect_read_pipe(lambda: _UntilEnd(over), sys.stdin)
    await over.wait()
    public.close()
    private.close()


class _UntilEnd(asyncio.Protocol):
    """Sets an event when its pipe ends: the demo is gone, so is its shop."""

    def __init__(self, over: asyncio.Event) -> None:
        self._over = over

    def connection_lost(self, _error: Exception | None) -> None:
        self._over.set()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the demo decides when it is over
    asyncio.run(_run(sys.argv[1], sys.argv[2]))
