"""A WSGI origin (gunicorn): one JSON line a request that it read, then an answer."""

import json
import os
from collections.abc import Callable, Iterable
from typing import Any


def application(
    environ: dict[str, Any],
    start_response: Callable[[str, list[tuple[str, str]]], object],
) -> Iterable[bytes]:
    """Read the body, note the request, answer."""
    body = environ["wsgi.input"].read()
    entry = {
        "client": environ.get("HTTP_X_FORWARDED_FOR", ""),
        "target": environ.get("RAW_URI", ""),
        "bytes": len(body),
    }
    with open(os.environ["ORIGIN_LOG"], "a", encoding="utf-8") as log:  # noqa: PTH123 - hot
        log.write(json.dumps(entry) + "\n")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
