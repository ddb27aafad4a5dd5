"""
``health``: one probe of a running Headgate, for a container's HEALTHCHECK.

Decides nothing but the exit code: an image need not hold curl for this.
"""

import http.client
import urllib.request
from http import HTTPStatus
from urllib.error import HTTPError

from proxy.cli.screen import say
from proxy.errors import HeadgateError

TIMEOUT_S = 3.0
"""Less than the interval of any container runtime's health check."""
BODY_BYTES_MAX = 4096

_HANDLERS = (urllib.request.HTTPHandler, urllib.request.HTTPErrorProcessor)


def check_health(url: str) -> int:
    """
    Ask a probe's URL; return 0 when it answers 200.

    Raises:
        HeadgateError: it answers otherwise, or not at all.
    """
    if not url.startswith("http://"):
        raise HeadgateError(f"{url!r} is no probe, expected such as http://HOST/readyz")
    # Neither proxies of the environment nor redirects: this very address is meant.
    opener = urllib.request.OpenerDirector()
    for handler in (*_HANDLERS, urllib.request.HTTPDefaultErrorHandler):
        opener.add_handler(handler())
    try:
        with opener.open(url, timeout=TIMEOUT_S) as answer:
            body = answer.read(BODY_BYTES_MAX)
            status = answer.status
    except HTTPError as error:
        detail = error.read(BODY_BYTES_MAX).decode("utf-8", "replace").strip()
        error.close()
        raise HeadgateError(f"{url} answers {error.code}: {detail}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "reason", error)  # URLError wraps the real one
        why = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        raise HeadgateError(f"{url} does not answer: {why.lower()}") from error
    if status != HTTPStatus.OK:
        raise HeadgateError(f"{url} answers {status}")
    say(body.decode("utf-8", "replace").strip())
    return 0
