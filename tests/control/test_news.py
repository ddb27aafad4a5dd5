"""Notifications: edges, once, in order, retried, and never in the loop's way."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.control import news as module
from proxy.control.news import QUEUE_MAX, News
from proxy.rollout.events import Command, Verb
from tests.support.control_room import BASE, ControlRoom
from tests.support.eventually import eventually
from tests.support.gate_server import gate_server

JsonObject = dict[str, Any]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry soon."""
    monkeypatch.setattr(module, "RETRY_S", 0.01)


class Works:
    """A control room whose decisions are told."""

    def __init__(self, state_dir: Path, tail: str) -> None:
        self.room = ControlRoom(state_dir)
        self.room.begin(BASE + tail)
        self.decided: list[JsonObject] = []
        stewards = self.room.governor.stewards
        self.news = News(self.room.clock, self.room.store, stewards.get)
        self.tell()
        self.decided.clear()

    def order(self, verb: str, **more: Any) -> None:  # noqa: ANN401 -- as Command
        """Let Ann order something, and tell what was decided."""
        steward = self.room.governor.steward("shop")
        self.room.governor.order(steward, Command(Verb(verb), "ann", "why", **more))
        self.tell()

    def tell(self) -> None:
        """Tell what was published since."""
        for event in self.room.events:
            self.news.take(event)
            self.decided.append(event["decision"])
        self.room.events.clear()


async def test_what_is_asked_for_is_told_in_order(tmp_path: Path) -> None:
    """Started, paused, rolled back; what is not named is not told."""
    async with gate_server() as server:
        on = "on: [started, paused, rolled_back]"
        works = Works(tmp_path, f"      notify: [{{url: '{server.url}/n', {on}}}]\n")
        for verb in ("start", "promote", "pause", "abort"):
            works.order(verb)
        await server.heard(3)

    events = [document["event"] for document in server.documents]
    assert events == ["started", "paused", "rolled_back"]
    assert server.documents[2]["decision"]["who"] == "ann"
    assert server.documents[2]["headline"] == "shop 2.4.0: rolled back"
    await eventually(lambda: works.news.sent["shop", "sent"] == 3)


async def test_the_same_news_are_told_once(tmp_path: Path) -> None:
    """A decision that is seen twice is one message."""
    async with gate_server() as server:
        tail = f"      notify: [{{url: '{server.url}/n', on: [started]}}]\n"
        works = Works(tmp_path, tail)
        steward = works.room.governor.steward("shop")
        works.room.governor.order(steward, Command(Verb.START, "ann"))
        seen = list(works.room.events)
        for event in [*seen, *seen]:
            works.news.take(event)
        await eventually(lambda: works.news.sent["shop", "sent"] == 1)
        await asyncio.sleep(0)
        assert len(server.seen) == 1


async def test_a_receiver_that_fails_is_tried_again(tmp_path: Path) -> None:
    """The message arrives when the receiver is back."""
    async with gate_server() as server:
        server.status = 503
        on = "on: [started], retries: 20"
        tail = f"      notify: [{{url: '{server.url}/n', {on}}}]\n"
        works = Works(tmp_path, tail)
        works.order("start")
        await server.heard(2)
        server.status = 200
        await eventually(lambda: works.news.sent["shop", "sent"] == 1)


async def test_what_cannot_be_delivered_is_counted(tmp_path: Path) -> None:
    """After its retries a message is left, and the next one is tried."""
    async with gate_server() as server:
        server.mood = "die"
        tail = f"      notify: [{{url: '{server.url}/n', on: [started], retries: 1}}]\n"
        works = Works(tmp_path, tail)
        works.order("start")
        await eventually(lambda: works.news.sent["shop", "failed"] == 1)
        assert len(server.seen) == 2


async def test_what_was_not_told_before_a_restart_is_told(tmp_path: Path) -> None:
    """A process that dies with its messages is followed by one that sends them."""
    async with gate_server() as server:
        server.mood = "hang"
        tail = f"      notify: [{{url: '{server.url}/n', on: [started, paused]}}]\n"
        works = Works(tmp_path, tail)
        works.news.resume(["shop"])
        works.news.note()
        works.order("start")
        await server.heard(1)
        works.news.note()
        works.order("pause")
        works.news.stop()

        server.mood = "fair"
        governor = works.room.restart(BASE + tail)
        again = News(works.room.clock, works.room.store, governor.stewards.get)
        again.resume(["shop"])
        await eventually(lambda: again.sent["shop", "sent"] == 2)
        again.note()
        third = News(works.room.clock, works.room.store, governor.stewards.get)
        third.resume(["shop"])
        assert third.sent.total() == 0

    events = [document["event"] for document in server.documents]
    assert events == ["started", "started", "paused"]


async def test_the_queue_is_bounded(tmp_path: Path) -> None:
    """A receiver that hangs costs its oldest messages, and nobody's time."""
    async with gate_server() as server:
        server.mood = "hang"
        tail = f"      notify: [{{url: '{server.url}/n', on: [frozen, thawed]}}]\n"
        works = Works(tmp_path, tail)
        works.order("freeze")
        decision = works.decided[0]
        for number in range(QUEUE_MAX + 9):
            works.news.take(
                {"type": "decision", "decision": {**decision, "message": str(number)}}
            )
        # One is on its way, or still the first in the queue.
        assert works.news.sent["shop", "dropped"] in (8, 9, 10)
        works.news.stop()


async def test_the_url_may_be_a_secret(tmp_path: Path) -> None:
    """``url_file`` is read when something is sent."""
    async with gate_server() as server:
        file = tmp_path / "url"
        file.write_text(f"{server.url}/T000/B000\n")
        tail = f"      notify: [{{url_file: '{file}', on: [started], format: slack}}]\n"
        works = Works(tmp_path / "state", tail)
        works.order("start")
        await server.heard(1)

    assert server.seen[0][0] == "/T000/B000"
    assert server.documents[0]["text"] == "shop 2.4.0: started"


async def test_gates_that_are_only_told(tmp_path: Path) -> None:
    """``event`` hears every decision, ``post-rollout`` the end; Flagger's metadata."""
    async with gate_server() as server:
        gates = ", ".join(
            f"{{type: {kind}, url: '{server.url}/{kind}'}}"
            for kind in ("event", "post-rollout")
        )
        works = Works(tmp_path, f"      gates: [{gates}]\n")
        works.order("start")
        works.order("abort")
        await server.heard(3)

    told = sorted(
        (path, doc["phase"])
        for (path, _, _), doc in zip(server.seen, server.documents, strict=True)
    )
    assert told == [
        ("/event", "Failed"),
        ("/event", "Progressing"),
        ("/post-rollout", "Failed"),
    ]
    assert set(server.documents[0]["metadata"]) == {
        "eventMessage",
        "eventType",
        "timestamp",
    }
