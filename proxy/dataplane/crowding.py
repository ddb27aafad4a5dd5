"""
What gives way when client connections run out.

From nine tenths of the limit on, whoever idles goes, the longest idle first, and a
new head gets half its time. A request that is on its way is never lost by it: a
connection on which something arrived is not idle.
"""

import fcntl
import heapq
import termios
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.dataplane.downstream import Downstream
    from proxy.dataplane.worker import Worker

CROWDED: Final = 0.9
"""The share of the connections from which on room is made."""
HURRY: Final = 0.5
"""The share of its time that a request head gets then."""
NOTHING: Final = bytes(4)
"""FIONREAD's count of unread bytes where there are none."""
LOOK_AGAIN_S: Final = 1.0
"""Until the next look after one that found too few idle: a look at 20 000
connections takes some milliseconds."""


def relieve(worker: "Worker") -> None:
    """Make room where there is little; called ten times a second."""
    allowed = ceil(worker.connections_max * CROWDED)
    if worker.connections < allowed:
        worker.head_s = worker.head_s_max
        return
    worker.head_s = worker.head_s_max * HURRY
    if worker.now_s < worker.crowded_until_s:
        return
    wanted = worker.connections - allowed + 1
    idle = [one for one in worker.wheel if one.served and one.is_idle]
    if len(idle) < wanted:
        worker.crowded_until_s = worker.now_s + LOOK_AGAIN_S
    # All have the same time to idle, so the earliest deadline idles longest.
    for connection in heapq.nsmallest(wanted, idle, key=_deadline_s):
        hang_up(connection)


def hang_up(connection: "Downstream", *, lingering: bool = False) -> None:
    """
    End an idle connection, unless a request is there that was not read.

    ``lingering``: what is on its way is read and dropped for a while, so that who
    sent it sees an end and no reset.
    """
    transport = connection.transport
    if transport is None or transport.is_closing():
        return
    descriptor = transport.get_extra_info("socket").fileno()
    if fcntl.ioctl(descriptor, termios.FIONREAD, NOTHING) != NOTHING:
        return
    if lingering:
        connection.linger()
    else:
        connection.close()


def _deadline_s(connection: "Downstream") -> float:
    return connection.deadline_s
