"""
Messages between the supervisor and its children: one JSON object, maybe one fd.

A channel is one end of an AF_UNIX SOCK_SEQPACKET pair: messages keep their
borders and their order, and a descriptor travels beside them (SCM_RIGHTS).
Nothing here waits: what the peer does not take yet is queued, up to a bound.
Larger documents travel as sealed memfds, which nobody can change afterwards.
What the messages say is the supervisor's and the children's business.
"""

import array
import contextlib
import fcntl
import json
import os
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from proxy.errors import ChannelError

Message = dict[str, Any]
"""What a message holds; its ``type`` is always a string."""

MESSAGE_BYTES_MAX = 64 * 1024
"""A message is small; tables and settings travel by descriptor."""
OUTBOX_MAX = 256
"""Messages that wait for a peer that does not read; more means that it hangs."""
DOCUMENT_BYTES_MAX = 64 * 1024 * 1024
"""A table of 1 024 services is below 10 MB; more is a mistake, not a document."""
BURST_MAX = 64
"""Messages taken in one go, so that a chatty peer cannot hold up a loop."""

_SEALS = (
    fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
)
_FDS_SPACE = socket.CMSG_SPACE(array.array("i").itemsize)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a new channel; both are closed on exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Channel:
    """
    One end of a channel, for a loop that watches ``fileno()``.

    Call ``receive`` when it is readable and ``flush`` when it is writable and
    ``waiting`` is true. ``closed`` becomes true when the peer is gone.
    """

    __slots__ = ("_outbox", "_socket", "closed")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)  # noqa: FBT003 - the name of the method says it
        self._socket = sock
        self._outbox: deque[tuple[bytes, int | None]] = deque()
        self.closed = False

    @classmethod
    def from_fd(cls, fd: int) -> "Channel":
        """Take over an inherited descriptor, as a child does at its start."""
        os.set_inheritable(fd, False)  # noqa: FBT003 - the name of the function says it
        return cls(socket.socket(fileno=fd))

    def fileno(self) -> int:
        """Return the descriptor to watch; -1 after ``close``."""
        return self._socket.fileno()

    @property
    def waiting(self) -> bool:
        """Whether messages wait for the peer to read."""
        return bool(self._outbox)

    def send(self, message: Mapping[str, Any], fd: int | None = None) -> bool:
        """
        Send a message now or, when the peer is slow, with a later ``flush``.

        ``fd`` stays the caller's; the peer gets its own. Returns False when
        the peer is gone or the outbox is full: the message is dropped.

        Raises:
            ChannelError: the message is larger than ``MESSAGE_BYTES_MAX``.
        """
        data = json.dumps(message, separators=(",", ":")).encode()
        if len(data) > MESSAGE_BYTES_MAX:
            raise ChannelError(
                f"message of {len(data)} bytes, expected at most {MESSAGE_BYTES_MAX}"
            )
        if self.closed or len(self._outbox) >= OUTBOX_MAX:
            return False
        self._outbox.append((data, None if fd is None else os.dup(fd)))
        self.flush()
        return not self.closed

    def flush(self) -> None:
        """Send what waits, as far as the peer takes it."""
        while self._outbox and not self.closed:
            data, fd = self._outbox[0]
            try:
                _send(self._socket, data, fd)
            except BlockingIOError:
                return
            except OSError:
                self._drop()
                return
            self._outbox.popleft()
            if fd is not None:
                os.close(fd)

    def receive(self) -> Iterator[tuple[Message, int | None]]:
        """
        Yield the messages that are there, at most ``BURST_MAX``.

        Each comes with the descriptor that travelled with it, which is the
        caller's to close.

        Raises:
            ChannelError: the peer sent something that is no message.
        """
        for _ in range(BURST_MAX):
            if self.closed:
                return
            try:
                data, fd = _receive(self._socket)
            except BlockingIOError:
                return
            except OSError:
                self._drop()
                return
            if not data:
                self._drop()
                return
            yield _parse(data, fd), fd

    def close(self) -> None:
        """Close this end; what still waits is dropped."""
        self._drop()
        self._socket.close()

    def _drop(self) -> None:
        self.closed = True
        while self._outbox:
            _, fd = self._outbox.popleft()
            if fd is not None:
                os.close(fd)


def sealed_document(name: str, document: object) -> int:
    """Return a sealed memfd that holds ``document`` as JSON."""
    return sealed(name, json.dumps(document, separators=(",", ":")).encode())


def sealed(name: str, data: bytes) -> int:
    """Return a memfd that holds ``data`` and can never change; closed on exec."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    position = 0
    while position < len(data):
        position += os.pwrite(fd, data[position:], position)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def read_document(fd: int) -> Any:  # noqa: ANN401 - JSON is what it is
    """
    Return the JSON document of a sealed memfd; ``fd`` stays open.

    Raises:
        ChannelError: it is too large or no JSON.
    """
    try:
        return json.loads(read_sealed(fd))
    except ValueError as error:
        raise ChannelError(f"no JSON document: {error}") from None


def read_sealed(fd: int) -> bytes:
    """
    Return all bytes of a memfd; its position does not matter or move.

    Raises:
        ChannelError: it is larger than ``DOCUMENT_BYTES_MAX``.
    """
    size = os.fstat(fd).st_size
    if size > DOCUMENT_BYTES_MAX:
        raise ChannelError(
            f"document of {size} bytes, expected at most {DOCUMENT_BYTES_MAX}"
        )
    pieces: list[bytes] = []
    position = 0
    while piece := os.pread(fd, size - position, position):
        pieces.append(piece)
        position += len(piece)
    return b"".join(pieces)


def is_sealed(fd: int) -> bool:
    """Whether nobody can change what lies behind ``fd`` any more."""
    with contextlib.suppress(OSError):  # EINVAL: not a memfd
        return fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    return False


def _send(sock: socket.socket, data: bytes, fd: int | None) -> None:
    rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _ints(fd))]
    sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)


def _receive(sock: socket.socket) -> tuple[bytes, int | None]:
    data, ancillary, flags, _ = sock.recvmsg(
        MESSAGE_BYTES_MAX, _FDS_SPACE, socket.MSG_CMSG_CLOEXEC
    )
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(fds) > 1:
        _close_all(fds)
        raise ChannelError("message with more than it may hold")
    return data, fds[0] if fds else None


def _parse(data: bytes, fd: int | None) -> Message:
    try:
        message = json.loads(data)
        if isinstance(message, dict) and isinstance(message.get("type"), str):
            return message
    except ValueError:
        pass
    _close_all([] if fd is None else [fd])
    raise ChannelError("message is no JSON object with a type")


def _ints(fd: int) -> bytes:
    return array.array("i", [fd]).tobytes()


def _close_all(fds: "array.array[int] | list[int]") -> None:
    for fd in fds:
        os.close(fd)
