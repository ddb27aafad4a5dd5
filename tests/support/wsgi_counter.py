"""A WSGI application that counts: run by gunicorn as ``wsgi_counter:app``."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

SEEN: Counter[str] = Counter()
"""How often each method was seen; one process serves all."""


def app(
    environ: dict[str, Any], start_response: Callable[..., object]
) -> Iterable[bytes]:
    """Answer how many requests of the method there were."""
    environ["wsgi.input"].read()
    method = environ["REQUEST_METHOD"]
    if environ["PATH_INFO"] != "/counted":
        SEEN[method] += 1
    body = str(SEEN[environ.get("HTTP_X_METHOD", method)]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
