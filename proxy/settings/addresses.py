"""
Where to listen, where a version answers, and what a route looks like.

Texts in, frozen values out. Nothing is resolved and nothing is opened here:
names are looked up by whoever connects.
"""

import ipaddress
import re
from dataclasses import dataclass

from proxy.settings.units import quote

PORT_MAX = 65535
UNIX_PATH_BYTES_MAX = 107
"""``sun_path`` of ``sockaddr_un`` less its final NUL (unix(7))."""

HTTP_PORT = 80
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?",
    re.ASCII,
)
"""RFC 1123 labels; the underscore because container networks allow it."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
"""``token`` of RFC 9110, section 5.6.2."""

_PATH = re.compile(r"/[!$&'()*+,\-./0-9:;=@A-Z_a-z~%]*", re.ASCII)
"""An absolute path of RFC 3986, section 3.3."""

_TEMPLATE = re.compile(r"(?:/(?:\{[A-Za-z0-9_]+\}|[!$&'()*+,\-.0-9:;=@A-Z_a-z~%]*))+")


class AddressError(ValueError):
    """A text that names no such place; ``str(error)`` says what was expected."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A TCP address (``host``, ``port``) or, if ``unix`` is set, a socket's path."""

    host: str
    port: int
    unix: str | None = None

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.unix is not None or self.host == "localhost":
            return True
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        if self.unix is not None:
            return f"unix:{self.unix}"
        return f"{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    Where a version answers: ``host`` and ``port``, or the path of a socket.

    ``authority`` is what ``Host`` says if ``host: endpoint`` is set.
    """

    host: str
    port: int
    authority: str
    unix: str | None = None

    def __str__(self) -> str:
        return f"unix:{self.unix}" if self.unix else f"http://{self.authority}"


def parse_listen(text: str) -> ListenAddress:
    """
    Read ``0.0.0.0:8080``, ``[::]:8080``, ``localhost:8080`` or ``unix:/path``.

    Port 0 lets the system choose.

    Raises:
        AddressError: it is none of them.
    """
    if text.startswith("unix:"):
        return ListenAddress("", 0, _unix_path(text))
    host, port = _host_port(text, "an address such as 0.0.0.0:8080 or unix:/path")
    if port is None:
        raise AddressError(f"{quote(text)} has no port, expected such as {host}:8080")
    if host != "localhost" and not _is_ip(host):
        raise AddressError(f"{quote(host)} is not an IP address or localhost")
    return ListenAddress(host, port)


def parse_endpoint(text: str) -> Endpoint:
    """
    Read ``http://host:port`` (the port is 80 if left out) or ``unix:/path``.

    Raises:
        AddressError: another scheme (``https://`` is refused by name), a path,
            credentials, or no valid host and port.
    """
    if text.startswith("unix:"):
        return Endpoint("localhost", 0, "localhost", _unix_path(text))
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() == "https":
        raise AddressError(f"{quote(text)}: https:// is not supported by this version")
    if not separator or scheme.lower() != "http":
        raise AddressError(f"{quote(text)} is not a URL such as http://127.0.0.1:9001")
    if "@" in rest:
        raise AddressError("an endpoint must not contain credentials")
    authority = rest.removesuffix("/")
    if any(char in authority for char in "/?#"):
        raise AddressError(f"{quote(text)}: an endpoint has no path, query or fragment")
    host, port = _host_port(authority, "a URL such as http://127.0.0.1:9001")
    port = HTTP_PORT if port is None else port
    if port == 0:
        raise AddressError(f"{quote(text)}: port 0 cannot be connected to")
    name = _bracketed(host)
    return Endpoint(host, port, name if port == HTTP_PORT else f"{name}:{port}")


def parse_network(text: str) -> str:
    """
    Return the network that ``10.0.0.0/8``, ``::1`` or the like names, normalised.

    Raises:
        AddressError: it is none, or has bits set beyond its prefix.
    """
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise AddressError(
            f"{quote(text)} is not a network such as 10.0.0.0/8 or ::1"
        ) from None
    address = ipaddress.ip_address(text.partition("/")[0])
    if "/" in text and address != loose.network_address:
        hint = f"did you mean {quote(str(loose))}?"
        raise AddressError(f"{quote(text)} has bits beyond its prefix; {hint}")
    return str(loose)


def parse_route(text: str) -> tuple[str, str]:
    """
    Return the method and the path template of ``GET /orders/{id}``.

    ``{name}`` stands for exactly one path segment.

    Raises:
        AddressError: no method, or a path that does not start with ``/``.
    """
    method, separator, template = text.partition(" ")
    template = template.strip()
    if not separator or not is_token(method) or not _TEMPLATE.fullmatch(template):
        raise AddressError(f"{quote(text)} is not a route such as GET /orders/{{id}}")
    return method.upper(), template


def is_token(text: str) -> bool:
    """Return whether ``text`` may name a header, a cookie or a method."""
    return _TOKEN.fullmatch(text) is not None


def is_path(text: str) -> bool:
    """Return whether ``text`` is an absolute path without query or fragment."""
    return _PATH.fullmatch(text) is not None


def is_host_name(text: str) -> bool:
    """Return whether ``text`` is a DNS name or an IP address, without a port."""
    if _is_ip(text.strip("[]")):
        return True
    last = text.rstrip(".").rpartition(".")[2]
    return _HOST_NAME.fullmatch(text) is not None and not last.isdecimal()


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _unix_path(text: str) -> str:
    path = text.removeprefix("unix:")
    if not path.startswith("/") or "\0" in path:
        raise AddressError(f"{quote(text)}: expected an absolute path after unix:")
    if len(path.encode()) > UNIX_PATH_BYTES_MAX:
        raise AddressError(f"{quote(text)} is longer than {UNIX_PATH_BYTES_MAX} bytes")
    return path


def _host_port(text: str, expected: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?", text, re.ASCII)
    named = re.fullmatch(r"([^:\[\]]+)(?::([0-9]{1,5}))?", text, re.ASCII)
    found = bracketed or named
    if found is None:
        raise AddressError(f"{quote(text)} is not {expected}")
    host = found[1]
    if not (_is_ip(host) if bracketed else is_host_name(host)):
        raise AddressError(f"{quote(text)} is not {expected}")
    if found[2] is None:
        return host, None
    port = int(found[2])
    if port > PORT_MAX:
        raise AddressError(f"port {port} is more than {PORT_MAX}")
    return host, port


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
