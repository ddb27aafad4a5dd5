"""
The listening sockets of the tree: bound once, here, and inherited.

Every TCP address for traffic gets one ``SO_REUSEPORT`` listener a worker, so
that the kernel spreads new connections evenly (one shared listener gave 3/61
and 0/64 over two workers). The first is bound and listening *before* it may
share its port: a second instance fails with "address in use" instead of
silently taking half of the traffic.
A Unix address, health, admin and the socket for /metrics have one listener
each. Who accepts on them is not decided here.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from proxy.errors import StartError
from proxy.supervisor.plan import Address, Plan, TcpAddress, UnixAddress

BACKLOG = 4096
"""Connections that wait to be accepted; the kernel cuts it to net.core.somaxconn."""
UNIX_PATH_BYTES_MAX = 107
"""``sun_path`` of unix(7), less the NUL."""
_METRICS_KEY_BYTES = 8


@dataclass(slots=True)
class Listeners:
    """All listeners; ``traffic`` and ``shared`` are closed when the tree drains."""

    traffic: list[list[socket.socket]]
    """A list a worker, each with one listener an address."""
    shared: list[socket.socket]
    """One for each Unix address, accepted on by all workers."""
    health: list[socket.socket]
    admin: list[socket.socket]
    metrics: socket.socket
    paths: list[tuple[Path, tuple[int, int]]] = field(default_factory=list)
    """Unix sockets in the file system, with the identity of the file we made."""

    @property
    def metrics_address(self) -> str:
        """The abstract name (it starts with a NUL) that workers connect to."""
        name: bytes = self.metrics.getsockname()
        return name.decode("ascii")

    def described(self) -> Iterator[tuple[str, str]]:
        """Yield (what for, address with the port that was really bound)."""
        groups = [
            ("traffic", [*self.traffic[0], *self.shared]),
            ("health", self.health),
            ("admin", self.admin),
        ]
        for purpose, group in groups:
            for listener in group:
                yield purpose, _name(listener)

    def stop_traffic(self) -> None:
        """Close our copies of the listeners for traffic."""
        for group in [*self.traffic, self.shared]:
            for listener in group:
                listener.close()

    def close(self) -> None:
        """Close everything and remove the Unix sockets that are still ours."""
        self.stop_traffic()
        for listener in [*self.health, *self.admin, self.metrics]:
            listener.close()
        for path, identity in self.paths:
            with contextlib.suppress(OSError):
                if _identity(path) == identity:
                    path.unlink()


def bind_all(plan: Plan) -> Listeners:
    """
    Bind and listen on everything that the plan names.

    Raises:
        StartError: an address is in use or cannot be bound.
    """
    bound = Listeners(
        traffic=[[] for _ in range(plan.workers)],
        shared=[],
        health=[],
        admin=[],
        metrics=_metrics_listener(),
    )
    try:
        for address in plan.listen:
            if isinstance(address, UnixAddress):
                bound.shared.append(_bind_one(address, bound))
                continue
            group = _bind_group(address, plan.workers)
            for mine, listener in zip(bound.traffic, group, strict=True):
                mine.append(listener)
        if plan.health is not None:
            bound.health.append(_bind_one(plan.health, bound))
        if plan.admin is not None:
            bound.admin.append(_bind_one(plan.admin, bound))
    except BaseException:
        bound.close()
        raise
    return bound


def _bind_group(address: TcpAddress, count: int) -> list[socket.socket]:
    """Bind ``count`` listeners that share one port, which was free before."""
    first = _bind_tcp(address)
    group = [first]
    try:
        # Set only now: bound without it, the port was ours alone.
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken = TcpAddress(address.host, first.getsockname()[1])
        group += [_bind_tcp(taken, share=True) for _ in range(count - 1)]
    except BaseException:
        for listener in group:
            listener.close()
        raise
    return group


def _bind_one(address: Address, bound: Listeners) -> socket.socket:
    if isinstance(address, TcpAddress):
        return _bind_tcp(address)
    listener = _bind_unix(address)
    path = Path(address.path)
    bound.paths.append((path, _identity(path)))
    return listener


def _bind_tcp(address: TcpAddress, *, share: bool = False) -> socket.socket:
    try:
        family, kind, protocol, _, name = socket.getaddrinfo(
            address.host or None,
            address.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )[0]
    except OSError as error:
        raise StartError(f"cannot listen on {address}: {error.strerror}") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:  # [::] leaves 0.0.0.0 to its own listener
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(name)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _refused(address, error) from None
    return listener


def _bind_unix(address: UnixAddress) -> socket.socket:
    length = len(os.fsencode(address.path))
    if length > UNIX_PATH_BYTES_MAX:
        raise StartError(
            f"cannot listen on {address}: the path has {length} bytes,"
            f" expected at most {UNIX_PATH_BYTES_MAX}"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(address)
        listener.bind(address.path)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _refused(address, error) from None
    except StartError:
        listener.close()
        raise
    return listener


def _remove_stale(address: UnixAddress) -> None:
    """Remove a socket that nobody listens on; another kind of file stays."""
    path = Path(address.path)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartError(f"cannot listen on {address}: the file is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # noqa: FBT003 - the name of the method says it
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:  # somebody listens, with a full queue
            pass
    raise StartError(f"cannot listen on {address}: address in use")


def _metrics_listener() -> socket.socket:
    key = os.urandom(_METRICS_KEY_BYTES).hex()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"\0headgate-{os.getpid()}-{key}")
    listener.listen(BACKLOG)
    return listener


def _refused(address: Address, error: OSError) -> StartError:
    text = (error.strerror or str(error)).lower()
    text = text.replace("address already in use", "address in use")
    return StartError(f"cannot listen on {address}: {text}")


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _name(listener: socket.socket) -> str:
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return str(UnixAddress(name))
    return str(TcpAddress(name[0], name[1]))
