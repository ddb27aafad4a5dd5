"""
Errors as RFC 9457 problem details.

Decides the status and the wording of every answer that is no success. An error
of ours shows its sentence; anything unexpected shows a number that is also in
the log, and nothing else of the inside.
"""

import json
import secrets
import traceback
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from proxy.errors import (
    ConflictError,
    HeadgateError,
    NotFoundError,
    RequestError,
    SettingsError,
    StoreError,
)
from proxy.telemetry.log import log

CONTENT_TYPE = "application/problem+json"
TRACE_CHARS_MAX = 2000
PATH_CHARS_MAX = 200
"""A log line has 4096 bytes for all of it; the end of a trace says most."""
_INCIDENT_BYTES = 6
"""Random bytes of an incident's number: enough to find one line in a log."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUS_OF: tuple[tuple[type[HeadgateError], HTTPStatus, str], ...] = (
    (NotFoundError, HTTPStatus.NOT_FOUND, "NotFound"),
    (ConflictError, HTTPStatus.CONFLICT, "Conflict"),
    (SettingsError, HTTPStatus.UNPROCESSABLE_ENTITY, "InvalidConfiguration"),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE, "StoreUnavailable"),
)


def problem(
    status: int,
    reason: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    **members: object,
) -> web.Response:
    """
    Return one problem document as an answer.

    Args:
        status: an HTTP error status.
        reason: one CamelCase word for programs.
        detail: one sentence for people.
        headers: further response fields.
        members: extension members (RFC 9457, section 3.2).
    """
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "reason": reason,
        **members,
    }
    return web.Response(
        body=json.dumps(document).encode() + b"\n",
        status=status,
        content_type=CONTENT_TYPE,
        headers=headers,
    )


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every exception of a handler as a problem document."""
    try:
        return await handler(request)
    except HeadgateError as error:
        return of_error(error)
    except web.HTTPException as error:
        return _of_http(request, error)
    except ConnectionError:
        raise  # the client is gone; aiohttp closes
    except Exception as error:  # noqa: BLE001 - the boundary: logged with its number
        return of_unexpected(request.method, request.path, error)


def of_error(error: HeadgateError) -> web.Response:
    """Return the answer for an error of ours."""
    if isinstance(error, RequestError):
        headers = (
            {"WWW-Authenticate": 'Bearer realm="headgate"'}
            if error.status == HTTPStatus.UNAUTHORIZED
            else None
        )
        return problem(error.status, error.reason, str(error), headers=headers)
    if isinstance(error, SettingsError):
        count = len(error.problems)
        return problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "InvalidConfiguration",
            f"the configuration has {count} {'mistake' if count == 1 else 'mistakes'};"
            " nothing was changed",
            problems=list(error.problems),
        )
    for kind, status, reason in _STATUS_OF:
        if isinstance(error, kind):
            return problem(status, reason, str(error))
    return of_unexpected("", "", error)


def of_unexpected(method: str, path: str, error: BaseException) -> web.Response:
    """Log an error that nobody foresaw under a number, and answer the number."""
    incident = secrets.token_hex(_INCIDENT_BYTES)
    trace = "".join(traceback.format_exception(error))[-TRACE_CHARS_MAX:]
    log(
        "error",
        "admin_request_failed",
        incident=incident,
        method=method,
        path=path[:PATH_CHARS_MAX],
        trace=trace,
    )
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "InternalError",
        f"something went wrong inside; the log has it as incident {incident}",
        incident=incident,
    )


def _of_http(request: web.Request, error: web.HTTPException) -> web.Response:
    """Return aiohttp's own refusal (no route, wrong method) as a problem."""
    if error.status == HTTPStatus.NOT_FOUND:
        return problem(error.status, "NotFound", f"nothing is served at {request.path}")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return problem(
            error.status,
            "MethodNotAllowed",
            f"{request.method} is not allowed at {request.path}, expected {allowed}",
            headers={"Allow": allowed},
        )
    phrase = HTTPStatus(error.status).phrase
    return problem(error.status, phrase.title().replace(" ", ""), phrase.lower())
