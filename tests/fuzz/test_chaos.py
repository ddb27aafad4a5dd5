"""
Everybody misbehaves at once, by chance and the same way each time.

Clients pipeline, stall, half-close and reset; origins answer in every framing,
cut, reset, speak nonsense or too much. Whoever is answered is answered with what
they asked for, no callback of the worker fails, and in the end nothing is left.
"""

import asyncio
import os
import random
from collections.abc import Iterator

import pytest

from proxy.telemetry import layout
from tests.support.eventually import eventually
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Stage, start
from tests.support.wire import Wire, chunks, dial, get, post

CLIENTS = 8
TALKS = 20
"""Connections that each client opens, one after the other."""
SEEDS = range(1, 2 + int(os.environ.get("FUZZ_EXAMPLES", "0")) // 200)
"""One in `make test`, sixteen where `make fuzz` asks for 3 000 examples."""

WHOLE = ("length", "chunked", "until-close", "informed", "slow", "extra", "closing")
FAULTY = ("cut", "cut-chunks", "reset", "reset-head", "nonsense", "nothing", "early")


async def misbehave(call: Call) -> None:
    """Answer as the target asks; an answer names the request that it is of."""
    _, number, kind = call.request.target.split("/")
    body = number.encode() * 3
    head = b"HTTP/1.1 200 OK\r\n"
    sized = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    if kind != "early":
        await call.read_body()
    if kind == "chunked":
        await call.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        await call.send(chunks(body[:1], body[1:], trailers=b"X-Sum: 1\r\n"))
    elif kind == "until-close":
        await call.send(head + b"\r\n" + body)
        await call.close()
    elif kind == "informed":
        await call.send(b"HTTP/1.1 103 Early\r\n\r\n" + sized)
    elif kind == "slow":
        for octet in sized:
            await call.send(bytes([octet]))
    elif kind == "extra":
        await call.send(sized + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    elif kind in {"closing", "early"}:
        await call.reply(body, "Connection: close")
        await call.close()
    elif kind == "length":
        await call.send(sized)
    else:
        await fail(call, kind, head)


async def fail(call: Call, kind: str, head: bytes) -> None:
    """End the connection in one of the ways that are no answer."""
    if kind == "cut":
        await call.send(head + b"Content-Length: 100\r\n\r\nhalf")
    elif kind == "cut-chunks":
        await call.send(head + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    elif kind == "nonsense":
        await call.send(b"\x16\x03\x01 nonsense\r\n\r\n")
    elif kind == "reset-head":
        await call.send(head + b"X: ")
    if kind.startswith("reset"):
        call.reset()
    else:
        await call.close()


class Client:
    """One client with its own dice; it remembers what it asked for."""

    def __init__(self, port: int, seed: int) -> None:
        self.port = port
        self.dice = random.Random(seed)  # noqa: S311 - the same each time
        self.seed = seed
        self.asked = 0
        self.answered = 0

    async def run(self) -> None:
        """Hold all its conversations."""
        for _ in range(TALKS):
            async with dial(self.port) as wire:
                await self.talk(wire)

    async def talk(self, wire: Wire) -> None:
        """Ask for a few things, read some answers, leave in some way."""
        kinds = self.dice.choices(WHOLE, k=self.dice.randint(1, 4))
        if self.dice.random() < 0.5:
            kinds.append(self.dice.choice(FAULTY))
        requests = [self.request(kind) for kind in kinds]
        data = b"".join(request for _, request in requests)
        leaving = self.dice.choice(("stay", "stay", "fin", "reset", "cut"))
        if leaving == "cut":
            data = data[: self.dice.randrange(1, len(data))]
        for start_ in range(0, len(data), step := self.dice.choice((7, 100, 10_000))):
            await wire.send(data[start_ : start_ + step])
        if leaving in {"fin", "cut"}:
            wire.writer.write_eof()
        for (number, _), kind in zip(requests, kinds, strict=True):
            if leaving == "reset" and self.dice.random() < 0.3:
                wire.reset()
                return
            try:
                answer = await wire.answer()
                while answer.status == 103:
                    answer = await wire.answer()
            except TimeoutError as error:
                message = f"no answer to {kind} {number}, {kinds}, {leaving}"
                raise AssertionError(message) from error
            except (OSError, asyncio.IncompleteReadError):
                assert kind in FAULTY or leaving == "cut"
                return
            self.check(kind, number, answer.status, answer.body)
            if answer.get("connection") == "close":
                return

    def check(self, kind: str, number: str, status: int, body: bytes) -> None:
        """An answer is of the request it stands at, or an error of ours."""
        self.answered += 1
        if status == 200:
            assert body == number.encode() * 3, (kind, number, body)
        else:
            assert status in {400, 502}, (kind, number, status)
            assert kind in FAULTY, (kind, number, status, body)

    def request(self, kind: str) -> tuple[str, bytes]:
        """Return a request of a kind of answer, with some body or none."""
        self.asked += 1
        number = f"{self.seed}-{self.asked}"
        target = f"/{number}/{kind}"
        framing = self.dice.choice(("none", "length", "chunked"))
        if framing == "length" or kind == "early":
            return number, post(b"x" * self.dice.randint(0, 3_000), target=target)
        if framing == "chunked":
            head = get(target, "Transfer-Encoding: chunked", method="PUT")
            return number, head + chunks(b"y" * self.dice.randint(1, 300), b"z")
        return number, get(target)


@pytest.fixture(scope="module")
def chaotic_stage() -> Iterator[Stage]:
    """Start a worker that no other test sees."""
    plane = start()
    yield Stage(plane)
    plane.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_everybody_misbehaves(chaotic_stage: Stage, seed: int) -> None:
    """RFC 9112 sections 6.3, 8 and 9: right answers, no failure, nothing left."""
    stage = chaotic_stage
    async with ScriptedOrigin(misbehave, eager=True) as origin:
        service = await stage.serve(
            {"stable": [origin]},
            retries={"attempts": 0},
            timeouts={"attempt": 10.0},
        )
        clients = [Client(stage.port, seed * 1_000 + n) for n in range(CLIENTS)]
        await asyncio.gather(*(client.run() for client in clients))
        await eventually(lambda: service.word("stable", layout.C_INFLIGHT) == 0)
        await eventually(lambda: stage.worker(layout.R_DOWNSTREAM) == 0)
        await eventually(lambda: stage.worker(layout.R_UPSTREAM_ACTIVE) == 0)

    assert stage.worker(layout.R_CALLBACK_ERRORS) == 0
    assert sum(client.answered for client in clients) > CLIENTS * TALKS
