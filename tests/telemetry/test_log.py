"""Log lines: one line an event, readable by programs and by people."""

import json
import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.log import LINE_BYTES_MAX, json_line, text_line
from tests.support.process_tree import ROOT

fields = st.dictionaries(
    st.text(st.characters(categories=["Ll"]), min_size=1, max_size=8),
    st.none() | st.booleans() | st.integers() | st.text(max_size=2_000),
    max_size=5,
)


@given(fields)
def test_json_lines_are_one_object_each(shown: dict[str, object]) -> None:
    """Whatever the fields hold, it is one line of JSON with the fixed keys."""
    line = json_line(1_700_000_000_123, "info", "worker-0", "ready", shown)
    document = json.loads(line)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) <= LINE_BYTES_MAX
    if not document.get("truncated"):
        assert {**document, **shown} == document


@given(fields)
def test_text_lines_are_one_line_each(shown: dict[str, object]) -> None:
    """A line break in a value cannot forge another line."""
    line = text_line(1_700_000_000_123, "info", "worker-0", "ready", shown)

    assert line.startswith(b"2023-11-14T22:13:20.123Z info worker-0 ready")
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert len(line) <= LINE_BYTES_MAX


def test_text_quotes_only_what_needs_it() -> None:
    """Plain words stay plain; the rest is quoted as JSON does."""
    shown = {"a": "plain", "b": "two words", "c": 1.5, "d": "", "e": ["x"]}
    line = text_line(0, "error", "control", "saved", shown)

    assert line == (
        b"1970-01-01T00:00:00.000Z error control saved"
        b' a=plain b="two words" c=1.5 d="" e=["x"]\n'
    )


def test_a_long_json_line_keeps_its_head() -> None:
    """What does not fit is left out, and the line says so."""
    line = json_line(0, "info", "control", "big", {"text": "x" * LINE_BYTES_MAX})

    assert json.loads(line)["event"] == "big"
    assert json.loads(line)["truncated"] is True


def run(code: str, stderr: int) -> int:
    """Run some Python with that standard error; return its exit code."""
    return subprocess.run(
        [sys.executable, "-c", code],
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=20,
    ).returncode


def test_nobody_waits_for_a_reader_that_does_not_read() -> None:
    """A full pipe costs the lines, which are counted, and not the process."""
    reader, writer = os.pipe()
    code = (
        "import sys; from proxy.telemetry.log import log, dropped\n"
        "for n in range(2000): log('info', 'event', text='x' * 500)\n"
        "sys.exit(7 if 0 < dropped() < 2000 else 1)"
    )

    assert run(code, writer) == 7
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        lines = stream.read().splitlines()
    assert lines
    assert all(line.endswith(b"x") for line in lines)


def test_the_level_is_a_threshold() -> None:
    """What is below the level is not written; a closed pipe ends nobody."""
    reader, writer = os.pipe()
    code = (
        "import os; from proxy.telemetry.log import configure, log\n"
        "configure('worker-3', 'json', 'warning')\n"
        "log('debug', 'a'); log('info', 'b'); log('warning', 'c'); log('error', 'd')\n"
        "os.close(2); log('error', 'e')"
    )

    assert run(code, writer) == 0
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        lines = [json.loads(line) for line in stream]
    assert [line["event"] for line in lines] == ["c", "d"]
    assert {line["process"] for line in lines} == {"worker-3"}
