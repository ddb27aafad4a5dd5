"""Recordings: whole, bounded, and never in the way of a rollout."""

import json
from pathlib import Path

import pytest

from proxy.analysis.recording import Second, read
from proxy.control import recordings
from proxy.control.recordings import (
    CHUNK_LINES,
    RUNS_MAX,
    Recorder,
    RecordingFile,
    header,
    seconds_in,
)
from proxy.errors import StoreError


def second(at: int) -> Second:
    """Return a second without evidence."""
    return Second(1_000_000.0 + at, 1.0, 20.0, canary_routed=at)


def record(recorder: Recorder, rollout: str, seconds: int, start: int = 0) -> None:
    """Note so many seconds of a rollout of the shop."""
    for at in range(start, start + seconds):
        recorder.note("shop", rollout, second(at))


def lengths(recorder: Recorder) -> dict[str, int]:
    """Return how many seconds are kept of each rollout, oldest first."""
    recorder.flush()
    return {
        rollout: len(list(recorder.lines("shop", rollout)))
        for _, rollout, _ in recorder.file.kept("shop")
    }


def test_every_second_is_there_in_order(tmp_path: Path) -> None:
    """Whole chunks from the file, and what is still held."""
    recorder = Recorder.open(tmp_path)
    record(recorder, "shop-1", CHUNK_LINES * 2 + 3)

    kept = [read(line) for line in recorder.lines("shop", "shop-1")]

    assert kept == [second(at) for at in range(CHUNK_LINES * 2 + 3)]


def test_another_process_goes_on_with_the_same_recording(tmp_path: Path) -> None:
    """A killed control process loses the open chunk at most."""
    killed = Recorder.open(tmp_path)
    record(killed, "shop-1", CHUNK_LINES + 5)
    recorder = Recorder.open(tmp_path)
    record(recorder, "shop-1", 4, start=100)
    recorder.close()

    kept = list(seconds_in(Recorder.open(tmp_path).lines("shop", "shop-1")))
    assert [one.canary_routed for one in kept] == [
        *range(CHUNK_LINES),
        *range(100, 104),
    ]


def test_chunks_are_small(tmp_path: Path) -> None:
    """A second without traffic takes a few bytes on the disk."""
    recorder = Recorder.open(tmp_path)
    record(recorder, "shop-1", 600)
    recorder.flush()

    size = recorder.file.kept("shop")[0][2]
    assert size < 600 * 12


def test_the_oldest_rollouts_go_first(tmp_path: Path) -> None:
    """Ten of a service are kept; others' stay."""
    recorder = Recorder.open(tmp_path)
    recorder.note("blog", "blog-1", second(0))
    for number in range(RUNS_MAX + 3):
        record(recorder, f"shop-{number}", 2, start=number * 10)
    recorder.flush()

    kept = list(lengths(recorder))
    assert kept == [f"shop-{number}" for number in range(3, RUNS_MAX + 3)]
    assert [name for _, name, _ in recorder.file.kept("blog")] == ["blog-1"]


def test_all_recordings_together_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new rollout finds room, whoever's the oldest is."""
    monkeypatch.setattr(recordings, "ALL_BYTES_MAX", 2000)
    monkeypatch.setattr(recordings, "ROOM_EVERY_BYTES", 500)
    recorder = Recorder.open(tmp_path)
    recorder.note("blog", "blog-1", second(0))
    recorder.flush()
    for number in range(5):
        record(recorder, f"shop-{number}", 60, start=100 + number)
    recorder.flush()

    total = sum(size for _, _, size in recorder.file.kept())
    assert total < 2000
    assert recorder.file.kept("blog") == []


def test_rollouts_side_by_side_are_bounded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds at once do not each take what one may."""
    monkeypatch.setattr(recordings, "ALL_BYTES_MAX", 4000)
    monkeypatch.setattr(recordings, "ROOM_EVERY_BYTES", 500)
    recorder = Recorder.open(tmp_path)
    for at in range(CHUNK_LINES * 5):
        for number in range(12):
            recorder.note(f"s{number}", f"s{number}-1", second(at))

    assert sum(size for _, _, size in recorder.file.kept()) < 4500


def test_one_rollout_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """When it is full the rest is left out, and that is told once."""
    monkeypatch.setattr(recordings, "RUN_BYTES_MAX", 500)
    recorder = Recorder.open(tmp_path)
    record(recorder, "shop-1", CHUNK_LINES * 20)

    assert 0 < lengths(recorder)["shop-1"] < CHUNK_LINES * 20
    assert recorder.file.kept("shop")[0][2] < 1000
    assert capfd.readouterr().err.count("recording is full") == 1


def test_a_file_that_is_none_of_ours_stops_nobody(tmp_path: Path) -> None:
    """It is left alone; recordings are in memory then."""
    path = tmp_path / recordings.FILE_NAME
    path.write_bytes(b"not a database" * 100)
    recorder = Recorder.open(tmp_path)
    record(recorder, "shop-1", 3)

    assert lengths(recorder) == {"shop-1": 3}
    assert path.read_bytes() == b"not a database" * 100


def test_a_fault_ends_the_recording_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A disk that is gone is told once a rollout."""
    recorder = Recorder.open(tmp_path)
    record(recorder, "shop-1", 1)
    recorder.file.close()
    record(recorder, "shop-1", CHUNK_LINES * 3)
    record(recorder, "shop-2", CHUNK_LINES * 3)

    assert capfd.readouterr().err.count("recording stopped") == 2
    with pytest.raises(StoreError, match="cannot be used"):
        RecordingFile.kept(recorder.file)


def test_a_torn_line_ends_what_is_read() -> None:
    """What was before it is good."""
    lines = ['{"t":1,"d":1,"w":0}', "{", '{"t":2,"d":1,"w":0}']

    assert [one.at_s for one in seconds_in(lines)] == [1.0]


def test_the_header_tells_whose_it_is() -> None:
    """Who replays it is shown what was decided then."""
    decision = {
        "at": "2026-11-22T10:00:00Z",
        "rule": "advance",
        "reason": "",
        "message": "",
        "phase": "Progressing",
        "step": 2,
        "weights": {"canary": 40},
        "who": "controller",
        "evidence": {},
    }
    told = json.loads(header("shop", {"id": "shop-1"}, [decision]))

    assert told["headgate_recording"] == 1
    assert (told["service"], told["run"]["id"]) == ("shop", "shop-1")
    assert told["decisions"][0]["rule"] == "advance"
    assert "evidence" not in told["decisions"][0]
