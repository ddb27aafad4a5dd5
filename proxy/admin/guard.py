"""
Who may talk to the admin API.

Decides by three fields of a request: ``Host`` (a page whose name was rebound to
our address is refused), ``Origin`` (a page of another site may not change
anything) and ``Authorization`` (a bearer token, where one is configured; the
settings demand one off loopback). Knows nothing of what is asked.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.admin.problems import Handler
from proxy.errors import RequestError, SettingsError
from proxy.telemetry.log import log

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_SITES_OF_OURS = frozenset({"same-origin", "none"})
"""``Sec-Fetch-Site`` of a page of ours and of a person's own navigation."""

ReadToken = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Guard:
    """
    The conditions on every request.

    ``listen_hosts`` are hosts, beside loopback, that a client may name;
    ``read_token`` reads the bearer token anew for each request, so that a
    rotated secret is in force at once (``None``: no token is asked for);
    ``any_host`` is for wildcard addresses, where no list can name every host: a
    token must then be there, and a rebound page does not have it.
    """

    listen_hosts: frozenset[str] = frozenset()
    read_token: ReadToken | None = None
    any_host: bool = False

    def check(self, request: web.BaseRequest) -> None:
        """
        Refuse a request that may come from somebody else's page or hands.

        Raises:
            RequestError: 403 for a foreign host or origin, 401 for the token,
                503 when the token file cannot be read.
        """
        self._check_host(request.headers.get("Host", ""))
        if request.method not in _SAFE_METHODS:
            _check_origin(request)
        if self.read_token is not None:
            _check_token(request.headers.get("Authorization", ""), self.read_token)

    def _check_host(self, value: str) -> None:
        host = host_of(value)
        if host is None:
            raise RequestError(
                HTTPStatus.BAD_REQUEST, "InvalidHost", "the Host field is malformed"
            )
        guarded = self.any_host and self.read_token is not None
        if not (guarded or is_loopback(host) or host in self.listen_hosts):
            raise RequestError(
                HTTPStatus.FORBIDDEN,
                "HostNotAllowed",
                f"host {host} is not a name of this admin API,"
                " expected localhost or its listen address",
            )


def guard_requests(guard: Guard, *, open_paths: frozenset[str]) -> Middleware:
    """Return the middleware that checks all but ``open_paths`` (probes)."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what the guard refuses, before any handler sees it."""
        if request.path not in open_paths:
            guard.check(request)
        return await handler(request)

    return middleware


def host_of(authority: str) -> str | None:
    """Return the host of ``host[:port]`` in lower case, ``None`` if malformed."""
    if authority.startswith("["):
        host, bracket, port = authority[1:].partition("]")
        wrong = not bracket or (port and not port.startswith(":"))
        port = port[1:]
    else:
        host, _, port = authority.partition(":")
        wrong = ":" in port
    if wrong or not host or (port and not (port.isascii() and port.isdigit())):
        return None
    return host.lower().rstrip(".") or None


def is_loopback(host: str) -> bool:
    """Tell whether a host names this machine whatever DNS says."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _check_origin(request: web.BaseRequest) -> None:
    """Refuse a change that another site's page asks for (RFC 6454)."""
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "none")
    host = request.headers.get("Host", "").lower()
    ours = origin is None or origin.lower() in {f"http://{host}", f"https://{host}"}
    if not ours or site not in _SITES_OF_OURS:
        raise RequestError(
            HTTPStatus.FORBIDDEN,
            "OriginNotAllowed",
            "a page of another site may not change anything here",
        )


def _check_token(authorization: str, read_token: ReadToken) -> None:
    """Compare the bearer token in constant time (RFC 6750, section 2.1)."""
    try:
        expected = read_token()
    except SettingsError as error:
        log("error", "admin_token_unavailable", problem=str(error))
        raise RequestError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "TokenUnavailable",
            "the admin API cannot read its own token; see the log",
        ) from error
    scheme, _, given = authorization.partition(" ")
    # aiohttp decodes fields as UTF-8 with surrogates for what is none of it.
    offered = given.strip().encode("utf-8", "surrogateescape")
    same = hmac.compare_digest(offered, expected.encode())
    if scheme.lower() != "bearer" or not same:
        raise RequestError(
            HTTPStatus.UNAUTHORIZED, "Unauthorized", "a valid bearer token is required"
        )
