"""Which unit comes back most: looks are halved, and the busiest is published."""

from types import SimpleNamespace
from typing import Any

from proxy.dataplane.repeats import LOOKS_MAX, Repeats
from proxy.telemetry.layout import C_TOP_BUCKET, C_TOP_HITS, C_TOP_LOOKS

VERSION: Any = SimpleNamespace(cell=0)


def look(repeats: Repeats, words: memoryview, bucket: int) -> tuple[int, int, int]:
    """Let routing note a unit, look, and return what is published."""
    repeats.last = bucket
    repeats.look(VERSION, words)
    return words[C_TOP_BUCKET], words[C_TOP_HITS], words[C_TOP_LOOKS]


def test_the_busiest_unit_is_published() -> None:
    """Not the last one; and a look that finds nobody changes nothing."""
    repeats, words = Repeats(), memoryview(bytearray(4096)).cast("Q")
    shown = [look(repeats, words, bucket) for bucket in (7, 7, 9, 7)]

    repeats.look(VERSION, words)

    assert shown[-1] == (7, 3, 4)
    assert (words[C_TOP_BUCKET], words[C_TOP_HITS]) == (7, 3)


def test_old_looks_fade() -> None:
    """Whoever was busy and is gone is overtaken; the table stays small."""
    repeats, words = Repeats(), memoryview(bytearray(4096)).cast("Q")
    for _ in range(LOOKS_MAX):
        look(repeats, words, 1)
    shown = [
        look(repeats, words, 2 if at % 2 else 1000 + at) for at in range(3 * LOOKS_MAX)
    ]

    assert shown[-1][0] == 2
    assert shown[-1][2] < LOOKS_MAX
