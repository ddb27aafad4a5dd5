"""
Which endpoint of a version takes the next attempt, and which is left out.

An endpoint that failed ``FAILURES_MAX`` times in a row is left out for a while;
then one request tries it, and a failure leaves it out for twice as long. What an
active check found down is left out as well. The last one left is never left out,
because asking it can only help; a canary's is for requests that stable can answer
instead, and for no others.

An ordinary request of a version with one endpoint never comes here: lists are
made anew when something changes, not when somebody chooses.
"""

from typing import TYPE_CHECKING, Final

from proxy.dataplane import retry
from proxy.dataplane.pool import Pool, least_loaded
from proxy.telemetry import layout

if TYPE_CHECKING:
    from proxy.dataplane.bound import BoundService, BoundVersion
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.worker import Worker

FAILURES_MAX: Final = 5
"""In a row; one more and the endpoint is left out (Envoy's consecutive_5xx)."""
OUT_S_MIN: Final = 1.0
OUT_S_MAX: Final = 60.0
"""How long it is left out the first time, and at most (Linkerd's penalties)."""
JITTER: Final = 0.2
"""Up to so much longer by chance, so that workers do not probe together."""

PATIENCE_S: Final = 10.0
"""How long a trial waits for a request that may be sent again; then any will do."""


def choose(exchange: "Exchange") -> Pool | None:
    """Return the endpoint of the next attempt; None if stable should answer."""
    version = exchange.version
    pools = version.pools or _pools_of_a_bad_canary(exchange)
    if not pools:
        return None
    trail = exchange.trail
    if trail and len(pools) > 1:
        tried = {failure.pool for failure in trail}
        pools = [pool for pool in pools if pool not in tried] or pools
    chance = exchange.worker.chance
    pool = least_loaded(pools, chance)
    if not pool.on_trial:
        return pool
    sure = [one for one in pools if not one.on_trial]
    if sure and exchange.request.method not in retry.IDEMPOTENT:
        waited_s = exchange.worker.now_s - pool.out_until_s
        if waited_s < PATIENCE_S:
            return least_loaded(sure, chance)
    pool.on_trial = False
    pool.prober = exchange
    refresh(version)
    return pool


def _pools_of_a_bad_canary(exchange: "Exchange") -> list[Pool]:
    """Return whom to ask of a canary without a good endpoint; nobody if shielded."""
    every = exchange.version.every
    if not retry.is_shielded(exchange):
        return every
    return [pool for pool in every if pool.on_trial and not pool.down][:1]


def failed(exchange: "Exchange", pool: Pool) -> None:
    """Count a failure of an endpoint, and leave it out where that says so."""
    pool.failures += 1
    now_s = exchange.worker.now_s
    if pool.out_until_s:
        if pool.prober is exchange or pool.on_trial:
            _leave_out(exchange, pool, now_s)
    elif pool.failures >= FAILURES_MAX and _is_dispensable(exchange, pool):
        _leave_out(exchange, pool, now_s)


def _is_dispensable(exchange: "Exchange", pool: Pool) -> bool:
    """Whether somebody else can answer: another endpoint, or stable."""
    version, service = exchange.version, exchange.service
    if any(one is not pool and one.is_open for one in version.every):
        return True
    shield = service.service.retries.shield
    return shield and version.is_canary and service.stable is not None


def succeeded(exchange: "Exchange", pool: Pool) -> None:
    """Note that an endpoint with failures answered well."""
    if pool.out_until_s:
        if not (pool.prober is exchange or pool.on_trial):
            return  # it was asked before it was left out
        pool.back_s = exchange.worker.now_s
        pool.out_until_s = 0.0
        pool.on_trial = False
        pool.prober = None
    pool.failures = 0
    refresh(exchange.version)


def _leave_out(exchange: "Exchange", pool: Pool, now_s: float) -> None:
    if not pool.out_until_s and now_s - pool.back_s > OUT_S_MAX:
        pool.outs = 0  # it did well for long
    out_s = min(OUT_S_MIN * 2**pool.outs, OUT_S_MAX)
    pool.outs = min(pool.outs + 1, 16)
    pool.out_until_s = now_s + out_s * (1 + JITTER * exchange.worker.chance.random())
    pool.on_trial = False
    pool.prober = None
    refresh(exchange.version)


def refresh(version: "BoundVersion") -> None:
    """List anew which endpoints may be asked."""
    up = [pool for pool in version.every if not pool.down]
    pools = [pool for pool in up if not pool.out_until_s or pool.on_trial]
    if version.is_canary:
        # A trial is one request's: where nobody else is there, all have to ask.
        sure = any(not pool.on_trial for pool in pools)
        version.pools = pools if sure else []
    else:
        version.pools = pools or up or version.every


def review(service: "BoundService", worker: "Worker") -> None:
    """Let time pass: whose time is over is tried; checks are read."""
    now_s = worker.now_s
    for version in service.versions:
        changed = _read_checks(version, worker, service.base)
        out = False
        for pool in version.every:
            if pool.out_until_s:
                _review(pool, now_s)
                out = True
        # Once more after the last came back, maybe by a request of an older table.
        if changed or out or version.impaired:
            refresh(version)
        version.impaired = out


def _review(pool: Pool, now_s: float) -> None:
    prober = pool.prober
    if prober is not None and prober.pool is not pool:
        pool.prober = None  # it ended without telling anything
    if pool.prober is None and pool.out_until_s <= now_s:
        pool.on_trial = True


def _read_checks(version: "BoundVersion", worker: "Worker", base: int) -> bool:
    """Take over what control's checks found; a word for others is ignored."""
    word = 0
    if version.check_tag:
        word = worker.shared[base + layout.S_CHECKS + version.index]
    if word == version.check_word:
        return False
    version.check_word = word
    bits = 0
    if word >> layout.CHECK_TAG_SHIFT == version.check_tag:
        bits = word & layout.CHECK_BITS_MASK
    for number, pool in enumerate(version.every):
        pool.down = bool(bits >> number & 1)
    return True
