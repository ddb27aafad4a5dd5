"""
The access log: off by default, sampled, never in a request's way.

One line an exchange, also for requests that were refused before any version was
asked. ``failures`` holds the attempts that were lost before the last one, so a
shielded request tells what the canary did.

Lines go to standard output, in one go by the sweep. When the reader of
that is slower than the log, lines are dropped and counted, nothing waits.
"""

import json
import os
import random
import stat
import time
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from proxy.dataplane import heads
from proxy.dataplane.recorder import ERROR_STATUS_MIN, Failure
from proxy.dataplane.replies import FAILURES, refusal_body
from proxy.http1.fields import VISIBLE, flagging
from proxy.http1.refusals import Refusal
from proxy.http1.request import Request
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag

if TYPE_CHECKING:
    from proxy.dataplane.bound import BoundVersion
    from proxy.dataplane.downstream import Downstream
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.pool import Pool

LINES_MAX: Final = 10_000
"""Lines held between two sweeps (100 ms); more are dropped and counted."""
WRITE_BYTES_MAX: Final = 4_096
"""One write: PIPE_BUF, so that it is taken whole or not at all."""
TARGET_BYTES_MAX: Final = 512
"""A longer target is cut in the log."""
HOST_BYTES_MAX: Final = 255
"""The same for a host: DNS has no longer names."""
ID_BYTES_MAX: Final = 128
"""The same for a request's id that a client gave."""
ASKED_MAX: Final = 1_024
"""Endpoints of versions whose names are kept as bytes."""
PLAIN: Final = flagging(bytes(one for one in VISIBLE if one not in b'"\\'))
"""Changes what JSON would escape, and a # or space that nobody sends."""
ID_FROM: Final = len(heads.REQUEST_ID)
ID_TO: Final = ID_FROM + 32
"""Where the fields that we add have the id that we made."""
USUAL: Final = (
    b'{"time":"%b.%03dZ","event":"access",%b,"client":"%b","request_id":"%b",'
    b'"method":"%b","host":"%b","target":"%b","status":%d,"reason":null,"flag":null,'
    b'"duration_ms":%.3f,"ttfb_ms":%.3f,"bytes_in":%d,"bytes_out":%d,"attempts":%d,'
    b'"shielded":false,"failures":[]}'
)
"""A line of ``FIELDS`` where nothing failed."""
REFUSED_STATUS_MIN: Final = 400
"""A request that was refused is an error of somebody's."""


class AccessLog:
    """``settings`` has ``format`` (json, text), ``sample`` and ``errors`` (0-1)."""

    __slots__ = (
        "_asked",
        "_chance",
        "_errors",
        "_fd",
        "_json",
        "_lines",
        "_sample",
        "_second",
        "_stamp",
        "dropped",
    )

    def __init__(
        self, settings: dict[str, Any], chance: random.Random, fd: int
    ) -> None:
        self._json = settings["format"] == "json"
        self._sample = float(settings["sample"])
        self._errors = float(settings["errors"])
        self._chance = chance
        self._fd = fd
        self._lines: list[bytes] = []
        self._asked: dict[tuple[BoundVersion, Pool], bytes] = {}
        self._second = 0
        self._stamp = b""
        self.dropped = 0

    def note(self, exchange: "Exchange") -> None:
        """Take a line for an exchange that ended, if the sample has it."""
        status = exchange.status
        failed = status >= ERROR_STATUS_MIN or status == 0 or bool(exchange.trail)
        if self._wants(failed=failed):
            line = None if failed or not self._json else self._usual(exchange)
            if line is None:
                self._add(_entry(exchange))
            else:
                self._lines.append(line)

    def _usual(self, exchange: "Exchange") -> bytes | None:
        """
        Return the line of an exchange without a fault, if nothing is to be escaped.

        ``_add(_entry(exchange))`` without its objects: 9 instead of 41 µs.
        """
        request, down = exchange.request, exchange.down
        pool = exchange.pool or exchange.asked
        target, host = request.target, request.host
        if pool is None or down is None or down.trusted or exchange.shielded:
            return None
        given = request.watched.get(b"x-request-id")
        if given is None:
            given = exchange.tracing[ID_FROM:ID_TO]
        first_s, sent_s = exchange.first_s, exchange.sent_s
        shown = target + host + given
        if shown.translate(PLAIN) != shown or not (first_s and sent_s and given):
            return None
        if len(target) > TARGET_BYTES_MAX or len(host) > HOST_BYTES_MAX:
            return None
        if len(given) > ID_BYTES_MAX:
            return None
        key = (exchange.version, pool)
        asked = self._asked.get(key) or self._learn(key, exchange.service.name)
        now_ms = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000_000
        second = now_ms // 1000
        if second != self._second:
            self._second = second
            self._stamp = _day(second).encode()
        return USUAL % (
            self._stamp,
            now_ms - second * 1000,
            asked,
            down.address,
            given,
            request.method,
            host,
            target,
            exchange.status,
            max(monotonic() - exchange.started_s, 0.0) * 1000,
            max(first_s - sent_s, 0.0) * 1000,
            exchange.body_bytes,
            exchange.answer_bytes,
            exchange.attempts,
        )

    def _learn(self, key: "tuple[BoundVersion, Pool]", service: str) -> bytes:
        """Return who is asked, as the middle of a line, and remember it."""
        version, pool = key
        named: dict[str, object] = {
            "service": service,
            "version": version.name,
            "endpoint": pool.authority.decode(),
        }
        if len(self._asked) >= ASKED_MAX:
            self._asked.clear()
        self._asked[key] = line = _json(named)[1:-1]
        return line

    def refused(
        self,
        down: "Downstream",
        refusal: Refusal,
        request: Request | None,
        *,
        head_only: bool,
    ) -> None:
        """Take a line for a request that no version was asked for."""
        if not self._wants(failed=refusal.status >= REFUSED_STATUS_MIN):
            return
        entry = dict.fromkeys(FIELDS) | {
            "time": _timestamp(),
            "event": "access",
            "status": refusal.status,
            "reason": refusal.reason,
            "client": _client(down, request),
            "bytes_in": 0,
            "bytes_out": 0 if head_only else len(refusal_body(refusal)),
            "attempts": 0,
            "shielded": False,
            "failures": [],
        }
        self._add(entry if request is None else entry | _asked(request))

    def _wants(self, *, failed: bool) -> bool:
        share = self._errors if failed else self._sample
        if share < 1 and self._chance.random() >= share:
            return False
        if len(self._lines) >= LINES_MAX:
            self.dropped += 1
            return False
        return True

    def _add(self, entry: dict[str, object]) -> None:
        if self._json:
            self._lines.append(_json(entry))
        else:
            self._lines.append(_text(entry))

    def flush(self) -> None:
        """Write what was collected; drop what is not taken."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        for number, block in enumerate(blocks := _blocks(lines)):
            try:
                written = os.write(self._fd, block)
            except OSError:
                self.dropped += sum(one.count(b"\n") for one in blocks[number:])
                return
            self.dropped += block.count(b"\n", written)

    def take_dropped(self) -> int:
        """Return how many lines were dropped since this was asked last."""
        dropped, self.dropped = self.dropped, 0
        return dropped


def without_waiting(fd: int) -> int:
    """
    Return a descriptor of the same file on which a write never waits.

    A pipe or terminal is opened anew, because O_NONBLOCK belongs to the open
    file that other processes share. A file never makes anybody wait.
    """
    mode = os.fstat(fd).st_mode
    if not stat.S_ISFIFO(mode) and not stat.S_ISCHR(mode):
        return fd
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:  # somebody else's terminal: the log then waits with it
        return fd


def _blocks(lines: list[bytes]) -> list[bytes]:
    """Join lines into blocks of at most ``WRITE_BYTES_MAX``, none cut."""
    blocks: list[bytes] = []
    held: list[bytes] = []
    size = 0
    for line in lines:
        if size + len(line) + 1 > WRITE_BYTES_MAX and held:
            blocks.append(b"\n".join((*held, b"")))
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    blocks.append(b"\n".join((*held, b"")))
    return blocks


FIELDS: Final = (
    "time",
    "event",
    "service",
    "version",
    "endpoint",
    "client",
    "request_id",
    "method",
    "host",
    "target",
    "status",
    "reason",
    "flag",
    "duration_ms",
    "ttfb_ms",
    "bytes_in",
    "bytes_out",
    "attempts",
    "shielded",
    "failures",
)
"""Every line has all of them, in this order; null is "there is none"."""


def _entry(exchange: "Exchange") -> dict[str, object]:
    request = exchange.request
    trail = exchange.trail
    # The last attempt has an entry too, unless it was answered.
    ended = trail[-1] if len(trail) >= exchange.attempts else None
    lost = trail[:-1] if ended is not None else trail
    pool = exchange.pool or exchange.asked
    first_s, sent_s = exchange.first_s, exchange.sent_s
    return dict.fromkeys(FIELDS) | {
        "time": _timestamp(),
        "event": "access",
        "service": exchange.service.name,
        "version": exchange.version.name,
        "endpoint": None if pool is None else pool.authority.decode(),
        "client": _client(exchange.down, request),
        "request_id": _request_id(exchange),
        **_asked(request),
        "status": exchange.status,
        "reason": _reason(exchange, ended),
        "flag": None if ended is None else code_name(ended.code),
        "duration_ms": _milliseconds(monotonic() - exchange.started_s),
        "ttfb_ms": _milliseconds(first_s - sent_s) if first_s and sent_s else None,
        "bytes_in": exchange.body_bytes,
        "bytes_out": exchange.answer_bytes,
        "attempts": exchange.attempts,
        "shielded": exchange.shielded,
        "failures": [_failure(one) for one in lost],
    }


def _asked(request: Request) -> dict[str, object]:
    return {
        "method": request.method.decode("latin-1"),
        "host": request.host[:HOST_BYTES_MAX].decode("latin-1"),
        "target": request.target[:TARGET_BYTES_MAX].decode("latin-1"),
    }


def _client(down: "Downstream | None", request: Request | None) -> str | None:
    """Return who asked, behind the proxies that are trusted."""
    if down is None:
        return None
    address = down.address
    if request is not None and down.trusted and request.forwarded:
        address = heads.client_address(request, address)
    return address.decode("latin-1")


def _request_id(exchange: "Exchange") -> str | None:
    given = exchange.request.watched.get(b"x-request-id")
    if given is None:
        made = exchange.tracing.partition(heads.REQUEST_ID)[2]
        given = made.partition(b"\r\n")[0]
    return given[:ID_BYTES_MAX].decode("latin-1") or None


def _reason(exchange: "Exchange", ended: Failure | None) -> str | None:
    """Return the ``x-headgate-reason`` of an answer that we made."""
    if ended is None or exchange.head_sent:
        return None
    if ended.reason or exchange.status == 0:
        return ended.reason or None
    failure = FAILURES.get(Flag(ended.code - FLAG_CODE_BASE))
    return None if failure is None else failure[1]


def _failure(one: Failure) -> str:
    """Return an attempt that was lost, as ``version endpoint what``."""
    endpoint = "-" if one.pool is None else one.pool.authority.decode()
    return f"{one.version} {endpoint} {code_name(one.code)}"


def code_name(code: int) -> str:
    """Return an outcome code as people write it: a status, or Envoy's flag."""
    return str(code) if code < FLAG_CODE_BASE else Flag(code - FLAG_CODE_BASE).name


def _milliseconds(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 3)


def _timestamp() -> str:
    """Return this moment as RFC 3339 has it, in UTC."""
    now_ms = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000_000
    return f"{_day(now_ms // 1000)}.{now_ms % 1000:03d}Z"


def _day(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _json(entry: dict[str, object]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode()


def _text(entry: dict[str, object]) -> bytes:
    return " ".join(
        f"{name}={json.dumps(value)}" for name, value in entry.items()
    ).encode()
