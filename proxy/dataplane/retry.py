"""
When an attempt is made again, and where.

Again only what cannot do harm twice: nothing was processed (the connection
failed), or the method is idempotent (RFC 9110 section 9.2.2) and the whole body
so far is at hand. One more attempt, inside the version's budget. A failed
canary attempt goes to stable where ``shield`` is on, and is charged to the
canary all the same.
"""

from typing import TYPE_CHECKING, Final

from proxy.dataplane import recorder
from proxy.model.vocabulary import Flag
from proxy.telemetry.layout import C_RETRY_OVER_BUDGET, C_SHIELDED

if TYPE_CHECKING:
    from proxy.dataplane.bound import BoundVersion
    from proxy.dataplane.exchange import Exchange

IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
REPLAY_BYTES_MAX: Final = 65_536
"""Body bytes kept for another attempt (Linkerd's limit)."""

NOT_PROCESSED: Final = frozenset({Flag.UF, Flag.UCT})
CONDITIONS: Final = {
    Flag.UF: "connect_failure",
    Flag.UCT: "connect_failure",
    Flag.UC: "reset",
    Flag.UR: "reset",
    Flag.UT: "timeout",
}
"""Flags that can be tried again, as ``retries.on`` spells them."""
GATEWAY_STATUSES: Final = frozenset({502, 503, 504})


def again(exchange: "Exchange", flag: Flag) -> bool:
    """Make another attempt after one that failed with ``flag``, if allowed."""
    condition = CONDITIONS.get(flag)
    if condition is None or exchange.down is None:
        return False
    idempotent = exchange.request.method in IDEMPOTENT
    if not idempotent and flag not in NOT_PROCESSED:
        return False
    return _again(exchange, condition, idempotent=idempotent)


def discard(exchange: "Exchange", status: int) -> bool:
    """Drop an error answer of the origin for another attempt, if allowed."""
    if status not in GATEWAY_STATUSES or exchange.request.method not in IDEMPOTENT:
        return False
    if _where(exchange, str(status), idempotent=True) is None:
        return False
    recorder.attempt_failed(exchange, status, exchange.first_s)
    exchange.let_go()
    return _again(exchange, str(status), idempotent=True)


def _again(exchange: "Exchange", condition: str, *, idempotent: bool) -> bool:
    version = _where(exchange, condition, idempotent=idempotent)
    if version is None:
        return False
    exchange.version.state.retry_tokens -= 1
    if version is not exchange.version:
        exchange.worker.words[exchange.version.cell + C_SHIELDED] += 1
        exchange.shielded = True
    exchange.version = version
    exchange.response = None
    exchange.first_s = 0.0
    exchange.held = b""
    exchange.upstream_stalled = False
    exchange.attempt()
    return True


def _where(
    exchange: "Exchange", condition: str, *, idempotent: bool
) -> "BoundVersion | None":
    """Return the version that takes the next attempt, or None."""
    rule = exchange.service.service.retries
    if exchange.attempts > max(rule.attempts, int(rule.shield)):
        return None
    if exchange.replay is None or exchange.request.upgrade:
        return None
    version = exchange.version
    stable = exchange.service.stable
    target: BoundVersion | None = None
    if rule.shield and idempotent and version.is_canary and exchange.attempts == 1:
        target = stable
    elif exchange.attempts <= rule.attempts and condition in rule.on:
        target = version
    if target is None:
        return None
    if version.state.retry_tokens < 1:
        exchange.worker.words[version.cell + C_RETRY_OVER_BUDGET] += 1
        return None
    return target
