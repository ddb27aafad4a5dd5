"""
Many users at once, as one process sees them: the demo's load.

Arrivals are random and wait for nobody (an open loop: a slow shop does not get
fewer requests, as in real life). Every user keeps the same ``x-user-id``. Counted
is what a user notices: the version that answered, how long it took, whether it
failed. The users come in turn, so that each is heard about once in
``users / rate_per_s`` seconds.
"""

import asyncio
import random
import time
from collections import Counter, deque
from dataclasses import dataclass

CONNECTIONS_MAX = 1000
"""Most requests at once; an arrival above that is counted as turned away. A shop
that hangs for a second at 400 requests/s needs 400."""
ANSWER_WAIT_S = 10.0
"""After this a user gives up: well above every timeout in the demo's file."""
WINDOW_S = 5.0
"""How far back the recent figures look."""
HEAD_BYTES_MAX = 16 * 1024
"""Longest head of an answer that is read."""
ITEMS = 100
"""How many items the users look at."""
ORDER_SHARE = 0.1
"""Fraction of requests that are orders; the others look at items."""

UNKNOWN_VERSION = ""
"""The version of an answer that did not say one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request ended for its user."""

    done_s: float
    version: str
    status: int
    """The status code; 0: there was no complete answer."""
    latency_s: float

    @property
    def failed(self) -> bool:
        """Whether the user saw an error."""
        return self.status == 0 or self.status >= 500  # noqa: PLR2004 server errors


@dataclass(frozen=True, slots=True)
class Recent:
    """What users saw of one version in the last ``WINDOW_S`` seconds."""

    requests: int
    failed: int
    p50_s: float
    p99_s: float


class Load:
    """Users in front of one address."""

    def __init__(
        self, host: str, port: int, *, rate_per_s: float, users: int, seed: int = 1
    ) -> None:
        self._address = (host, port)
        self._rate_per_s = rate_per_s
        self._users = users
        # The same users in the same order at each start; nothing here is secret.
        self._chance = random.Random(seed)  # noqa: S311
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._outcomes: deque[Outcome] = deque()
        self._turn = 0
        self.in_flight = 0
        self.sent: int = 0
        self.turned_away = 0
        self.failed: Counter[str] = Counter()
        """Errors that users saw, by version, since the start."""
        self.answered: Counter[str] = Counter()
        """Answers without an error, by version, since the start."""

    async def run(self) -> None:
        """Send requests until cancelled."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        try:
            async with asyncio.TaskGroup() as users:
                while True:
                    due_s += self._chance.expovariate(self._rate_per_s)
                    await asyncio.sleep(max(0.0, due_s - loop.time()))
                    if self.in_flight >= CONNECTIONS_MAX:
                        self.turned_away += 1
                        continue
                    self.in_flight += 1
                    self.sent += 1
                    users.create_task(self._visit(self._next_user()), name="user")
        finally:
            for _reader, writer in self._idle:
                writer.close()
            self._idle.clear()

    def recent(self, version: str) -> Recent:
        """Return what users saw of a version lately; zeros when there was nothing."""
        self._forget(time.monotonic())
        latencies = sorted(
            outcome.latency_s
            for outcome in self._outcomes
            if outcome.version == version and not outcome.failed
        )
        failed = sum(
            outcome.failed for outcome in self._outcomes if outcome.version == version
        )
        return Recent(
            requests=len(latencies) + failed,
            failed=failed,
            p50_s=_quantile(latencies, 0.50),
            p99_s=_quantile(latencies, 0.99),
        )

    def _next_user(self) -> int:
        self._turn = (self._turn + 1) % self._users
        return self._turn

    def _forget(self, now_s: float) -> None:
        while self._outcomes and self._outcomes[0].done_s < now_s - WINDOW_S:
            self._outcomes.popleft()

    async def _visit(self, user: int) -> None:
        """Send one request of a user and record how it ended."""
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_WAIT_S):
                version, status = await self._ask(self._request(user))
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            version, status = UNKNOWN_VERSION, 0
        finally:
            self.in_flight -= 1
        now_s = time.monotonic()
        outcome = Outcome(now_s, version, status, now_s - started_s)
        self._forget(now_s)
        self._outcomes.append(outcome)
        (self.failed if outcome.failed else self.answered)[version] += 1

    def _request(self, user: int) -> bytes:
        item = self._chance.randrange(ITEMS)
        if self._chance.random() < ORDER_SHARE:
            body = b'{"item": %d}' % item
            line = b"POST /orders HTTP/1.1"
            rest = b"content-length: %d\r\n\r\n%b" % (len(body), body)
        else:
            line = b"GET /items/%d HTTP/1.1" % item
            rest = b"\r\n"
        fields = b"host: shop.example\r\nx-user-id: user-%d\r\n" % user
        return line + b"\r\n" + fields + rest

    async def _ask(self, request: bytes) -> tuple[str, int]:
        """
        Return the version that answered and the status code.

        Raises:
            OSError, EOFError, ValueError: there was no complete answer in time.
        """
        reader, writer = await self._connection()
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status = int(head[9:12])
            fields = _fields(head)
            await reader.readexactly(int(fields.get("content-length", "")))
        except BaseException:
            writer.close()
            raise
        if fields.get("connection", "").lower() == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return fields.get("x-headgate-version", UNKNOWN_VERSION), status

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the newest idle connection that is still open, or a new one."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(*self._address, limit=HEAD_BYTES_MAX)


def _fields(head: str) -> dict[str, str]:
    """Return the fields of a head, names in lower case."""
    pairs = (line.partition(":") for line in head.split("\r\n")[1:] if line)
    return {name.lower(): value.strip() for name, _colon, value in pairs}


def _quantile(ordered: list[float], quantile: float) -> float:
    """Return a quantile of ordered values by nearest rank; 0.0 of none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]
