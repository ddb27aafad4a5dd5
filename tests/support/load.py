"""
A load in which every request proves itself.

Each request has a unique id and a body; the origin echoes the id with a digest
of what arrived. One mismatch or one truncation is a failure, and so is every
answer that is not expected.
"""

import asyncio
import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Self

ANSWER_S = 30.0


@dataclass
class Tally:
    """What the clients saw."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By (x-headgate-version, status)."""
    failures: list[str] = field(default_factory=list)
    """What went wrong; statuses of 500 and above are not among them."""
    slowest_connect_s: float = 0.0
    took_s: list[float] = field(default_factory=list)
    """How long each answer took, from the request to its last byte."""

    def quantile_s(self, fraction: float) -> float:
        """Return how long so many of the answers took at most."""
        ordered = sorted(self.took_s)
        return ordered[min(int(fraction * len(ordered)), len(ordered) - 1)]

    @property
    def errors(self) -> int:
        """Answers with a status of 500 and above."""
        return sum(n for (_, status), n in self.answers.items() if status >= 500)

    @property
    def total(self) -> int:
        """All answers."""
        return sum(self.answers.values())

    def of(self, version: str) -> dict[int, int]:
        """Return the statuses that a version's answers had."""
        return {
            status: number
            for (name, status), number in self.answers.items()
            if name == version
        }


class Load:
    """So many clients, each sending one request after another until stopped."""

    def __init__(
        self,
        port: int,
        *,
        clients: int = 16,
        keep_alive: bool = True,
        units: int = 1000,
        pause_s: float = 0.0,
        idempotent: bool = False,
    ) -> None:
        self.tally = Tally()
        self._port = port
        self._clients = clients
        self._keep_alive = keep_alive
        self._units = units
        self._pause_s = pause_s
        self._with_body = "PUT" if idempotent else "POST"
        self._ids = count()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._client()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def answered(self, more: int) -> None:
        """Wait until so many more answers came."""
        goal = self.tally.total + more
        async with asyncio.timeout(60):
            while self.tally.total < goal:  # noqa: ASYNC110 - a count, no event
                await asyncio.sleep(0.01)

    async def _client(self) -> None:
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        started_s = 0.0
        while not self._stopping:
            number = next(self._ids)
            try:
                if writer is None or reader is None:
                    started_s = monotonic()
                    reader, writer = await asyncio.open_connection(
                        "127.0.0.1", self._port
                    )
                keep = await asyncio.wait_for(
                    self._exchange(reader, writer, number), ANSWER_S
                )
                if not self._keep_alive:
                    waited_s = monotonic() - started_s
                    slowest_s = max(self.tally.slowest_connect_s, waited_s)
                    self.tally.slowest_connect_s = slowest_s
                if not keep or not self._keep_alive:
                    writer.close()
                    writer = None
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self.tally.failures.append(f"{number}: {error!r}")
                if writer is not None:
                    writer.close()
                writer = None
            await asyncio.sleep(self._pause_s)
        if writer is not None:
            writer.close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        """Send one request and check its answer; whether to keep the connection."""
        unique = f"{os.getpid()}-{number}"
        body = os.urandom(number % 300) if number % 3 == 0 else b""
        method = self._with_body if body else "GET"
        connection = "" if self._keep_alive else "Connection: close\r\n"
        asked_s = monotonic()
        writer.write(
            f"{method} /echo/{number} HTTP/1.1\r\nHost: shop\r\n"
            f"x-user-id: user-{number % self._units}\r\nx-unique-id: {unique}\r\n"
            f"Content-Length: {len(body)}\r\n{connection}\r\n".encode()
            + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        fields = {
            name.lower(): value.strip()
            for name, _, value in (
                line.partition(":") for line in head.split("\r\n")[1:] if line
            )
        }
        answer = await reader.readexactly(int(fields["content-length"]))
        self.tally.took_s.append(monotonic() - asked_s)
        version = fields.get("x-headgate-version", "")
        if status == 200:
            proof = json.loads(answer)
            digest = hashlib.sha256(body).hexdigest()
            if proof["id"] != unique or proof["digest"] != digest:
                self.tally.failures.append(f"{number}: wrong answer {proof}")
            if version and proof["origin"] != version:
                self.tally.failures.append(f"{number}: {version} is {proof}")
        self.tally.answers[version, status] += 1
        return fields.get("connection", "").lower() != "close"
