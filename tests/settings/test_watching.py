"""Reloading: when a file counts as changed, and what cannot be applied."""

import os
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from proxy.settings import loads
from proxy.settings.schema import Settings
from proxy.settings.watching import FileStat, Watcher, read_stat, restart_keys

STAT = FileStat(device=1, inode=2, mtime_ns=3, size_bytes=4)
OTHER = replace(STAT, mtime_ns=5)


def settings(text: str) -> Settings:
    """Return the settings of a file with one service and ``text`` above it."""
    service = "services: {a: {versions: {one: {endpoints: ['http://a']}}}}"
    return loads(f"{text}\n{service}\n".encode(), "a.yaml", {}).settings


def test_a_change_counts_once_two_polls_agree() -> None:
    """A file that is still being written is not read."""
    watcher, reload = Watcher(STAT).observe(OTHER)
    assert not reload

    watcher, reload = watcher.observe(replace(OTHER, size_bytes=9))
    assert not reload
    watcher, reload = watcher.observe(replace(OTHER, size_bytes=9))
    assert reload
    assert watcher.observe(replace(OTHER, size_bytes=9)) == (watcher, False)


def test_a_missing_file_changes_nothing() -> None:
    """Between two names of an atomic replacement there may be none."""
    watcher, reload = Watcher(STAT).observe(None)

    assert not reload
    assert watcher.observe(STAT) == (Watcher(STAT), False)


@given(st.lists(st.sampled_from([None, STAT, OTHER])))
def test_a_reload_follows_only_from_a_stable_new_file(
    seen: list[FileStat | None],
) -> None:
    """Whatever was polled: a reload means the last two polls agree and are new."""
    watcher = Watcher(STAT)
    before: FileStat | None = None
    for stat in seen:
        applied = watcher.applied
        watcher, reload = watcher.observe(stat)
        if reload:
            assert stat is not None
            assert stat == before != applied
            assert watcher.applied == stat
        before = stat


def test_the_stat_follows_a_swapped_symlink(tmp_path: Path) -> None:
    """A ConfigMap mount swaps a directory's symlink: the file looks new."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.yaml").write_text("same")
    link = tmp_path / "data"
    link.symlink_to("old")
    before = read_stat(link / "a.yaml")

    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").replace(link)

    assert before is not None
    assert read_stat(link / "a.yaml") not in (None, before)
    assert read_stat(tmp_path / "none") is None
    assert read_stat(os.fsdecode(b"a\0b")) is None


def test_keys_that_need_a_restart_are_named() -> None:
    """Only what the process tree is built on is named, in the file's order."""
    old = settings("listen: 127.0.0.1:1")
    new = settings("state_dir: x\nworkers: 2\nlimits: {fields: 50}")

    assert restart_keys(old, new) == ("listen", "workers", "state_dir")
    assert restart_keys(old, old) == ()
    assert restart_keys(old, settings("listen: [127.0.0.1:1]")) == ()
