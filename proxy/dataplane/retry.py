"""
When an attempt is made again, and where.

Again only what cannot do harm twice: nothing was processed (the connection
failed), or the method is idempotent (RFC 9110 section 9.2.2) and the whole body
so far is at hand. One more attempt, after a random moment, inside the version's
budget: a share of its requests. A failed canary attempt goes to stable where
``shield`` is on, at once, and is charged to the canary all the same; what stable
takes for others has a budget of its own: a share of the service's requests.
"""

from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.dataplane import expiry
from proxy.model.vocabulary import Flag
from proxy.telemetry.layout import C_RETRY_OVER_BUDGET, C_ROUTED, C_SHIELDED

if TYPE_CHECKING:
    from proxy.dataplane.bound import BoundService, BoundVersion
    from proxy.dataplane.budget import Budget
    from proxy.dataplane.exchange import Exchange

IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
REPLAY_BYTES_MAX: Final = 65_536
"""Body bytes kept for another attempt (Linkerd's limit)."""

BACKOFF_S: Final = 0.025
BACKOFF_S_MAX: Final = 0.25
"""The same version is asked again after up to so long, doubled each time: full
jitter with Envoy's base interval and its cap of ten times that."""

STALE_S_MIN: Final = 0.9
"""A connection that idled for so long may be ended by its origin at any time; no
origin keeps them for less. A tenth of a second under the shortest, 1 s, because
the worker's clock is that coarse."""
STALE_END_S_MAX: Final = 1.0
"""An end that crossed our request comes within a round trip."""

NOT_PROCESSED: Final = frozenset({Flag.UF, Flag.UCT})
CONDITIONS: Final = {
    Flag.UF: "connect_failure",
    Flag.UCT: "connect_failure",
    Flag.UC: "reset",
    Flag.UR: "reset",
    Flag.UPE: "502",
    Flag.UT: "504",
    Flag.UO: "overflow",
    Flag.UH: "no_endpoint",
}
"""Flags that can be tried again, as ``retries.on`` spells them: an answer that is
malformed or late counts like the status that the user would get (as in Envoy). The
last two are not among its words: only stable's answer can help there."""
UNASKED: Final = frozenset({"overflow", "no_endpoint"})
"""Nobody was asked: stable's is the first attempt that is made, and needs no
budget."""
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
    exchange.lose(status, exchange.first_s)
    return _again(exchange, str(status), idempotent=True)


def is_shielded(exchange: "Exchange") -> bool:
    """Whether stable would answer if the present attempt failed."""
    idempotent = exchange.request.method in IDEMPOTENT
    target = _target(exchange, "", idempotent=idempotent)
    return target is not None


def is_stale(exchange: "Exchange") -> bool:
    """
    Whether an attempt failed of nothing but a connection that was too old.

    The keep-alive race (RFC 9112 section 9.3.1): the origin ended an idle
    connection while our request was on its way. Nothing was processed, and it is
    nobody's failure: an idle canary would lose by it against a busy stable.
    """
    upstream = exchange.upstream
    if upstream is None or exchange.first_s or exchange.anew:
        return False
    if exchange.request.method not in IDEMPOTENT or exchange.replay is None:
        return False
    sent_s, idle_since = exchange.sent_s, upstream.idle_since
    return (
        idle_since > 0
        and sent_s - idle_since >= STALE_S_MIN
        and monotonic() - sent_s <= STALE_END_S_MAX
    )


def _again(exchange: "Exchange", condition: str, *, idempotent: bool) -> bool:
    target = _where(exchange, condition, idempotent=idempotent)
    if target is None:
        return False
    same = target is exchange.version
    if condition not in UNASKED:
        _budget(exchange, target).spend()
    if not same:
        exchange.worker.words[exchange.version.cell + C_SHIELDED] += 1
        exchange.shielded = True
    if exchange.tee is not None:
        exchange.tee.lost()
    exchange.version = target
    exchange.response = None
    exchange.first_s = 0.0
    exchange.held = b""
    exchange.upstream_stalled = False
    if same:
        exchange.wait(_backoff_s(exchange))
    else:
        exchange.attempt()
    return True


def _backoff_s(exchange: "Exchange") -> float:
    """Return how long the version is left in peace, by chance (full jitter)."""
    longest_s: float = min(BACKOFF_S * 2 ** (exchange.attempts - 1), BACKOFF_S_MAX)
    return exchange.worker.chance.random() * longest_s


def _where(
    exchange: "Exchange", condition: str, *, idempotent: bool
) -> "BoundVersion | None":
    """Return the version that takes the next attempt, or None."""
    target = _target(exchange, condition, idempotent=idempotent)
    if target is None:
        return None
    if condition in UNASKED:
        return target
    earn(exchange.service, exchange.worker.words)
    if _budget(exchange, target).tokens < 1:
        cell = exchange.version.cell
        exchange.worker.words[cell + C_RETRY_OVER_BUDGET] += 1
        return None
    return target


def earn(service: "BoundService", words: memoryview) -> None:
    """Bring a service's budgets up to this moment."""
    share = service.service.retries.budget
    now_s = monotonic()
    total = 0
    for version in service.versions:
        routed = words[version.cell + C_ROUTED]
        total += routed
        version.state.retries.earn(routed, share, now_s)
    if service.stable is not None:
        service.stable.state.shielding.earn(total, share, now_s)


def _budget(exchange: "Exchange", target: "BoundVersion") -> "Budget":
    """Return whose tokens an attempt at ``target`` takes."""
    state = target.state
    return state.retries if target is exchange.version else state.shielding


def _target(
    exchange: "Exchange", condition: str, *, idempotent: bool
) -> "BoundVersion | None":
    """Return who would take the next attempt if the budget allows one."""
    rule = exchange.service.service.retries
    if exchange.attempts > max(rule.attempts, int(rule.shield)):
        return None
    if exchange.replay is None or exchange.request.upgrade:
        return None
    if expiry.first_byte_s(exchange) <= monotonic():
        return None
    version = exchange.version
    stable = exchange.service.stable
    if rule.shield and idempotent and version.is_canary and exchange.attempts == 1:
        return stable
    if exchange.attempts <= rule.attempts and condition in rule.on:
        return version
    return None
