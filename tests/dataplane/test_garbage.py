"""Garbage: what is new is looked at once, what survives is left alone."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.dataplane import garbage


@pytest.fixture
def looked_after() -> Iterator[garbage.Garbage]:
    """Return it begun; afterwards the collector is what it was."""
    thresholds, callbacks = gc.get_threshold(), list(gc.callbacks)
    one = garbage.Garbage()
    one.begin()
    yield one
    gc.callbacks[:] = callbacks
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def collections() -> list[int]:
    """Return how often each generation was collected."""
    return [generation["collections"] for generation in gc.get_stats()]


def test_survivors_are_looked_at_once(looked_after: garbage.Garbage) -> None:
    """However many connections there are, a collection sees only new objects."""
    before = collections()
    kept: list[list[int]] = []
    longest = 0
    for number in range(10 * garbage.NEW_MAX):
        kept.append([number])
        longest = max(longest, gc.get_count()[0])

    young, middle, old = (
        now - was for now, was in zip(collections(), before, strict=True)
    )
    assert young >= 9
    assert (middle, old) == (0, 0)
    assert longest <= garbage.NEW_MAX + 1
    assert gc.get_freeze_count() >= 9 * garbage.NEW_MAX
    assert looked_after is not None


def test_new_cycles_are_collected(looked_after: garbage.Garbage) -> None:
    """What was never set aside is found at once."""
    assert looked_after is not None
    for _ in range(10 * garbage.NEW_MAX):
        cycle: list[Any] = []
        cycle.append(cycle)

    assert len(gc.get_objects(generation=0)) <= 2 * garbage.NEW_MAX


def test_old_cycles_are_collected_when_few_are_connected(
    looked_after: garbage.Garbage,
) -> None:
    """Not before there are many, and not while anybody would have to wait."""
    cycles: list[list[Any]] = [[] for _ in range(garbage.UNEXPLAINED_MAX)]
    gc.collect()
    for cycle in cycles:
        cycle.append(cycle)
    del cycle, cycles
    before = collections()[2]

    looked_after.look(100.0, garbage.QUIET_CONNECTIONS + 1)
    busy = collections()[2]
    extra = [[number] for number in range(1000)]
    gc.collect()
    counted = collections()[2]
    looked_after.look(100.0, 0)
    quiet = collections()[2]
    looked_after.look(100.0 + garbage.LOOK_S / 2, 0)
    looked_after.look(100.0 + garbage.LOOK_S, 0)

    assert (busy - before, quiet - counted) == (0, 1)
    assert collections()[2] == quiet
    assert gc.get_freeze_count() - looked_after._kept < garbage.UNEXPLAINED_MAX
    del extra
