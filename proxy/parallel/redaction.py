"""
What of a request and its answers may be kept: as little as explains a difference.

Credentials are never kept. Of a value the type, the length and a keyed digest
are (equal values can be told from different ones, nothing else can); the key is
made anew by every process and never stored. ``plain`` keeps single values as
they are, ``off`` only their types; objects and arrays are never kept.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from proxy.parallel import paths
from proxy.parallel.values import BODY_PATH, HEADER_PREFIX, LEG_PATH, STATUS_PATH
from proxy.parallel.walk import canonical, json_type

OFF, HASHED, PLAIN = "off", "hashed", "plain"
CREDENTIALS: Final = frozenset(
    {
        *("authorization", "proxy-authorization", "cookie", "set-cookie"),
        *("x-api-key", "x-auth-token", "x-csrf-token", "x-amz-security-token"),
    }
)
"""Fields that are never kept, in whatever mode."""
HARMLESS: Final = ("accept", "accept-language", "content-type", "x-request-id")
"""Request fields that are kept in every mode: they reproduce, and name nobody."""
PLAIN_CHARS_MAX: Final = 256
DIGEST_CHARS: Final = 8
FIELDS_MAX: Final = 32
SECRET_WORDS: Final = re.compile(
    r"token|secret|passw|passwd|signature|credential|api.?key|auth|session|code",
    re.IGNORECASE,
)
"""Query parameters whose value is never kept."""
HIDDEN: Final = "hidden"


class Redactor:
    """Turns values into what may be stored of them."""

    __slots__ = ("_key", "_mode", "_patterns")

    def __init__(self, mode: str, hidden: Iterable[str], key: bytes) -> None:
        """``hidden`` are patterns of paths whose values are never kept."""
        self._mode = mode
        self._key = key
        self._patterns = tuple(paths.parse_pattern(text) for text in hidden)

    def value(self, path: str, value: object) -> dict[str, object]:
        """Return what is kept of a value at ``path``."""
        if path in (STATUS_PATH, LEG_PATH):
            return {"value": value}
        kept: dict[str, object] = {"type": json_type(value)}
        if isinstance(value, str | list | dict):
            kept["length"] = len(value)
        if self._mode == OFF or value is None or self._is_hidden(path):
            return kept
        if self._mode == PLAIN and not isinstance(value, list | dict):
            shown = value[:PLAIN_CHARS_MAX] if isinstance(value, str) else value
            return {**kept, "value": shown}
        digest = hmac.new(self._key, canonical(value).encode(), hashlib.sha256)
        return {**kept, "hash": digest.hexdigest()[:DIGEST_CHARS]}

    def _is_hidden(self, path: str) -> bool:
        """Whether a pattern names the path, or something above it."""
        if path.startswith(HEADER_PREFIX):
            return path.removeprefix(HEADER_PREFIX) in CREDENTIALS
        if not path.startswith(BODY_PATH):
            return False
        state = paths.begin(self._patterns)
        if paths.reached(state):
            return True
        for segment in paths.parse_pattern(path).segments:
            state = paths.advance(state, segment)
            if paths.reached(state):
                return True
        return False

    def curl(
        self,
        base: str,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
    ) -> str:
        """
        Return a command that sends the request again, less what is secret.

        ``base`` is the candidate's endpoint, ``http://host:port``.
        """
        parts = ["curl", "-sS", "-i"]
        if method == "HEAD":
            parts.append("--head")
        elif method != "GET":
            parts += ["-X", shell_word(method)]
        for name, value in self.headers(headers):
            parts += ["-H", shell_word(f"{name}: {value}")]
        if body and self._mode == PLAIN:
            text = body.decode("utf-8", "replace")[:PLAIN_CHARS_MAX]
            parts += ["--data-binary", shell_word(text)]
        elif body:
            parts += ["--data-binary", "@-"]
        parts.append(shell_word(base + clean_target(target)))
        return " ".join(parts)

    def headers(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the request's fields that are kept."""
        kept = []
        for name, value in headers:
            if name in CREDENTIALS or SECRET_WORDS.search(name):
                continue
            if name in HARMLESS or name == "host" or self._mode == PLAIN:
                kept.append((name, value[:PLAIN_CHARS_MAX]))
        return kept[:FIELDS_MAX]


def clean_target(target: str) -> str:
    """Return a request target with the values of secret query parameters hidden."""
    path, mark, query = target.partition("?")
    if not mark:
        return path
    if not SECRET_WORDS.search(query):
        return target
    pairs = [
        (name, HIDDEN if SECRET_WORDS.search(name) else value)
        for name, value in parse_qsl(query, keep_blank_values=True)
    ]
    return f"{path}?{urlencode(pairs, quote_via=quote)}"


def shell_word(text: str) -> str:
    """Return a text as one word of a POSIX shell."""
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]+", text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"
