"""Polled revisions: only what all endpoints agree on is one."""

import asyncio

import pytest

from proxy.control.client import BODY_BYTES_MAX, Reply
from proxy.control.revisions import (
    REVISION_CHARS_MAX,
    Poller,
    Source,
    agreed,
    ask,
    revision_in,
    source_of,
)
from tests.support.control_room import load
from tests.support.eventually import eventually
from tests.support.free_port import free_port
from tests.support.origin import running_origin


@pytest.mark.parametrize(
    ("body", "revision"),
    [
        (b"2.4.0\n", "2.4.0"),
        (b"  v1 \r\n", "v1"),
        (b"", None),
        (b"a\nb", None),
        (b"x" * REVISION_CHARS_MAX, "x" * REVISION_CHARS_MAX),
        (b"x" * (REVISION_CHARS_MAX + 1), None),
        (b"\x00", None),
    ],
)
def test_body_is_one_printable_line(body: bytes, revision: str | None) -> None:
    """A revision is a word; a page of HTML is none."""
    assert revision_in(Reply(200, body)) == revision


@pytest.mark.parametrize(
    ("answers", "revision"),
    [
        (["1", "1"], "1"),
        (["1", None], "1"),
        (["1", "2"], None),
        ([None, None], None),
    ],
)
def test_endpoints_must_agree(answers: list[str | None], revision: str | None) -> None:
    """A deployment that is half done is not taken for a revision."""
    assert agreed(answers) == revision


async def test_endpoint_is_asked_at_the_path() -> None:
    """The body of a 200 is the revision; another status says nothing."""
    async with running_origin() as origin:
        origin.body = b"2.4.0"
        assert await ask(origin.url, Source("/version")) == "2.4.0"
        origin.status = 404
        assert await ask(origin.url, Source("/version")) is None

    assert origin.paths == ["/version", "/version"]


async def test_endless_body_is_not_read() -> None:
    """At most ``BODY_BYTES_MAX`` are taken, and that is no revision."""
    async with running_origin() as origin:
        origin.body = b"x" * BODY_BYTES_MAX * 100
        assert await ask(origin.url, Source("/version")) is None


async def test_refused_connection_says_nothing() -> None:
    """An endpoint that is down neither has a revision nor raises."""
    assert await ask(f"http://127.0.0.1:{free_port()}", Source("/version")) is None


async def test_changes_are_reported_as_they_come() -> None:
    """The poller goes on, over failures too."""
    reports: list[tuple[str, str, str]] = []
    async with running_origin() as origin:
        origin.body = b"1"
        text = (
            "services: {shop: {versions: {only: {endpoints: "
            f"[{origin.url}], revision: {{path: /version}}}}}}}}}}"
        )
        service = load(text).settings.services["shop"]
        poller = Poller(
            "shop", service, lambda *seen: reports.append(seen), poll_s=0.01
        )
        poller.start()
        await eventually(lambda: ("shop", "only", "1") in reports)
        origin.status = 500
        await asyncio.sleep(0)
        origin.status, origin.body = 200, b"2"
        await eventually(lambda: ("shop", "only", "2") in reports)
        poller.stop()


async def test_field_of_a_health_answer_is_a_revision() -> None:
    """A version without traffic shows it there; a missing field says nothing."""
    async with running_origin() as origin:
        origin.fields = {"X-App-Version": "2.4.0"}

        assert await ask(origin.url, Source("/healthz", "x-app-version")) == "2.4.0"
        assert await ask(origin.url, Source("/healthz", "x-other")) is None


@pytest.mark.parametrize(
    ("revision", "health", "source"),
    [
        ("{path: /version}", "", Source("/version")),
        (
            "{header: X-App-Version}",
            ", health_check: {path: /healthz}",
            Source("/healthz", "x-app-version"),
        ),
        ("{header: X-App-Version}", "", None),
        ('"2.4.0"', ", health_check: {path: /healthz}", None),
    ],
)
def test_what_can_be_asked(revision: str, health: str, source: Source | None) -> None:
    """A path is asked itself, a field where answers are asked for anyway."""
    text = (
        "services: {shop: {versions: {only: {endpoints: [http://127.0.0.1:1],"
        f" revision: {revision}}}}}{health}}}}}"
    )
    service = load(text).settings.services["shop"]

    found = source_of(service.versions["only"], service.health_check)

    assert found == source
