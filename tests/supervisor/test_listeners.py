"""Listening sockets: one a worker, never two instances, nothing left behind."""

import dataclasses
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import StartError
from proxy.supervisor.listeners import Listeners, bind_all
from proxy.supervisor.plan import (
    Address,
    Plan,
    TcpAddress,
    UnixAddress,
    parse_address,
    parse_plan,
)
from tests.supervisor.test_plan import DOCUMENT

ANY = TcpAddress("127.0.0.1", 0)
BASE = dataclasses.replace(parse_plan(DOCUMENT), listen=(), health=None, admin=None)


@contextmanager
def bound(*listen: Address, **changes: Any) -> Iterator[Listeners]:  # noqa: ANN401
    """Bind for traffic on these addresses."""
    plan: Plan = dataclasses.replace(BASE, listen=listen, **changes)
    listeners = bind_all(plan)
    try:
        yield listeners
    finally:
        listeners.close()


def first_address(listeners: Listeners) -> TcpAddress:
    """Return where the first listener for traffic listens."""
    host, port = listeners.traffic[0][0].getsockname()[:2]
    return TcpAddress(host, port)


def test_connections_are_spread_over_the_workers() -> None:
    """Four listeners share one port, and each gets its part (400 connections)."""
    with bound(ANY, workers=4) as listeners:
        address = first_address(listeners)
        clients = [
            socket.create_connection((address.host, address.port)) for _ in range(400)
        ]
        counts = []
        for (listener,) in listeners.traffic:
            listener.settimeout(5)
            count = 0
            listener.setblocking(False)  # noqa: FBT003
            while True:
                try:
                    listener.accept()[0].close()
                except BlockingIOError:
                    break
                count += 1
            counts.append(count)
        for client in clients:
            client.close()

    assert sum(counts) == 400
    assert min(counts) >= 40


@pytest.mark.parametrize("workers", [1, 4])
def test_a_second_instance_is_refused(workers: int) -> None:
    """Although the listeners share their port with one another."""
    with bound(ANY, workers=workers) as listeners:
        address = first_address(listeners)

        with pytest.raises(
            StartError, match=f"cannot listen on {address}: address in use"
        ):
            bind_all(dataclasses.replace(BASE, listen=(address,)))


def test_a_port_is_free_again_after_the_end() -> None:
    """A restart finds its address, also with connections in TIME_WAIT."""
    with bound(ANY) as listeners:
        address = first_address(listeners)
        client = socket.create_connection((address.host, address.port))
        listeners.traffic[0][0].setblocking(False)  # noqa: FBT003
    client.close()

    with bound(address) as listeners:
        assert first_address(listeners) == address


def test_both_families_listen_on_one_port() -> None:
    """[::] leaves 0.0.0.0 to its own listener."""
    with bound(TcpAddress("0.0.0.0", 0)) as four:  # noqa: S104
        port = first_address(four).port
        with bound(TcpAddress("::", port)) as six:
            assert first_address(six) == TcpAddress("::", port)


def test_what_is_bound_is_described() -> None:
    """The log tells the real ports, in the file's notation."""
    with bound(ANY, health=ANY, admin=TcpAddress("::1", 0)) as listeners:
        described = list(listeners.described())

    assert [purpose for purpose, _ in described] == ["traffic", "health", "admin"]
    ports = [parse_address(text) for _, text in described]
    assert all(isinstance(port, TcpAddress) and port.port for port in ports)


def test_the_metrics_socket_has_an_abstract_name_of_its_own() -> None:
    """No file, no port, and no two trees with the same name."""
    with bound(ANY) as one, bound(ANY) as other:
        assert re.fullmatch(r"\0headgate-\d+-[0-9a-f]{16}", one.metrics_address)
        assert one.metrics_address != other.metrics_address


def test_a_unix_socket_is_removed_at_the_end(tmp_path: Path) -> None:
    """It is one listener for all workers, and no file stays."""
    path = tmp_path / "headgate.sock"
    with bound(UnixAddress(str(path)), workers=3) as listeners:
        assert len(listeners.shared) == 1
        assert path.is_socket()

    assert not path.exists()


def test_somebody_elses_unix_socket_stays(tmp_path: Path) -> None:
    """A successor that took the path over keeps its file."""
    path = tmp_path / "headgate.sock"
    with bound(UnixAddress(str(path))):
        path.unlink()
        path.write_text("the successor's")

    assert path.read_text() == "the successor's"


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    """What a killed instance left behind is no obstacle."""
    path = tmp_path / "headgate.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))

    with bound(UnixAddress(str(path))), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_unix_socket_in_use_is_refused(tmp_path: Path) -> None:
    """Nobody takes a living instance's path away, and it stays."""
    address = UnixAddress(str(tmp_path / "headgate.sock"))
    with bound(address):
        with pytest.raises(StartError, match=f"on {address}: address in use"):
            bind_all(dataclasses.replace(BASE, listen=(address,)))
        assert Path(address.path).is_socket()


def test_a_file_in_the_way_is_refused_and_kept(tmp_path: Path) -> None:
    """Only sockets are ever removed."""
    path = tmp_path / "precious"
    path.write_text("data")

    with pytest.raises(StartError, match="the file is not a socket"):
        bind_all(dataclasses.replace(BASE, listen=(UnixAddress(str(path)),)))
    assert path.read_text() == "data"


def test_the_longest_unix_path_is_107_bytes(tmp_path: Path) -> None:
    """Both sides of what the kernel takes."""
    stem = str(tmp_path) + "/"
    fits = UnixAddress(stem + "x" * (107 - len(stem)))
    with bound(fits) as listeners:
        assert dict(listeners.described())["traffic"] == str(fits)

    with pytest.raises(StartError, match="has 108 bytes, expected at most 107"):
        bind_all(dataclasses.replace(BASE, listen=(UnixAddress(fits.path + "x"),)))


@pytest.mark.parametrize(
    "text", ["192.0.2.1:80", "no-such-host.invalid:80", "unix:/no/such/dir/x.sock"]
)
def test_an_address_that_cannot_be_bound_is_named(text: str) -> None:
    """The sentence names the address and the system's reason."""
    plan = dataclasses.replace(BASE, listen=(parse_address(text),))

    with pytest.raises(StartError, match=f"^cannot listen on {re.escape(text)}: ."):
        bind_all(plan)


def test_a_failed_start_leaves_nothing_open(tmp_path: Path) -> None:
    """What was bound before the mistake is closed and removed again."""
    path = tmp_path / "headgate.sock"
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    broken = (ANY, UnixAddress(str(path)), parse_address("192.0.2.1:80"))

    with pytest.raises(StartError):
        bind_all(dataclasses.replace(BASE, listen=broken))

    assert not path.exists()
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208
