"""Raw conversations: bytes sent as they are, and every answer that came of them."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.wire import PATIENCE_S, dial

WITHOUT_BODY = {204, 304}
CONTINUE_S = 0.05
"""Between the parts of a conversation: enough for an answer to be under way."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What a client saw: statuses in order, all bytes, and how it ended."""

    statuses: list[int]
    raw: bytes = field(repr=False)
    reset: bool


async def talk(
    port: int, *parts: bytes, eof: bool = False, methods: Sequence[str] = ()
) -> Talk:
    """
    Send parts one after the other; read until the other side ends.

    ``eof`` ends our side behind the last part; ``methods`` are those of the
    requests, where an answer to HEAD is expected.
    """
    raw = b""
    reset = False
    async with dial(port) as wire:
        for number, part in enumerate(parts):
            if number:
                await asyncio.sleep(CONTINUE_S)
            await wire.send(part)
        if eof:
            wire.writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            try:
                while data := await wire.reader.read(65536):
                    raw += data
            except ConnectionResetError:
                reset = True
    return Talk(statuses(raw, methods), raw, reset)


def statuses(raw: bytes, methods: Sequence[str] = ()) -> list[int]:
    """Cut a stream of answers by the book; anything left over is an error."""
    found: list[int] = []
    wanted = list(methods)
    while raw:
        head, end, raw = raw.partition(b"\r\n\r\n")
        assert end, f"no answer: {head!r}"
        match = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        assert match, f"no status line: {head!r}"
        status = int(match[1])
        found.append(status)
        if status < 200:
            continue
        method = wanted.pop(0) if wanted else "GET"
        if method == "HEAD" or status in WITHOUT_BODY:
            continue
        raw = _behind_body(head, raw)
    return found


def _behind_body(head: bytes, raw: bytes) -> bytes:
    if re.search(rb"(?i)\r\ntransfer-encoding: chunked", head):
        size = -1
        while size:
            line, _, raw = raw.partition(b"\r\n")
            size = int(line, 16)
            raw = raw[size + 2 :] if size else raw
        assert raw.startswith(b"\r\n"), "these tests send no trailers down"
        return raw[2:]
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    assert length, f"the end of this body is a guess: {head!r}"
    assert len(raw) >= int(length[1]), "the body is cut"
    return raw[int(length[1]) :]
