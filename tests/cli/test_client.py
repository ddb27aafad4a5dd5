"""The client: what it sends, and what it makes of answers."""

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proxy.admin.guard import Guard
from proxy.cli import client
from proxy.cli.client import AdminClient
from proxy.errors import AdminError, AdminUnreachableError
from tests.support.admin_api import admin_api
from tests.support.standin_controller import StandInController


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Answer every GET alike; yield the URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        """One fixed answer."""

        def do_GET(self) -> None:
            """Answer."""
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        thread.join()


async def test_the_token_is_sent() -> None:
    """With the token the API answers; without it, the variable is named."""
    guard = Guard(read_token=lambda: "s3cret")
    async with admin_api(StandInController(), guard) as api:
        good = AdminClient(api.url, "s3cret")
        found = await asyncio.to_thread(good.get, "services", "checkout")
        with pytest.raises(AdminError, match="set HEADGATE_TOKEN"):
            await asyncio.to_thread(AdminClient(api.url).get, "services")

    assert found["name"] == "checkout"


async def test_names_are_quoted_and_absent_parameters_left_out() -> None:
    """A service with a slash in its name is one segment of the path."""
    controller = StandInController()
    async with admin_api(controller) as api:
        ask = AdminClient(api.url).get
        with pytest.raises(AdminError, match="no service 'a/b ü'"):
            await asyncio.to_thread(ask, "services", "a/b ü")
        await asyncio.to_thread(ask, "rollouts", "checkout", "decisions", rollout=None)

    assert controller.asked == [{"rollout": None, "after": 0}]


def test_a_base_path_is_kept() -> None:
    """An API behind a path of another proxy is reached."""
    with answering(200, b"[]") as url:
        assert AdminClient(f"{url}/gate/").get("services") == []


def test_all_mistakes_of_a_problem_are_lines() -> None:
    """A refused reload is told with every mistake of the file."""
    problem = {"detail": "2 mistakes", "problems": ["f:1:1: a", "f:2:1: b"]}
    with (
        answering(422, json.dumps(problem).encode()) as url,
        pytest.raises(AdminError) as caught,
    ):
        AdminClient(url).get("config")

    assert str(caught.value).splitlines() == ["2 mistakes", "f:1:1: a", "f:2:1: b"]


def test_an_error_without_a_sentence_tells_its_status() -> None:
    """JSON that is no problem document is a refusal still."""
    with (
        answering(502, b"[]") as url,
        pytest.raises(AdminError, match="status 502"),
    ):
        AdminClient(url).get("services")


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of an answer is bounded."""
    monkeypatch.setattr(client, "ANSWER_BYTES_MAX", 10)
    with (
        answering(200, b"[" + b" " * 20 + b"]") as url,
        pytest.raises(AdminUnreachableError, match="too large"),
    ):
        AdminClient(url).get("services")
