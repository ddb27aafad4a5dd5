"""
The addresses behind endpoints' names: asked again and again, the last answer kept.

A name is resolved in the background every ``REFRESH_S`` while an endpoint has it,
so that no request waits for it but the first. Where the resolver fails, what it
said last is used on. Connections to an address that is gone are for the pool to
end: whoever holds the name is told.
"""

import asyncio
import ipaddress
import socket
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from proxy.telemetry.log import log

REFRESH_S: Final = 5.0
"""Between two questions for one name (Envoy's dns_refresh_rate)."""
AGAIN_S: Final = 1.0
"""A name without any address is asked for at most this often."""
ADDRESSES_MAX: Final = 64
"""Addresses used of one answer; a connection tries them one after another."""

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Returns a name's addresses; raises OSError where there are none."""
Starter = Callable[[Coroutine[Any, Any, None], str], None]


class Name:
    """
    One host name and what is known of it.

    ``asking`` is there while a question is on its way; no other one is asked
    before ``next_s``. ``failing`` if the last one had no answer.
    """

    __slots__ = (
        "__weakref__",
        "_turn",
        "addresses",
        "asking",
        "failing",
        "host",
        "next_s",
        "port",
    )

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.addresses: tuple[str, ...] = ()
        self.failing = False
        self.asking: asyncio.Future[None] | None = None
        self.next_s = 0.0
        self._turn = 0

    def in_turn(self) -> list[str]:
        """Return the addresses, beginning with another one each time."""
        addresses = self.addresses
        if len(addresses) < 2:  # noqa: PLR2004 - nothing to take turns with
            return list(addresses)
        self._turn = turn = (self._turn + 1) % len(addresses)
        return [*addresses[turn:], *addresses[:turn]]


class Names:
    """All names of one worker; ``changed`` learns of each that has new addresses."""

    def __init__(
        self,
        resolve: Resolve,
        start: Starter,
        clock: Callable[[], float],
        changed: Callable[[Name], None],
    ) -> None:
        self._resolve = resolve
        self._start = start
        self._clock = clock
        self._changed = changed
        self._names: weakref.WeakValueDictionary[tuple[str, int], Name] = (
            weakref.WeakValueDictionary()
        )

    def name(self, host: str, port: int) -> Name | None:
        """Return the name of an endpoint; None for an address."""
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            known = self._names.get((host, port))
            if known is None:
                known = self._names[host, port] = Name(host, port)
            return known
        return None

    def refresh(self) -> None:
        """Ask again for every name whose answer is old; called once a second."""
        now_s = self._clock()
        for name in list(self._names.values()):
            if name.addresses and name.asking is None and name.next_s <= now_s:
                self._ask(name)

    async def addresses(self, name: Name) -> list[str]:
        """
        Return where to connect to, in turn; only the first time it waits.

        Raises:
            OSError: the name was never resolved, and is not now.
        """
        if not name.addresses:
            if name.asking is None:
                if self._clock() < name.next_s:
                    raise OSError(f"{name.host} has no address")
                self._ask(name)
            assert name.asking is not None
            await asyncio.shield(name.asking)
            if not name.addresses:
                raise OSError(f"{name.host} has no address")
        return name.in_turn()

    def _ask(self, name: Name) -> None:
        name.asking = asyncio.get_running_loop().create_future()
        self._start(self._answer(name), f"resolve {name.host}")

    async def _answer(self, name: Name) -> None:
        asking, before = name.asking, name.addresses
        try:
            found = await self._resolve(name.host, name.port)
        except (OSError, UnicodeError) as error:  # the latter: it is no name
            found = []
            if not name.failing:
                log(
                    "warning",
                    "name_not_resolved",
                    name=name.host,
                    error=str(error),
                    kept=len(before),
                )
        name.failing = not found
        if found:
            name.addresses = tuple(sorted(set(found)))[:ADDRESSES_MAX]
        name.next_s = self._clock() + (REFRESH_S if name.addresses else AGAIN_S)
        name.asking = None
        if before and name.addresses != before:
            log(
                "info",
                "name_has_new_addresses",
                name=name.host,
                addresses=list(name.addresses),
            )
            self._changed(name)
        if asking is not None and not asking.done():
            asking.set_result(None)


async def resolve(host: str, port: int) -> list[str]:
    """
    Return a name's addresses as the system finds them: hosts file, then DNS.

    Raises:
        OSError: there are none, or nobody to ask.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(place[4][0]) for place in found]
