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
from proxy.telemetry.pairs import F_SAMPLED, HEAD

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
LATENCY_S_MAX: Final = 4_000.0
"""What fits a record; a leg's timeout is far below."""
ABSENT: Final = int(Outcome.ABSENT)
NOTHING: Final[list[bytes | bytearray]] = [b"", b"", b""]
"""What a closed pair keeps; never changed."""


class Pair:
    """
    The answers to one request; ``waiting`` legs have not ended yet.

    ``figures`` are the record's, four a leg: outcome, ended, latency in µs, size.
    """

    __slots__ = (
        "_at_s",
        "_cell",
        "_cut",
        "_figures",
        "_flags",
        "_generation",
        "_kept_bytes",
        "_open",
        "_raws",
        "_slot",
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
        self._at_s = exchange.started_s
        self._flags = F_SAMPLED if sampled else 0
        self._waiting = places
        self._open = True
        self._cut = 0
        self._raws: list[bytes | bytearray] = [b"", b"", b""]
        self._figures = [ABSENT, 0, 0, 0, ABSENT, 0, 0, 0, ABSENT, 0, 0, 0]
        self._kept_bytes = 0
        self.request = b""
        self.body = b""

    def keep(self, place: int, data: bytes) -> None:
        """Keep bytes of a leg's answer, within the bounds."""
        if not self._open or self._cut >> place & 1:
            return
        raw = self._raws[place]
        size = len(data)
        if len(raw) + size > LEG_BYTES_MAX:
            if not raw:
                self._raws[place] = data
                self._count(size)
            self.cut(place)
            return
        if self._worker.kept_bytes + size > KEPT_BYTES_MAX:
            self.give_up(PairOutcome.SKIPPED_MEMORY)
            return
        if not raw:
            self._raws[place] = data
        else:
            grown = raw if isinstance(raw, bytearray) else bytearray(raw)
            grown += data
            self._raws[place] = grown
        self._kept_bytes += size
        self._worker.kept_bytes += size

    def cut(self, place: int) -> None:
        """Keep only the head of an answer: it is too large for more."""
        if not self._open:
            return
        raw = self._raws[place]
        self._raws[place] = head = raw[:HEAD_KEPT_BYTES]
        self._count(len(head) - len(raw))
        self._cut |= 1 << place

    def ended(
        self, place: int, outcome: Outcome, seconds: float, *, clean: bool = False
    ) -> None:
        """Note that a leg ended, and how; the last one hands the pair over."""
        if not self._open:
            return
        if self._cut >> place & 1 and outcome is Outcome.ANSWERED:
            outcome = Outcome.TOO_LARGE
        figures = self._figures
        at = place * 4
        figures[at] = outcome
        figures[at + 1] = clean
        figures[at + 2] = int(seconds * US) if 0 < seconds < LATENCY_S_MAX else 0
        figures[at + 3] = len(self._raws[place])
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
        request, body = self.request, self.body
        first, second, third = self._raws
        size = HEAD.size + len(request) + len(body)
        head = HEAD.pack(
            size + len(first) + len(second) + len(third),
            self._slot,
            self._flags,
            0,
            self._generation,
            self._at_s,
            len(request),
            len(body),
            *self._figures,
        )
        taken = self._worker.ring.write((head, request, body, first, second, third))
        outcome = PairOutcome.HANDED if taken else PairOutcome.SKIPPED_QUEUE
        self._worker.words[self._cell + C_PAIRS + outcome] += 1
        self._close()

    def _close(self) -> None:
        self._open = False
        self._worker.kept_bytes -= self._kept_bytes
        self._kept_bytes = 0
        self._raws = NOTHING

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
