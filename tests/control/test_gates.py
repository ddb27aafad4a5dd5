"""Gates asked over real sockets: they open, close, hang, lie and die."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.control import gates as module
from proxy.control.gates import Gates
from proxy.model.vocabulary import Phase, Reason
from proxy.rollout.events import Command, Verb
from proxy.rollout.state import RolloutState
from tests.support.control_room import BASE, ControlRoom
from tests.support.eventually import eventually
from tests.support.gate_server import GateServer, gate_server


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry at once: what is waited for here is not the point."""
    monkeypatch.setattr(module, "RETRY_S", 0.0)


class Works:
    """A control room with gates on one server."""

    def __init__(self, state_dir: Path, *gates: str) -> None:
        self.room = ControlRoom(state_dir)
        lines = "".join(f"        - {gate}\n" for gate in gates)
        self.room.begin(BASE + "      gates:\n" + lines)
        self.gates = Gates(self.room.governor)

    @property
    def state(self) -> RolloutState:
        """The service's state."""
        return self.room.governor.steward("shop").state

    def start(self) -> None:
        """Let a person start."""
        steward = self.room.governor.steward("shop")
        self.room.governor.order(steward, Command(Verb.START, "ann"))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Ask whoever is due, a second at a time, until something holds."""

        def look() -> bool:
            self.room.clock.now_s += 1.0
            self.gates.look()
            return holds()

        await eventually(look)
        self.gates.stop()


def ask(server: GateServer, kind: str, more: str = "") -> str:
    """Return a gate of the file."""
    return f"{{type: {kind}, url: '{server.url}/{kind}', timeout: 300ms{more}}}"


async def test_a_gate_that_opens_lets_the_first_step_in(tmp_path: Path) -> None:
    """Flagger's payload, by POST; 2xx opens, and the step is saved and applied."""
    async with gate_server() as server:
        more = ", metadata: {team: shop}"
        works = Works(tmp_path, ask(server, "confirm-rollout", more))
        works.start()
        assert works.room.weights() == {"stable": 100.0}
        await works.until(lambda: works.state.phase is Phase.PROGRESSING)

    document = server.documents[0]
    assert {key: document[key] for key in ("name", "namespace", "phase")} == {
        "name": "shop",
        "namespace": "headgate",
        "phase": "Waiting",
    }
    assert document["metadata"] == {"team": "shop"}
    assert document["checksum"]
    assert works.room.weights() == {"canary": 20.0, "stable": 80.0}
    assert works.gates.calls["shop", "confirm-rollout", "open"] == 1


async def test_a_closed_gate_is_asked_again(tmp_path: Path) -> None:
    """Once an interval, for as long as it takes; the message says what it said."""
    async with gate_server() as server:
        server.status = 403
        works = Works(tmp_path, ask(server, "confirm-rollout", ", interval: 3s"))
        works.start()
        await works.until(lambda: len(server.seen) >= 3)
        assert works.state.message == "confirm-rollout is closed: 403 no"
        server.status = 200
        await works.until(lambda: works.state.phase is Phase.PROGRESSING)


@pytest.mark.parametrize("mood", ["hang", "die"])
@pytest.mark.parametrize("on_timeout", ["hold", "rollback"])
async def test_a_gate_that_does_not_answer(
    tmp_path: Path, mood: str, on_timeout: str
) -> None:
    """Its retries are used up; then it holds, or rolls back, as the file says."""
    async with gate_server() as server:
        server.mood = mood
        more = f", retries: 1, on_timeout: {on_timeout}"
        works = Works(tmp_path, ask(server, "confirm-rollout", more))
        works.start()
        await works.until(
            lambda: works.gates.calls["shop", "confirm-rollout", "none"] > 0
        )
        assert len(server.seen) >= 2

    held = (Phase.WAITING, Reason.GATE_CLOSED)
    ended = (Phase.ROLLED_BACK, Reason.GATE_CLOSED)
    assert (works.state.phase, works.state.reason) == (
        held if on_timeout == "hold" else ended
    )


async def test_half_an_answer_is_none(tmp_path: Path) -> None:
    """A server that promises more than it sends has not agreed."""
    async with gate_server() as server:
        server.mood = "lie"
        works = Works(tmp_path, ask(server, "confirm-rollout", ", retries: 0"))
        works.start()
        await works.until(
            lambda: works.gates.calls["shop", "confirm-rollout", "none"] > 0
        )
    assert works.state.phase is Phase.WAITING


async def test_a_hanging_gate_delays_no_abort(tmp_path: Path) -> None:
    """The call goes on by itself; its late answer changes nothing."""
    async with gate_server() as server:
        server.mood = "hang"
        works = Works(tmp_path, ask(server, "confirm-rollout"))
        works.start()
        works.gates.look()
        await server.heard(1)
        steward = works.room.governor.steward("shop")
        works.room.governor.order(steward, Command(Verb.ABORT, "ann"))
        assert works.state.phase is Phase.ROLLED_BACK
        await works.until(
            lambda: works.gates.calls["shop", "confirm-rollout", "none"] > 0
        )
    assert works.state.reason is Reason.MANUAL_ABORT


async def test_a_restart_asks_again(tmp_path: Path) -> None:
    """What is waited for is in the store; the question is not lost."""
    async with gate_server() as server:
        works = Works(tmp_path, ask(server, "confirm-rollout"))
        works.start()
        text = BASE + f"      gates: [{ask(server, 'confirm-rollout')}]\n"
        works.gates = Gates(works.room.restart(text))
        await works.until(lambda: works.state.phase is Phase.PROGRESSING)


async def test_a_failing_check_along_the_way_rolls_back(tmp_path: Path) -> None:
    """``rollout`` is asked while the canary has weight, with its retries."""
    async with gate_server() as server:
        works = Works(tmp_path, ask(server, "rollout", ", retries: 2, interval: 2s"))
        works.start()
        await works.until(lambda: len(server.seen) >= 2)
        server.status = 500
        await works.until(lambda: works.state.phase is Phase.ROLLED_BACK)
    assert works.room.weights() == {"stable": 100.0}
    assert works.state.message == "rollout refused: 500 no"


async def test_questions_are_signed(tmp_path: Path) -> None:
    """HMAC-SHA256 over time and body, with the key of a file."""
    secret = tmp_path / "key"
    secret.write_text("s3cret\n")
    async with gate_server() as server:
        more = f", secret_file: '{secret}'"
        works = Works(tmp_path / "state", ask(server, "confirm-rollout", more))
        works.start()
        await works.until(lambda: works.state.phase is Phase.PROGRESSING)

    _, fields, body = server.seen[0]
    stamp, found = fields["x-headgate-signature"].split(",")
    signed = stamp.removeprefix("t=").encode() + b"." + body
    made = hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert found == f"v1={made}"


async def test_one_question_at_a_time(tmp_path: Path) -> None:
    """A gate that hangs is not asked twice at once."""
    async with gate_server() as server:
        server.mood = "hang"
        works = Works(tmp_path, ask(server, "confirm-rollout", ", retries: 0"))
        works.start()
        for _ in range(5):
            works.gates.look()
            await asyncio.sleep(0)
        await server.heard(1)
        assert len(server.seen) == 1
        works.gates.stop()
