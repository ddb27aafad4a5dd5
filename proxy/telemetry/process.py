"""
What every process of the tree does to itself first: name, parent, signals.

A child must never outlive the supervisor. Two independent ropes hold it: the
kernel kills it when its parent dies (also when it is busy in a loop), and a
pipe whose only write end the supervisor holds comes to its end.
Standard library only; nothing here decides what a process is for.
"""

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterable

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
"""Numbers of ``prctl(2)``, from ``linux/prctl.h``."""
_STAT_ARG_START = 48
_STAT_ARG_END = 49
"""Fields of ``/proc/PID/stat``, counted from 1 as in proc(5)."""
COMM_BYTES_MAX = 15
"""The kernel cuts a thread's name there (TASK_COMM_LEN less the NUL)."""

HELD_BACK = frozenset({signal.SIGINT, signal.SIGHUP})
"""Blocked in a child from its spawn until ``begin_child`` says what they mean."""
WORKER_IGNORES = frozenset({signal.SIGINT, signal.SIGHUP, signal.SIGTERM})
"""A terminal or systemd signals the whole group; workers drain when told to."""
CONTROL_IGNORES = frozenset({signal.SIGINT, signal.SIGHUP})
"""SIGHUP only until control installs its handler: it reads the file then anyway."""

EXIT_ORPHANED = 1


def begin_child(
    title: str, supervisor_pid: int, ignored: Iterable[signal.Signals]
) -> None:
    """
    Make this process a child of the tree; the first thing that it does.

    Ends the process at once when the supervisor is gone already.
    """
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    die_with_parent(supervisor_pid)
    set_title(title)


def die_with_parent(expected_ppid: int) -> None:
    """
    Let the kernel kill this process when its parent ends.

    The parent may have ended before the request: then this process ends here.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != expected_ppid:
        os._exit(EXIT_ORPHANED)


def alive_pipe() -> tuple[int, int]:
    """Return (read end for the children, write end that nobody inherits)."""
    return os.pipe()


def exit_if_orphaned(alive_fd: int) -> None:
    """
    End this process at once when the supervisor is gone.

    The callback for a readable ``alive_fd``: nobody writes to that pipe, so
    readable means that its write end was closed. Does nothing where a
    non-blocking end turns out not to be readable.
    """
    with contextlib.suppress(BlockingIOError):
        if not os.read(alive_fd, 1):
            os._exit(EXIT_ORPHANED)


def set_title(title: str) -> None:
    """
    Show ``title`` in ``ps`` instead of the command line.

    Overwrites the memory of the arguments, as setproctitle does, and names the
    main thread (cut to 15 bytes). A kernel without ``/proc`` changes nothing.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NAME, title.encode()[:COMM_BYTES_MAX], 0, 0, 0)
    try:
        # Not by pathlib: importing it takes 0.4 MiB of each worker.
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
            stat = file.read()
    except OSError:
        return
    start, end = _argument_area(stat)
    room = end - start - 1  # the last byte stays NUL, or ps reads on
    if start and room > 0:
        ctypes.memset(start, 0, room)
        ctypes.memmove(start, title.encode()[:room], min(len(title.encode()), room))


def _argument_area(stat: bytes) -> tuple[int, int]:
    """Return where the arguments lie in memory; zeros where the kernel hides it."""
    # The second field is the name in brackets, which may hold spaces.
    fields = stat[stat.rindex(b")") + 2 :].split()
    first = 3  # the number of the field after the name
    return int(fields[_STAT_ARG_START - first]), int(fields[_STAT_ARG_END - first])
