"""
Structured lines on stderr: one line an event, none a request.

Shared by every process of the tree, so that a line looks the same whoever
wrote it. A line is at most ``LINE_BYTES_MAX`` and is written in one call, so
lines of several processes never mix; when the reader of stderr does not keep
up, the line is dropped and counted, because nobody here may wait for a log.
"""

import json
import os
import select
import time
from collections.abc import Mapping

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
LINE_BYTES_MAX = 4096
"""PIPE_BUF: a write of that size is atomic, and possible when poll says so."""
_STDERR = 2
_PLAIN = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/[]@%+,"
)
"""What stands in a text line without quotes."""


class _Settings:
    """What ``configure`` set for this process."""

    __slots__ = ("as_json", "dropped", "process", "threshold")

    def __init__(self) -> None:
        self.process = "headgate"
        self.as_json = False
        self.threshold = LEVELS["info"]
        self.dropped = 0


_SETTINGS = _Settings()


def configure(process: str, log_format: str, level: str) -> None:
    """
    Say who writes, as ``json`` or ``text``, and from which level on.

    Levels are ``debug``, ``info``, ``warning`` and ``error``.
    """
    assert log_format in {"json", "text"}, log_format
    _SETTINGS.process = process
    _SETTINGS.as_json = log_format == "json"
    _SETTINGS.threshold = LEVELS[level]


def log(level: str, event: str, **fields: object) -> None:
    """Write one event; ``fields`` are values that JSON or ``str`` can show."""
    if LEVELS[level] < _SETTINGS.threshold:
        return
    now_ms = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000_000
    shown = {"pid": os.getpid(), **fields}
    render = json_line if _SETTINGS.as_json else text_line
    _write(render(now_ms, level, _SETTINGS.process, event, shown))


def dropped() -> int:
    """Return how many lines nobody could take."""
    return _SETTINGS.dropped


def json_line(
    now_ms: int, level: str, process: str, event: str, fields: Mapping[str, object]
) -> bytes:
    """Return the line as one JSON object; fields that do not fit are left out."""
    head: dict[str, object] = {
        "ts": _timestamp(now_ms),
        "level": level,
        "process": process,
        "event": event,
    }
    line = json.dumps({**head, **fields}, default=str, ensure_ascii=True)
    if len(line) >= LINE_BYTES_MAX:
        line = json.dumps({**head, "truncated": True})
    return line.encode() + b"\n"


def text_line(
    now_ms: int, level: str, process: str, event: str, fields: Mapping[str, object]
) -> bytes:
    """Return the line as ``time level process event key=value ...``."""
    words = [_timestamp(now_ms), level, process, event]
    words += [f"{key}={_shown(value)}" for key, value in fields.items()]
    line = " ".join(words).encode("ascii", "backslashreplace")
    return line[: LINE_BYTES_MAX - 1] + b"\n"


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if isinstance(value, str) and not (text and _PLAIN.issuperset(text)):
        return json.dumps(text)
    return text


def _timestamp(now_ms: int) -> str:
    seconds, milliseconds = divmod(now_ms, 1000)
    day = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{day}.{milliseconds:03d}Z"


def _write(line: bytes) -> None:
    poll = select.poll()
    poll.register(_STDERR, select.POLLOUT)
    try:
        ready = poll.poll(0)
        if ready and ready[0][1] & select.POLLOUT:
            os.write(_STDERR, line)
            return
    except OSError:  # closed, or the terminal is gone: nobody to tell
        pass
    _SETTINGS.dropped += 1
