"""
The admin API's client, on the standard library: aiohttp takes 0.3 s to import.

Decides how an answer becomes a document or an error of ours. One connection a
call; nothing is retried here, because only the caller knows what may be.
"""

import getpass
import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from proxy import __version__
from proxy.errors import AdminError, AdminUnreachableError

TIMEOUT_S = 10.0
"""For each wait on the socket; the API answers in milliseconds."""
ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""Ten times 500 decisions of 32 routes; hours of a recording."""

EXAMPLE = "http://127.0.0.1:9901"
_KINDS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
_UNAUTHORIZED = 401
_ERRORS_FROM = 400

Json = Any


@dataclass(frozen=True, slots=True)
class AdminClient:
    """The API at ``url``; ``token`` is sent as a bearer token if it is set."""

    url: str
    token: str | None = None

    def get(self, *path: str, **query: str | int | None) -> Json:
        """
        Return a resource.

        Raises:
            AdminError: the API refuses, with its sentence.
            AdminUnreachableError: nobody answers, or not Headgate.
        """
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", _target(path, given), None)

    def lines(self, *path: str, **query: str) -> list[str]:
        """Return a resource that is lines of text; raises as ``get`` does."""
        try:
            status, raw = self._exchange("GET", _target(path, dict(query)), None)
        except (OSError, http.client.HTTPException) as error:
            raise AdminUnreachableError(
                f"the admin API at {self.url} cannot be reached: {_cause(error)}"
            ) from error
        if status >= _ERRORS_FROM:
            self._read(status, raw)
        return raw.decode("utf-8", "replace").splitlines()

    def post(self, *path: str, body: dict[str, Json] | None = None) -> Json:
        """Ask for a change; raises as ``get`` does."""
        return self._ask("POST", _target(path, {}), body or {})

    def put(self, *path: str, body: dict[str, Json]) -> Json:
        """Replace a resource; raises as ``get`` does."""
        return self._ask("PUT", _target(path, {}), body)

    def _ask(self, method: str, target: str, body: dict[str, Json] | None) -> Json:
        try:
            status, raw = self._exchange(method, target, body)
        except (OSError, http.client.HTTPException) as error:
            raise AdminUnreachableError(
                f"the admin API at {self.url} cannot be reached: {_cause(error)}"
            ) from error
        return self._read(status, raw)

    def _exchange(
        self, method: str, target: str, body: dict[str, Json] | None
    ) -> tuple[int, bytes]:
        """Send one request; return the status and the body of its answer."""
        connection, prefix = _connection(self.url)
        headers = {
            "Accept": "application/json",
            "User-Agent": f"headgate/{__version__}",
            "X-Headgate-Actor": _actor(),
        }
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, prefix + target, payload, headers)
            response = connection.getresponse()
            raw = response.read(ANSWER_BYTES_MAX + 1)
        finally:
            connection.close()
        if len(raw) > ANSWER_BYTES_MAX:
            raise http.client.HTTPException("the answer is too large")
        return response.status, raw

    def _read(self, status: int, raw: bytes) -> Json:
        """Turn an answer into its document, or raise what it says."""
        try:
            document = json.loads(raw)
        except ValueError as error:
            raise AdminUnreachableError(
                f"{self.url} answers with status {status}, but not as Headgate does"
            ) from error
        if status < _ERRORS_FROM:
            return document
        detail = document.get("detail") if isinstance(document, dict) else None
        if status == _UNAUTHORIZED:
            detail = f"{detail}; set HEADGATE_TOKEN to the admin token"
        raise AdminError(
            "\n".join([str(detail or f"status {status}"), *_more(document)])
        )


def _more(document: Json) -> list[str]:
    """Return the lines a problem has beside its sentence: a file's mistakes."""
    problems = document.get("problems", ()) if isinstance(document, dict) else ()
    return [str(line) for line in problems]


def _connection(url: str) -> tuple[http.client.HTTPConnection, str]:
    """
    Return an unconnected connection to ``url`` and the path before each target.

    Raises:
        AdminUnreachableError: the URL names no host by HTTP.
    """
    try:
        parts = urlsplit(url)
        kind, port = _KINDS[parts.scheme], parts.port
    except (ValueError, KeyError):  # a port that is no number, another scheme
        raise _no_address(url) from None
    if not parts.hostname:
        raise _no_address(url)
    return kind(parts.hostname, port, timeout=TIMEOUT_S), parts.path.rstrip("/")


def _no_address(url: str) -> AdminUnreachableError:
    return AdminUnreachableError(
        f"{url!r} is no admin address, expected such as {EXAMPLE}"
    )


def _target(path: tuple[str, ...], query: dict[str, str | int]) -> str:
    segments = "/".join(quote(segment, safe="") for segment in path)
    return f"/api/v1/{segments}" + (f"?{urlencode(query)}" if query else "")


def _actor() -> str:
    """Return who is typing, for the record of decisions."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container's user has no name
        name = "somebody"
    text = f"{name}@{socket.gethostname()}"
    return text.encode("ascii", "replace").decode()


def _cause(error: Exception) -> str:
    """Return why an exchange failed, in lower-case words."""
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
