"""Channels: whole messages in order, descriptors beside them, no waiting."""

import array
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import ChannelError
from proxy.telemetry import channel
from proxy.telemetry.channel import Channel

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """Return the two ends of a channel."""
    one, other = map(Channel, channel.pair())
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def raw() -> Iterator[tuple[socket.socket, Channel]]:
    """Return a peer that can say anything, and the end that hears it."""
    peer, ours = channel.pair()
    end = Channel(ours)
    yield peer, end
    peer.close()
    end.close()


def open_fds() -> set[str]:
    """Return the descriptors of this process."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@given(st.lists(st.dictionaries(st.text(max_size=5), json_values, max_size=4)))
@settings(deadline=None, max_examples=50)
def test_messages_arrive_whole_and_in_order(bodies: list[dict[str, object]]) -> None:
    """What was sent is what is received, whatever it holds."""
    one, other = map(Channel, channel.pair())
    messages = [{**body, "type": "t"} for body in bodies]

    sent = [one.send(message) for message in messages]
    received: list[tuple[channel.Message, int | None]] = []
    while len(received) < len(messages):
        received += other.receive()
        one.flush()
    one.close()
    other.close()

    assert all(sent)
    assert received == [(message, None) for message in messages]


def test_a_descriptor_travels_with_its_message(ends: tuple[Channel, Channel]) -> None:
    """The receiver gets a descriptor of its own, which no child inherits."""
    one, other = ends
    fd = channel.sealed("note", b"hello")

    one.send({"type": "before"})
    one.send({"type": "table"}, fd)
    os.close(fd)
    (_, nothing), (message, got) = other.receive()

    assert nothing is None
    assert message == {"type": "table"}
    assert got is not None
    assert channel.read_sealed(got) == b"hello"
    assert not os.get_inheritable(got)
    os.close(got)


def test_a_slow_peer_is_not_waited_for(ends: tuple[Channel, Channel]) -> None:
    """Messages queue up to a bound, then are refused; the queued ones arrive."""
    one, other = ends
    body = "x" * 60_000
    accepted = 0
    while one.send({"type": "t", "n": accepted, "body": body}):
        accepted += 1
        assert accepted < 10_000

    numbers: list[int] = []
    while len(numbers) < accepted:
        numbers += [message["n"] for message, _ in other.receive()]
        one.flush()

    assert accepted > channel.OUTBOX_MAX
    assert numbers == list(range(accepted))
    assert not one.waiting


def test_queued_descriptors_are_closed_with_the_channel(
    ends: tuple[Channel, Channel],
) -> None:
    """A peer that never reads costs no descriptor for ever."""
    one, other = ends
    before = open_fds()
    fd = channel.sealed("note", b"hello")
    while not one.waiting:
        one.send({"type": "t", "body": "x" * 60_000}, fd)
    os.close(fd)
    assert open_fds() > before

    one.close()

    other.close()
    assert len(open_fds()) < len(before)


def test_the_end_of_the_peer_is_seen(ends: tuple[Channel, Channel]) -> None:
    """What was sent before the end is still received; afterwards it is closed."""
    one, other = ends
    one.send({"type": "last"})
    one.close()

    assert [message for message, _ in other.receive()] == [{"type": "last"}]
    assert other.closed
    assert not other.send({"type": "too late"})
    assert list(other.receive()) == []


def test_a_message_that_is_too_large_is_refused(ends: tuple[Channel, Channel]) -> None:
    """64 KiB is the limit, on both sides of it."""
    one, other = ends
    frame = len('{"type":"t","body":""}')
    fits = "x" * (channel.MESSAGE_BYTES_MAX - frame)

    assert one.send({"type": "t", "body": fits})
    assert [len(message["body"]) for message, _ in other.receive()] == [len(fits)]
    with pytest.raises(ChannelError, match="65537 bytes, expected at most 65536"):
        one.send({"type": "t", "body": fits + "x"})


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"type": 1}', b"\xff\xfe\xff"])
def test_what_is_no_message_is_refused(
    raw: tuple[socket.socket, Channel], data: bytes
) -> None:
    """A message is a JSON object with a type, and nothing else."""
    peer, end = raw
    peer.send(data)

    with pytest.raises(ChannelError, match="no JSON object with a type"):
        list(end.receive())


def test_more_than_one_descriptor_is_refused_and_none_is_kept(
    raw: tuple[socket.socket, Channel],
) -> None:
    """A peer cannot fill our descriptor table."""
    peer, end = raw
    before = open_fds()
    rights = array.array("i", [0, 1, 2, 0, 1, 2])
    peer.sendmsg([b'{"type":"t"}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    with pytest.raises(ChannelError, match="more than it may hold"):
        list(end.receive())
    assert open_fds() == before


def test_a_burst_is_bounded(ends: tuple[Channel, Channel]) -> None:
    """One look takes so many messages and no more; the rest comes with the next."""
    one, other = ends
    for number in range(channel.BURST_MAX + 1):
        one.send({"type": "t", "n": number})
        one.flush()

    received = list(other.receive())
    one.flush()

    assert len(received) <= channel.BURST_MAX
    while len(received) <= channel.BURST_MAX:
        received += other.receive()
        one.flush()
    assert [message["n"] for message, _ in received] == list(range(len(received)))


def test_a_child_takes_over_an_inherited_end() -> None:
    """An end that came by number is used and not passed on."""
    ours, theirs = channel.pair()
    fd = theirs.detach()
    os.set_inheritable(fd, True)  # noqa: FBT003
    child = Channel.from_fd(fd)
    parent = Channel(ours)

    child.send({"type": "ready"})

    assert [message for message, _ in parent.receive()] == [{"type": "ready"}]
    assert not os.get_inheritable(child.fileno())
    child.close()
    parent.close()


@given(json_values)
@settings(max_examples=30, deadline=None)
def test_a_sealed_document_reads_back(document: object) -> None:
    """The document is what was put in, however often it is read."""
    fd = channel.sealed_document("note", document)

    assert channel.read_document(fd) == document
    assert channel.read_document(fd) == document
    os.close(fd)


def test_a_sealed_memory_can_never_change() -> None:
    """Nobody who holds it can write, shrink, grow or unseal it."""
    fd = channel.sealed("note", b"hello")

    assert channel.is_sealed(fd)
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    with pytest.raises(PermissionError):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)
    os.close(fd)


def test_what_is_not_sealed_is_told() -> None:
    """A memory that can still change, or a pipe, is not taken for a document."""
    fd = os.memfd_create("open", os.MFD_ALLOW_SEALING)
    reader, writer = os.pipe()

    assert not channel.is_sealed(fd)
    assert not channel.is_sealed(reader)
    for each in (fd, reader, writer):
        os.close(each)


def test_a_document_that_is_too_large_or_broken_is_refused() -> None:
    """Both sides of the bound, and what is no JSON."""
    fd = os.memfd_create("large")
    os.ftruncate(fd, channel.DOCUMENT_BYTES_MAX + 1)
    broken = channel.sealed("broken", b"{")

    with pytest.raises(ChannelError, match="expected at most"):
        channel.read_sealed(fd)
    os.ftruncate(fd, channel.DOCUMENT_BYTES_MAX)
    assert len(channel.read_sealed(fd)) == channel.DOCUMENT_BYTES_MAX
    with pytest.raises(ChannelError, match="no JSON document"):
        channel.read_document(broken)
    os.close(fd)
    os.close(broken)
