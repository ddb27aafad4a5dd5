"""
The admin API's resources: from a request to a call of the controller and back.

Decides paths, parameters and which fields every answer carries. What a command
does is the controller's; how errors look is ``problems``; who may ask is
``guard``.
"""

import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from http import HTTPStatus
from itertools import islice

from aiohttp import web

from proxy import __version__
from proxy.admin.bodies import (
    BODY_BYTES_MAX,
    check_members,
    pushed_event,
    read_object,
    split_weights,
)
from proxy.admin.guard import Guard, guard_requests
from proxy.admin.problems import answer_problems
from proxy.admin.stream import Streams
from proxy.control.controller import VERBS, Controller
from proxy.errors import NotFoundError, RequestError, SettingsError

ACTOR_CHARS_MAX = 100
"""Longest caller's name that is kept in a decision."""
LINES_AT_ONCE = 60
"""Lines of a recording in one write: about a hundred KiB of a busy service."""
NUMBER_DIGITS_MAX = 18
"""Decision numbers fit into SQLite's 64-bit integers."""

OVERRIDE = "override_freeze"

_COMMAND_KINDS: Mapping[str, type] = {
    "reason": str,
    "revision": str,
    "full": bool,
    "force": bool,
    OVERRIDE: str,
    "owner": str,
}
_OPEN_PATHS = frozenset({"/livez"})
"""Answered to anybody: a probe has neither a token nor a name for us."""

FIELDS_OF_EVERY_ANSWER: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Server": "headgate",
}


def make_app(controller: Controller, guard: Guard) -> web.Application:
    """Return the admin API of one controller; every request passes ``guard``."""
    app = web.Application(
        middlewares=[answer_problems, guard_requests(guard, open_paths=_OPEN_PATHS)],
        client_max_size=BODY_BYTES_MAX,
    )
    app.on_response_prepare.append(add_fields)
    streams = Streams(controller)
    app.on_shutdown.append(streams.close)
    api = _Api(controller)
    app.add_routes(
        [
            web.get("/livez", _livez),
            web.get("/api/v1/version", _version),
            web.get("/api/v1/services", api.services),
            web.get("/api/v1/services/{service}", api.service),
            web.put("/api/v1/services/{service}/split", api.split),
            web.post("/api/v1/services/{service}/events", api.events),
            web.get("/api/v1/services/{service}/parallel", api.parallel),
            web.get("/api/v1/rollouts", api.rollouts),
            web.get("/api/v1/rollouts/{service}", api.rollout),
            web.get("/api/v1/rollouts/{service}/history", api.history),
            web.get("/api/v1/rollouts/{service}/decisions", api.decisions),
            web.get("/api/v1/rollouts/{service}/recording", api.recording),
            web.post("/api/v1/rollouts/{service}/{verb}", api.command),
            web.get("/api/v1/config", api.config),
            web.post("/api/v1/config/reload", api.reload),
            web.get("/api/v1/stream", streams.answer),
        ]
    )
    return app


async def add_fields(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Add the fields of every answer; aiohttp's own ``Server`` is replaced."""
    response.headers.update(FIELDS_OF_EVERY_ANSWER)


class _Api:
    """One method a resource; each is one call of the controller."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    async def services(self, _request: web.Request) -> web.Response:
        return _json(self._controller.services())

    async def service(self, request: web.Request) -> web.Response:
        return _json(self._controller.service(request.match_info["service"]))

    async def split(self, request: web.Request) -> web.Response:
        body = await read_object(request)
        override = body.pop(OVERRIDE, None) if _is_text(body.get(OVERRIDE)) else None
        weights, reason, force = split_weights(body)
        try:
            service = await self._controller.set_split(
                request.match_info["service"],
                weights,
                reason=reason,
                force=force,
                override_freeze=override or "",
                who=_caller(request),
            )
        except SettingsError as error:  # shares that cannot add up, not a file
            raise RequestError(
                HTTPStatus.UNPROCESSABLE_ENTITY, "InvalidSplit", str(error)
            ) from error
        return _json(service)

    async def events(self, request: web.Request) -> web.Response:
        version, event, count = pushed_event(await read_object(request))
        pushed = self._controller.push_events(
            request.match_info["service"], version=version, event=event, count=count
        )
        return _json(pushed)

    async def parallel(self, request: web.Request) -> web.Response:
        return _json(self._controller.parallel(request.match_info["service"]))

    async def rollouts(self, _request: web.Request) -> web.Response:
        return _json(self._controller.rollouts())

    async def rollout(self, request: web.Request) -> web.Response:
        return _json(self._controller.rollout(request.match_info["service"]))

    async def history(self, request: web.Request) -> web.Response:
        return _json(self._controller.history(request.match_info["service"]))

    async def decisions(self, request: web.Request) -> web.Response:
        decisions = self._controller.decisions(
            request.match_info["service"],
            rollout=request.query.get("rollout"),
            after=_number(request.query, "after"),
        )
        return _json(decisions)

    async def recording(self, request: web.Request) -> web.StreamResponse:
        lines = self._controller.recording(
            request.match_info["service"], rollout=request.query.get("rollout")
        )
        response = web.StreamResponse()
        response.content_type = "application/x-ndjson"
        response.enable_compression()
        await response.prepare(request)
        for batch in batched(lines, LINES_AT_ONCE):
            await response.write("".join(f"{line}\n" for line in batch).encode())
        await response.write_eof()
        return response

    async def command(self, request: web.Request) -> web.Response:
        verb = request.match_info["verb"]
        if verb not in VERBS:
            near = get_close_matches(verb, VERBS, n=1)
            hint = f"did you mean {near[0]}" if near else "expected " + ", ".join(VERBS)
            raise NotFoundError(f"there is no verb {verb!r}, {hint}")
        body = await read_object(request)
        check_members(body, _COMMAND_KINDS)
        rollout = await self._controller.command(
            request.match_info["service"],
            verb,
            reason=body.get("reason") or "",
            revision=body.get("revision"),
            full=body.get("full") or False,
            force=body.get("force") or False,
            override_freeze=body.get(OVERRIDE) or "",
            owner=body.get("owner") or "",
            who=_caller(request),
        )
        return _json(rollout)

    async def config(self, _request: web.Request) -> web.Response:
        return _json(self._controller.config())

    async def reload(self, request: web.Request) -> web.Response:
        check_members(await read_object(request), {})
        return _json(await self._controller.reload())


async def _livez(_request: web.Request) -> web.Response:
    """Tell that the control process turns; readiness is the workers' to tell."""
    return web.Response(text="ok\n")


async def _version(_request: web.Request) -> web.Response:
    return _json({"version": __version__, "python": platform.python_version()})


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _json(document: object) -> web.Response:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return web.Response(body=text.encode() + b"\n", content_type="application/json")


def _number(query: Mapping[str, str], name: str) -> int:
    """Return a query parameter that counts; 0 when it is absent."""
    text = query.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX):
        raise RequestError(
            HTTPStatus.BAD_REQUEST,
            "InvalidParameter",
            f"{name} is {text[:NUMBER_DIGITS_MAX]!r}, expected a number from 0",
        )
    return int(text)


def _caller(request: web.Request) -> str:
    """
    Return who asks, for the decision: the name they give, and their address.

    The name (``X-Headgate-Actor``) is a courtesy among people who share a token;
    it proves nothing.
    """
    given = request.headers.get("X-Headgate-Actor", "")
    name = "".join(char for char in given if char.isprintable())[:ACTOR_CHARS_MAX]
    return f"{name or 'api'} from {request.remote or 'unknown'}"


def batched(lines: Iterable[str], count: int) -> Iterator[list[str]]:
    """Yield the lines in lists of ``count``."""
    rest = iter(lines)
    while batch := list(islice(rest, count)):
        yield batch
