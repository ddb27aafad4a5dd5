"""Outbox: what waits for the end of the turn leaves in order, once, and in time."""

import asyncio
from collections.abc import Callable
from typing import cast

from proxy.dataplane.outbox import ENTRIES_MAX, SMALL_BYTES_MAX, Outbox
from proxy.telemetry import layout
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Stage
from tests.support.wire import dial, get


class Wire:
    """Where messages arrive; closing, it takes none."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        """Take a message."""
        assert not self.closing
        self.got.append(data)

    def is_closing(self) -> bool:
        """Whether the connection ends."""
        return self.closing


class Clocks:
    """What a request learns when it left."""

    sent_s = 0.0
    deadline_s = 0.0
    answer_s = 5.0


class Turn:
    """An outbox whose loop ends its turn when it is told to."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []
        self.outbox = Outbox(self.later.append)
        self.wires = [Wire(), Wire()]

    def post(self, number: int, data: bytes, sent: Clocks | None = None) -> None:
        """Post a message for a wire."""
        transport = cast("asyncio.Transport", self.wires[number])
        self.outbox.post(transport, data, sent)

    def end(self) -> None:
        """End the turn."""
        later, self.later[:] = list(self.later), []
        for call in later:
            call()


def test_messages_leave_together_and_in_order() -> None:
    """Nothing before the turn's end, then each once, by one call."""
    turn = Turn()
    for data in (b"1", b"2", b"3"):
        turn.post(0, data)
    before = list(turn.wires[0].got)
    calls = len(turn.later)

    turn.end()
    turn.end()

    assert (before, calls) == ([], 1)
    assert turn.wires[0].got == [b"1", b"2", b"3"]


def test_the_turn_tells_what_has_left() -> None:
    """A message posted in a turn has left when the turn is another."""
    turn = Turn()
    turn.post(0, b"1")
    posted = turn.outbox.turn

    turn.outbox.flush()

    assert turn.outbox.turn != posted
    assert turn.wires[0].got == [b"1"]


def test_many_or_large_messages_do_not_wait() -> None:
    """At the bounds everything leaves at once, in order."""
    turn = Turn()
    for _ in range(ENTRIES_MAX - 1):
        turn.post(0, b"x")
    held = len(turn.wires[0].got)
    turn.post(0, b"x")
    many = len(turn.wires[0].got)

    turn.post(0, b"y" * SMALL_BYTES_MAX)
    small = len(turn.wires[0].got)
    turn.post(0, b"z" * (SMALL_BYTES_MAX + 1))

    assert (held, many, small) == (0, ENTRIES_MAX, ENTRIES_MAX)
    assert [data[:1] for data in turn.wires[0].got[-2:]] == [b"y", b"z"]


def test_a_connection_that_ended_meanwhile_is_left_out() -> None:
    """The others get theirs, and nobody's clock runs for what did not leave."""
    turn = Turn()
    gone, sent = Clocks(), Clocks()
    turn.post(0, b"lost", gone)
    turn.post(1, b"kept", sent)
    turn.wires[0].closing = True

    turn.end()

    assert (turn.wires[0].got, turn.wires[1].got) == ([], [b"kept"])
    assert gone.sent_s == 0.0
    assert sent.sent_s > 0.0
    assert sent.deadline_s == sent.sent_s + sent.answer_s


def test_what_ends_with_its_message_ends_behind_it() -> None:
    """`then` calls once, after everything that waited has been sent."""
    turn = Turn()
    seen: list[list[bytes]] = []
    turn.post(0, b"1")
    turn.outbox.then(lambda: seen.append(list(turn.wires[0].got)))
    turn.post(0, b"2")

    turn.end()
    turn.post(0, b"3")
    turn.end()

    assert seen == [[b"1", b"2"]]


async def test_a_client_that_ends_with_its_answer_gets_it(stage: Stage) -> None:
    """A FIN in the turn in which the answer came destroys nothing."""

    async def script(call: Call) -> None:
        await call.reply(b"whole", "Date: Sun, 22 Nov 2026 12:00:00 GMT")

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        for _ in range(30):
            async with dial(stage.port) as wire:
                await wire.send(get())
                wire.writer.write_eof()
                answer = await wire.answer()
                assert (answer.status, answer.body) == (200, b"whole")
                assert await wire.rest() == b""


async def test_connections_that_close_as_they_are_taken_lose_nothing(
    stage: Stage,
) -> None:
    """An origin that ends idle connections races with requests that take them."""

    async def script(call: Call) -> None:
        await call.reply(b"whole", "Date: Sun, 22 Nov 2026 12:00:00 GMT")
        asyncio.get_running_loop().call_later(0.001, call.writer.close)

    async with ScriptedOrigin(script) as origin:
        service = await stage.serve({"stable": [origin]})
        statuses: list[int] = []
        async with dial(stage.port) as one, dial(stage.port) as other:
            for _ in range(40):  # fewer than the retry budget pays for
                statuses += [(await wire.ask(get())).status for wire in (one, other)]

    assert set(statuses) == {200}
    assert service.word("stable", layout.C_REQUESTS + 200) == len(statuses)


async def test_a_body_goes_along_to_the_next_connection(stage: Stage) -> None:
    """Head and body leave together; given up unasked, they go elsewhere whole."""

    async def script(call: Call) -> None:
        size = int(call.request.get("content-length") or 0)
        body = await call.reader.readexactly(size)
        await call.reply(body, "Date: Sun, 22 Nov 2026 12:00:00 GMT")
        asyncio.get_running_loop().call_later(0.001, call.writer.close)

    async with ScriptedOrigin(script, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        answers = []
        async with dial(stage.port) as one, dial(stage.port) as other:
            for number in range(40):
                body = b"%d" % number * 1000
                field = f"Content-Length: {len(body)}"
                for wire in (one, other):
                    await wire.send(get("/", field, method="PUT") + body)
                for wire in (one, other):
                    answer = await wire.answer()
                    answers.append((answer.status, answer.body == body))

    assert set(answers) == {(200, True)}


async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say what nobody asked for, and leave."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    await writer.drain()
    writer.close()


async def test_an_origin_that_always_speaks_first_ends(stage: Stage) -> None:
    """Looking for a connection that listens is bounded: an answer, 502 or 503, soon."""
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await stage.serve({"stable": [port]})
        async with dial(stage.port) as wire, asyncio.timeout(5):
            statuses = {(await wire.ask(get())).status for _ in range(20)}

    assert statuses <= {200, 502, 503}
