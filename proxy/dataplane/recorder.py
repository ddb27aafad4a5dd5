"""
What is added to the slab when something happened to a request.

Every function is a handful of increments in the worker's own region. Live
figures count every request; *evidence* counts first attempts that could have
gone either way, in the epoch that routed them. The worker's own fail-fast trip
lives here too, because it looks at the same outcomes.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.model.buckets import bucket_of
from proxy.model.vocabulary import CODE_COUNT, FLAG_CODE_BASE, Flag
from proxy.model.witnesses import FAILED_STATUS_MIN
from proxy.routing.table import FailFast
from proxy.telemetry.layout import (
    B_CENSORED,
    B_CODES,
    B_LATENCY,
    B_ROUTED,
    B_TTFB,
    C_AGAIN,
    C_AGAIN_FAILED,
    C_ATTEMPTS,
    C_BYTES_IN,
    C_BYTES_OUT,
    C_FLAGS,
    C_LATENCY,
    C_LATENCY_SUM_US,
    C_REQUESTS,
    C_RETRY_FAILED,
    C_RETRY_OK,
    C_ROUTED,
    C_TTFB,
    C_TTFB_SUM_US,
    CELL_WORDS,
    RS_LATE,
    RS_TRIP,
    S_FLOOR,
    S_SLOW,
)

if TYPE_CHECKING:
    from proxy.dataplane.bound import BoundService, BoundVersion, VersionState
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.pool import Pool

ERROR_STATUS_MIN: Final = 500
NO_STATUS: Final = 0
"""Counted as the user's status when the user got none."""
NOT_TIMED: Final = -1
"""Stands for the bucket of what no histogram has."""
US: Final = 1_000_000


class Failure(NamedTuple):
    """
    What became of an attempt: at which version and endpoint, by which code.

    ``reason`` is what the client was told, where that was of its own making.
    """

    version: str
    pool: "Pool | None"
    code: int
    reason: str = ""


def routed(exchange: "Exchange") -> None:
    """Count a live request's assignment to a version."""
    words = exchange.worker.words
    cell = exchange.version.cell
    words[cell + C_ROUTED] += 1
    if exchange.route:
        words[cell + exchange.route * CELL_WORDS + C_ROUTED] += 1
    if exchange.evidence:
        for bank in exchange.evidence:
            words[bank + B_ROUTED] += 1


def answered(exchange: "Exchange", now_s: float) -> None:
    """Count a complete answer that the user got."""
    version = exchange.version
    response = exchange.response
    assert response is not None
    words = exchange.worker.words
    status = response.status
    cell = version.cell
    words[cell + C_REQUESTS + status] += 1
    words[cell + C_ATTEMPTS + status] += 1
    words[cell + C_BYTES_OUT] += exchange.answer_bytes
    words[cell + C_BYTES_IN] += exchange.body_bytes
    first = exchange.attempts == 1
    latency = ttfb = NOT_TIMED
    if first and status < ERROR_STATUS_MIN and not response.stream:
        sent_s = exchange.sent_s
        latency_us = int((now_s - sent_s - exchange.stalled_s) * US)
        ttfb_us = int((exchange.first_s - sent_s) * US)
        if latency_us < 0 or ttfb_us < 0:  # answered before it was asked all
            latency_us, ttfb_us = max(latency_us, 0), max(ttfb_us, 0)
        latency = ttfb = bucket_of(latency_us)
        if ttfb_us != latency_us:  # equal where all came in one read
            ttfb = bucket_of(ttfb_us)
        words[cell + C_LATENCY + latency] += 1
        words[cell + C_LATENCY_SUM_US] += latency_us
        words[cell + C_TTFB + ttfb] += 1
        words[cell + C_TTFB_SUM_US] += ttfb_us
        if exchange.route:
            at = cell + exchange.route * CELL_WORDS
            words[at + C_LATENCY + latency] += 1
            words[at + C_LATENCY_SUM_US] += latency_us
            words[at + C_TTFB + ttfb] += 1
            words[at + C_TTFB_SUM_US] += ttfb_us
    if exchange.route:
        at = cell + exchange.route * CELL_WORDS
        words[at + C_REQUESTS + status] += 1
        words[at + C_ATTEMPTS + status] += 1
        words[at + C_BYTES_OUT] += exchange.answer_bytes
        words[at + C_BYTES_IN] += exchange.body_bytes
    if not first:
        _again(exchange, ok=1, failed=status >= ERROR_STATUS_MIN)
        return
    if exchange.evidence:
        _witness(exchange, status, now_s, latency, ttfb)
    if version.is_canary and exchange.judged:
        judge_outcome(exchange, failed=status >= ERROR_STATUS_MIN)


def attempt_failed(exchange: "Exchange", code: int, now_s: float) -> None:
    """
    Count an attempt that ended without a usable answer.

    ``code`` is ``FLAG_CODE_BASE`` plus a flag, or the status of an answer that
    was thrown away because the request is tried again.
    """
    words = exchange.worker.words
    cell = exchange.version.cell
    cells = [cell]
    if exchange.route:
        cells.append(cell + exchange.route * CELL_WORDS)
    for at in cells:
        words[at + C_ATTEMPTS + code] += 1
        if code >= FLAG_CODE_BASE:
            words[at + C_FLAGS + code - FLAG_CODE_BASE] += 1
    exchange.trail += (Failure(exchange.version.name, exchange.pool, code),)
    if exchange.attempts > 1:
        _again(exchange, ok=0, failed=True)
    else:
        if exchange.evidence:
            _witness(exchange, code, now_s, NOT_TIMED, NOT_TIMED)
        if exchange.judged and exchange.version.is_canary:
            flag = code - FLAG_CODE_BASE
            connect = flag in (Flag.UF, Flag.UCT)
            # No endpoint is left because none could be connected to: go on counting.
            if flag == Flag.UH:
                connect = exchange.version.state.connect_failures > 0
            judge_outcome(exchange, failed=True, connect=connect)


def _again(exchange: "Exchange", *, ok: int, failed: bool) -> None:
    """Mark an attempt as not the first: no rate of its version has it."""
    words = exchange.worker.words
    words[exchange.version.cell + C_RETRY_OK] += ok
    cells = [exchange.version.cell]
    if exchange.route:
        cells.append(cells[0] + exchange.route * CELL_WORDS)
    for cell in cells:
        words[cell + C_AGAIN] += 1
        words[cell + C_AGAIN_FAILED] += failed


def replied(exchange: "Exchange", status: int) -> None:
    """Count an answer that the proxy made for a version that gave none."""
    words = exchange.worker.words
    cell = exchange.version.cell
    words[cell + C_REQUESTS + status] += 1
    if exchange.route:
        words[cell + exchange.route * CELL_WORDS + C_REQUESTS + status] += 1
    if exchange.attempts > 1:
        words[cell + C_RETRY_FAILED] += 1


def client_gone(
    exchange: "Exchange", flag: Flag, now_s: float, reason: str = ""
) -> None:
    """Count a request whose client went away, or broke the protocol."""
    given_up(exchange, flag, NO_STATUS, now_s, reason)


def given_up(
    exchange: "Exchange", flag: Flag, status: int, now_s: float, reason: str = ""
) -> None:
    """
    Count a request that ended early by nobody's error.

    ``status`` is what the user got. If it was already older than a threshold,
    it was slower than that, whatever became of it.
    """
    words = exchange.worker.words
    cells = [exchange.version.cell]
    if exchange.route:
        cells.append(cells[0] + exchange.route * CELL_WORDS)
    for cell in cells:
        words[cell + C_REQUESTS + status] += 1
        words[cell + C_FLAGS + flag] += 1
    code = FLAG_CODE_BASE + flag
    exchange.trail += (Failure(exchange.version.name, exchange.pool, code, reason),)
    if exchange.evidence and exchange.attempts == 1:
        _witness(exchange, NO_STATUS, now_s, NOT_TIMED, NOT_TIMED)


def _witness(
    exchange: "Exchange", code: int, now_s: float, latency: int, ttfb: int
) -> None:
    """Record one piece of evidence; the buckets are NOT_TIMED for no good answer."""
    worker = exchange.worker
    words = worker.words
    service = exchange.service
    shared, base = worker.shared, service.base
    if exchange.epoch < shared[base + S_FLOOR]:
        words[service.region + RS_LATE] += 1
        return
    if code >= FAILED_STATUS_MIN or 0 < shared[base + S_SLOW] <= latency:
        silence(exchange)
    for bank in exchange.evidence:
        words[bank + B_CODES + code] += 1
        if latency >= 0:
            words[bank + B_LATENCY + latency] += 1
            words[bank + B_TTFB + ttfb] += 1
        elif exchange.response is None or not exchange.response.stream:
            since_s = exchange.sent_s or exchange.started_s
            age_us = int((now_s - since_s - exchange.stalled_s) * US)
            words[bank + B_CENSORED + bucket_of(max(age_us, 0))] += 1


def silence(exchange: "Exchange") -> None:
    """Hear the unit of a failed or slow request not for ``FAILED_AGAIN_S``."""
    if exchange.unit:
        worker = exchange.worker
        worker.seen[exchange.version.seen + exchange.bucket] = worker.ahead or 1


# --- fail-fast ---


def judge_outcome(exchange: "Exchange", *, failed: bool, connect: bool = False) -> None:
    """Note a canary attempt's outcome and trip where fail-fast says so."""
    rule = exchange.service.service.fail_fast
    if rule is None:
        return
    state = exchange.version.state
    if exchange.epoch != state.epoch:
        if exchange.epoch < state.epoch:
            return
        state.begin_epoch(exchange.epoch)
    mask = (1 << rule.requests) - 1
    stable = exchange.service.stable
    words = exchange.worker.words
    first = not (state.outcomes or state.connect_failures)
    if failed and first and stable is not None:
        state.stable_mark = attempts_of(stable, words)
    state.outcomes = ((state.outcomes << 1) | failed) & mask
    state.outcomes_seen += 1
    if not failed:
        state.connect_failures = 0
        return
    state.connect_failures = state.connect_failures + 1 if connect else 0
    if must_trip(rule, state, stable, words):
        trip(exchange.service, exchange.epoch, words)
        state.connect_failures = 0  # should control clear it, five more are needed


def must_trip(
    rule: FailFast,
    state: "VersionState",
    stable: "BoundVersion | None",
    words: memoryview,
) -> bool:
    """
    Whether the canary alone fails, by the rule of the contract.

    Stable is looked at since the first of the canary's failures that count: what
    it did well before says nothing about now.
    """
    rate = 1.0
    if state.connect_failures < rule.consecutive_connect_failures:
        if state.outcomes_seen < rule.requests:
            return False
        rate = state.outcomes.bit_count() / rule.requests
        if rate < rule.error_rate:
            return False
    if stable is None:
        return True
    total, errors = attempts_of(stable, words)
    since = total - state.stable_mark[0]
    if since > 0:
        return (errors - state.stable_mark[1]) / since < rate / 2
    if state.outcomes_seen < rule.requests:
        return False  # stable was not asked yet: one of the next failures tells
    return error_rate_lately(stable, words) < rate / 2


def trip(service: "BoundService", epoch: int, words: memoryview) -> None:
    """Put the canary to zero in this worker, for the rest of the epoch."""
    words[service.region + RS_TRIP] = epoch


def error_rate_lately(version: "BoundVersion", words: memoryview) -> float:
    """Return the share of failed attempts in the last one to two seconds."""
    total, errors = attempts_of(version, words)
    seen_total, seen_errors = version.state.failures_before
    if total <= seen_total:
        return 0.0
    return (errors - seen_errors) / (total - seen_total)


def attempts_of(version: "BoundVersion", words: memoryview) -> tuple[int, int]:
    """Return the first attempts of a version in this worker, and those that failed."""
    cell = version.cell
    at = cell + C_ATTEMPTS
    codes = words[at : at + CODE_COUNT].tolist()
    failed = sum(codes[ERROR_STATUS_MIN:]) - words[cell + C_AGAIN_FAILED]
    return sum(codes) - words[cell + C_AGAIN], failed
