"""
Deadlines of an exchange: when they pass, and whose fault it is then.

Only ``connect``, ``attempt`` and ``first_byte`` are the version's; a client that
stops sending or reading, a body that stalls, and the limit of the whole request
are charged to nobody. Times are seconds of the monotonic clock.
"""

from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.dataplane import recorder, upload
from proxy.dataplane.replies import FAILURES
from proxy.http1.refusals import SLOW_HEAD
from proxy.model.vocabulary import Flag

if TYPE_CHECKING:
    from proxy.dataplane.exchange import Exchange

NEVER: Final = float("inf")


def first_byte_s(exchange: "Exchange") -> float:
    """Return until when any attempt's first byte must have come."""
    limit_s = exchange.service.timeouts.first_byte
    if limit_s is None:
        return NEVER
    return (exchange.sent_s or exchange.started_s) + limit_s


def out_of_time(exchange: "Exchange") -> None:
    """Act on the passed limit of the whole request: not the version's fault."""
    down = exchange.down
    if exchange.tunnel or down is None:
        exchange.total_s = NEVER
        return
    if exchange.head_sent:
        recorder.given_up(exchange, Flag.UT, exchange.status, monotonic())
        exchange.let_go()
        exchange.finish()
        down.reset()
    else:
        status = FAILURES[Flag.UT][0]
        recorder.given_up(exchange, Flag.UT, status, monotonic())
        exchange.let_go()
        exchange.reply(Flag.UT)


def timed_out(exchange: "Exchange") -> None:
    """Act on a passed deadline; what it means depends on who is waited for."""
    down = exchange.down
    if exchange.tunnel or down is None:
        exchange.let_go()
        exchange.finish()
        if down is not None:
            down.close()
    elif not exchange.head_sent:
        if exchange.body_done or exchange.connecting or exchange.upstream_stalled:
            exchange.fail(Flag.UT)
        else:
            upload.refuse(exchange, SLOW_HEAD)
    elif exchange.stalled_from_s:
        recorder.client_gone(exchange, Flag.DT, monotonic())
        exchange.let_go()
        exchange.finish()
        down.reset()
    else:
        recorder.given_up(exchange, Flag.SI, exchange.status, monotonic())
        exchange.let_go()
        exchange.finish()
        down.reset()
