"""
What is forwarded is one request to nginx, Node, gunicorn and uvicorn too.

Hostile conversations go through a worker to a real origin, which writes down all
that it read. All of it must carry the X-Forwarded-For that only we can write: a
request without it was read out of a body, a value or a rest. None may be another
than those that the pure parsers find in the conversation, and there are never more
than the worker forwarded (RFC 9112 section 11.2).
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.telemetry import layout
from tests.fuzz import model, strategies
from tests.support import table
from tests.support.data_plane import DataPlane
from tests.support.real_origins import COMMANDS, RealOrigin, real_origin
from tests.support.stage import started
from tests.wire.test_conversations import REFUSED
from tests.wire.test_refused import GROUPS

PATIENCE_S = 20.0
LOOK_EVERY_S = 0.002
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
"""Conversations an origin; `make fuzz` asks for many more."""
OBFUSCATIONS_APART = 3_000
"""Every fiftieth of five thousand where 60 conversations are held, all from 3 000."""
CELL = 1
CLIENT = "127.0.0.1"
"""What we write into X-Forwarded-For; whatever a client writes there is dropped."""


@dataclass(slots=True)
class Rig:
    """A worker in front of an origin, and what both counted."""

    plane: DataPlane
    origin: RealOrigin
    seen: int = 0
    sentinels: int = 0

    def converse(self, segments: list[bytes]) -> bytes:
        """Send segments and our end; return all that came back."""
        out = b""
        address = ("127.0.0.1", self.plane.port)
        with socket.create_connection(address, timeout=PATIENCE_S) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for segment in segments:
                    sock.sendall(segment)
                sock.shutdown(socket.SHUT_WR)
                while data := sock.recv(65_536):
                    out += data
            except (ConnectionResetError, BrokenPipeError):
                pass  # we said more than it wanted to hear
        return out

    def settle(self) -> list[dict[str, Any]]:
        """Wait until a request sent last was written down; return all before it."""
        self.sentinels += 1
        target = f"/sentinel/{self.sentinels}"
        request = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert self.converse([request.encode()]).startswith(b"HTTP/1.1 200 ")
        until_s = time.monotonic() + PATIENCE_S
        nothing = threading.Event()
        entries: list[dict[str, Any]] = []
        while not any(entry.get("target") == target for entry in entries):
            assert time.monotonic() < until_s, "the origin wrote nothing down"
            entries += self.origin.entries()
            if not entries:
                nothing.wait(LOOK_EVERY_S)
        self.seen += len(entries)
        return [entry for entry in entries if entry.get("target") != target]

    def routed(self) -> int:
        """Return how many requests the worker ever sent on."""
        return self.plane.counted(CELL, layout.C_ROUTED)


@pytest.fixture(scope="module", params=sorted(COMMANDS))
def rig(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Start an origin and a worker in front of it."""
    directory = tmp_path_factory.mktemp(f"origin-{request.param}")
    with real_origin(request.param, directory) as origin:
        service = table.service(
            [table.version("stable", [origin.port], cell=CELL)],
            retries={"attempts": 0, "on": [], "budget": 0.0, "shield": False},
        )
        plane = started(table.table([service]))
        try:
            yield Rig(plane, origin)
        finally:
            plane.close()


def check(rig: Rig, segments: list[bytes]) -> None:
    """Hold a conversation; nothing may have been smuggled through it."""
    rig.converse(segments)
    seen: list[str] = []
    for entry in rig.settle():
        if "refused" in entry or entry.get("status", 200) >= 400:
            continue  # read as one message, and not liked
        assert entry["client"] == CLIENT, entry
        seen.append(entry["target"].partition("?")[0])
    assert rig.seen <= rig.routed(), "more requests than were sent"
    assert model.is_within(seen, model.requests_of(b"".join(segments)))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(conversation=strategies.conversations())
def test_no_conversation_yields_a_request_more(
    rig: Rig, conversation: list[bytes]
) -> None:
    """RFC 9112 section 11.2: request smuggling, sought by chance."""
    check(rig, conversation)


def test_no_known_attack_yields_a_request_more(rig: Rig) -> None:
    """RFC 9112 section 11.2: every refusal of ours, with a request behind it."""
    attacks = [data for group in GROUPS.values() for data, _ in group.values()]
    for data in [*attacks, *REFUSED.values()]:
        check(rig, [data, strategies.EVIL.replace(b"evil", b"behind")])


def test_no_obfuscation_yields_a_request_more(rig: Rig) -> None:
    """RFC 9112 section 11.2: any octet around a framing field; a part of them."""
    for data in strategies.obfuscations()[:: max(OBFUSCATIONS_APART // EXAMPLES, 1)]:
        check(rig, [data])


CHUNKS = b"5;a=b\r\nhello\r\n005\r\n0\r\n\r\n\r\n0\r\nX-Sum: 1\r\nHost: b\r\n\r\n"
HOPS = b"Connection: close-not, x\r\nX: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\n\r\n"

GOOD = {
    "get": (b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", 0),
    "length": (
        b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n"
        + strategies.EVIL.ljust(40)[:40],
        40,
    ),
    "chunks": (
        b"PUT /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        10,
    ),
    "no chunk": (
        b"POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        0,
    ),
    "get with a body": (
        b"GET /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        5,
    ),
    "absolute": (b"GET http://a/%d HTTP/1.1\r\nHost: a\r\n\r\n", 0),
    "hop by hop": (b"DELETE /%d HTTP/1.1\r\nHost: a\r\n" + HOPS, 0),
}


@settings(
    max_examples=max(EXAMPLES // 4, 10),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    kinds=st.lists(st.sampled_from(sorted(GOOD)), min_size=1, max_size=8),
    points=strategies.split_points(),
)
def test_good_requests_arrive_each_as_one(
    rig: Rig, kinds: list[str], points: list[int]
) -> None:
    """RFC 9112 section 6: the same targets in order, the same bytes of body."""
    stream = b"".join(GOOD[kind][0] % number for number, kind in enumerate(kinds))

    answers = rig.converse(strategies.split(stream, points))
    entries = rig.settle()

    assert answers.count(b"HTTP/1.1 200 ") == len(kinds)
    assert [entry["target"] for entry in entries] == [
        f"/{number}" for number in range(len(kinds))
    ]
    if rig.origin.name != "nginx":  # it drops what it is not asked to keep
        assert [entry["bytes"] for entry in entries] == [
            GOOD[kind][1] for kind in kinds
        ]
    assert rig.seen <= rig.routed()


def test_each_origin_writes_down_where_it_is(tmp_path: Path) -> None:
    """The rig would notice: an origin asked directly has nothing of ours."""
    with real_origin("uvicorn", tmp_path) as origin:
        address = ("127.0.0.1", origin.port)
        with socket.create_connection(address, timeout=PATIENCE_S) as sock:
            sock.sendall(b"GET /evil HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            while sock.recv(65_536):
                pass
        entries = origin.entries()

    assert [entry["target"] for entry in entries] == ["/evil"]
    assert entries[0]["client"] == ""
