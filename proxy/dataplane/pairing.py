"""
Answers to one request kept side by side, until they can be compared elsewhere.

A ``Pair`` collects the bytes of the live answer, of the candidate's and perhaps
of stable's second one, as they come over the wire, and hands them to the worker's
ring when the last has ended. Nothing is parsed, decoded or compared here. The
live answer is seen by a ``Tee`` that stands between the origin's connection and
the exchange: it looks on and passes everything through.

Whatever is in the way, a bound, an answer that is no answer, a stream, ends the
pair and not the exchange; it is counted with its reason.
"""

from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.model.vocabulary import PairOutcome
from proxy.parallel.values import Outcome
from proxy.telemetry.layout import C_PAIRS
from proxy.telemetry.pairs import Leg, Record

if TYPE_CHECKING:
    from proxy.dataplane.exchange import Exchange

LEG_BYTES_MAX: Final = 1_048_576
"""What is kept of one answer, head and framing included."""
HEAD_KEPT_BYTES: Final = 65_536
"""What is kept of an answer that turned out to be larger: its head is in it."""
KEPT_BYTES_MAX: Final = 67_108_864
"""What one worker keeps of all answers together."""

STABLE, CANDIDATE, SECOND = range(3)
"""Places of the legs."""

US: Final = 1_000_000


class Pair:
    """The answers to one request; ``waiting`` legs have not ended yet."""

    __slots__ = (
        "_cell",
        "_chunks",
        "_exchange_s",
        "_generation",
        "_kept_bytes",
        "_legs",
        "_open",
        "_sampled",
        "_sizes",
        "_slot",
        "_too_large",
        "_waiting",
        "_worker",
        "body",
        "request",
    )

    def __init__(self, exchange: "Exchange", *, places: int, sampled: bool) -> None:
        """``places``: how many legs there are; ``sampled``: see ``pairs.Record``."""
        self._worker = exchange.worker
        self._cell = exchange.service.mirror_cell
        self._slot = exchange.service.service.slot
        self._generation = exchange.table.table.generation
        self._exchange_s = exchange.started_s
        self._sampled = sampled
        self._waiting = places
        self._open = True
        self._chunks: tuple[list[bytes], list[bytes], list[bytes]] = ([], [], [])
        self._sizes = [0, 0, 0]
        self._too_large = [False, False, False]
        absent = Leg(Outcome.ABSENT, False, 0, b"")  # noqa: FBT003
        self._legs = [absent, absent, absent]
        self._kept_bytes = 0
        self.request = b""
        self.body = b""

    def keep(self, place: int, data: bytes) -> None:
        """Keep bytes of a leg's answer, within the bounds."""
        if not self._open or self._too_large[place]:
            return
        size = self._sizes[place] + len(data)
        if size > LEG_BYTES_MAX:
            if not self._chunks[place]:
                self._chunks[place].append(data)
                self._count(len(data))
            self.cut(place)
            return
        if self._worker.kept_bytes + len(data) > KEPT_BYTES_MAX:
            self.give_up(PairOutcome.SKIPPED_MEMORY)
            return
        self._sizes[place] = size
        self._chunks[place].append(data)
        self._count(len(data))

    def cut(self, place: int) -> None:
        """Keep only the head of an answer: it is too large for more."""
        chunks = self._chunks[place]
        head = b"".join(chunks)[:HEAD_KEPT_BYTES]
        self._count(len(head) - sum(map(len, chunks)))
        chunks[:] = (head,)
        self._too_large[place] = True

    def ended(
        self, place: int, outcome: Outcome, seconds: float, *, clean: bool = False
    ) -> None:
        """Note that a leg ended, and how; the last one hands the pair over."""
        if not self._open:
            return
        if outcome is Outcome.ANSWERED and self._too_large[place]:
            outcome = Outcome.TOO_LARGE
        raw = b"".join(self._chunks[place])
        self._legs[place] = Leg(outcome, clean, max(int(seconds * US), 0), raw)
        self._waiting -= 1
        if not self._waiting:
            self._hand_over()

    def give_up(self, reason: PairOutcome | None) -> None:
        """Keep nothing more; ``None`` where the reason was counted already."""
        if not self._open:
            return
        if reason is not None:
            self._worker.words[self._cell + C_PAIRS + reason] += 1
        self._close()

    def _hand_over(self) -> None:
        first, second, third = self._legs
        record = Record(
            self._slot,
            self._generation,
            self._exchange_s,
            self._sampled,
            self.request,
            self.body,
            (first, second, third),
        )
        taken = self._worker.hand_over(record)
        outcome = PairOutcome.HANDED if taken else PairOutcome.SKIPPED_QUEUE
        self._worker.words[self._cell + C_PAIRS + outcome] += 1
        self._close()

    def _close(self) -> None:
        self._open = False
        self._count(-self._kept_bytes)
        for chunks in self._chunks:
            chunks.clear()

    def _count(self, added_bytes: int) -> None:
        self._kept_bytes += added_bytes
        self._worker.kept_bytes += added_bytes


class Tee:
    """Looks on while a live exchange gets its answer (``upstream.Leg``)."""

    __slots__ = ("_clean", "_exchange", "_pair", "_place")

    def __init__(self, exchange: "Exchange", pair: Pair, place: int) -> None:
        self._exchange = exchange
        self._pair = pair
        self._place = place
        self._clean = False

    def upstream_data(self, data: bytes) -> None:
        """Keep bytes of the answer and pass them on."""
        exchange = self._exchange
        self._pair.keep(self._place, data)
        exchange.upstream_data(data)
        if exchange.down is None:
            self.finished()
        elif exchange.response is not None and exchange.response.stream:
            self.lost(PairOutcome.SKIPPED_STREAM)

    def upstream_ended(self, *, clean: bool) -> None:
        """Remember how the connection ended: it may be the answer's end."""
        self._clean = clean
        self._exchange.upstream_ended(clean=clean)

    def upstream_full(self) -> None:
        """Pass it on."""
        self._exchange.upstream_full()

    def upstream_ready(self) -> None:
        """Pass it on."""
        self._exchange.upstream_ready()

    def lets_pass(self, left_bytes: int) -> bool:
        """Whether so much of the answer may pass unseen: it is too large anyway."""
        if left_bytes <= LEG_BYTES_MAX:
            return False
        self._pair.cut(self._place)
        return True

    def finished(self) -> None:
        """The exchange is over: its answer is whole, or there is none to compare."""
        exchange = self._exchange
        if exchange.tee is not self:
            return
        exchange.tee = None
        if exchange.response is None or exchange.attempts != 1 or exchange.tunnel:
            self._pair.give_up(PairOutcome.SKIPPED_LIVE)
            return
        took_s = monotonic() - exchange.sent_s - exchange.stalled_s
        self._pair.ended(self._place, Outcome.ANSWERED, took_s, clean=self._clean)

    def lost(self, reason: PairOutcome = PairOutcome.SKIPPED_LIVE) -> None:
        """The answer will come by another way, or without an end: look no more."""
        self._exchange.tee = None
        self._pair.give_up(reason)
