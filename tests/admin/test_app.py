"""The admin API's resources, asked over real sockets."""

import pytest

from proxy import __version__
from proxy.errors import ConflictError, SettingsError, StoreError
from tests.support.admin_api import admin_api
from tests.support.standin_controller import StandInController

READS = [
    ("/api/v1/services", list),
    ("/api/v1/services/checkout", dict),
    ("/api/v1/services/checkout/parallel", dict),
    ("/api/v1/rollouts", list),
    ("/api/v1/rollouts/checkout", dict),
    ("/api/v1/rollouts/checkout/history", list),
    ("/api/v1/rollouts/checkout/decisions", list),
    ("/api/v1/config", dict),
    ("/api/v1/version", dict),
]


@pytest.mark.parametrize(("path", "kind"), READS)
async def test_every_read_answers_json_that_nobody_keeps(path: str, kind: type) -> None:
    """Each documented GET answers 200 with JSON, and no cache may store it."""
    async with admin_api(StandInController()) as api:
        answer = await api.ask("GET", path)

    assert answer.status == 200
    assert isinstance(answer.json, kind)
    assert answer.fields["content-type"] == "application/json"
    assert answer.fields["cache-control"] == "no-store"
    assert "aiohttp" not in answer.fields["server"]


async def test_version_names_this_version() -> None:
    """The version resource tells the package's version."""
    async with admin_api(StandInController()) as api:
        answer = await api.ask("GET", "/api/v1/version")

    assert answer.json["version"] == __version__


async def test_livez_tells_that_control_turns() -> None:
    """The probe answers in plain text."""
    async with admin_api(StandInController()) as api:
        answer = await api.ask("GET", "/livez")

    assert (answer.status, answer.body) == (200, b"ok\n")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v1/services/nobody/parallel",
        "/ofrep/v1/evaluate/flags",
        "/api/v1/services/nobody",
        "/api/v1/rollouts/nobody",
    ],
)
async def test_what_is_not_there_is_a_404_problem(path: str) -> None:
    """Later features, unknown services and paths are problems with a sentence."""
    async with admin_api(StandInController()) as api:
        answer = await api.ask("GET", path)

    assert answer.status == 404
    assert answer.fields["content-type"].startswith("application/problem+json")
    assert answer.json["type"] == "about:blank"
    assert answer.json["title"] == "Not Found"
    assert answer.json["status"] == 404
    assert answer.json["reason"] == "NotFound"
    assert " " in answer.json["detail"]


async def test_a_wrong_method_is_405_and_says_which_are_right() -> None:
    """A GET on a change, or a POST on a read, names what is allowed."""
    async with admin_api(StandInController()) as api:
        answer = await api.ask("POST", "/api/v1/services")

    assert answer.status == 405
    assert answer.json["reason"] == "MethodNotAllowed"
    assert "GET" in answer.fields["allow"]


@pytest.mark.parametrize(
    "verb", ["start", "promote", "pause", "resume", "abort", "retry", "skip"]
)
async def test_every_verb_reaches_the_controller(verb: str) -> None:
    """A verb with all its options is handed on as it was sent, with who asks."""
    controller = StandInController()
    body = {"reason": "a reason", "revision": "2.4.0", "full": True}
    async with admin_api(controller) as api:
        answer = await api.ask(
            "POST",
            f"/api/v1/rollouts/checkout/{verb}",
            body,
            X_Headgate_Actor="ann@laptop",
        )

    assert answer.json == controller.rollout_document
    assert controller.asked == [
        {**body, "verb": verb, "force": False, "who": "ann@laptop from 127.0.0.1"}
    ]


async def test_a_verb_needs_no_body() -> None:
    """``curl -X POST .../abort`` works: nothing else is needed in an emergency."""
    controller = StandInController()
    async with admin_api(controller) as api:
        answer = await api.ask("POST", "/api/v1/rollouts/checkout/abort")

    assert answer.status == 200
    assert controller.asked[0]["verb"] == "abort"


async def test_an_unknown_verb_is_refused_with_a_sentence() -> None:
    """A misspelt verb gets 404 and the likely one."""
    async with admin_api(StandInController()) as api:
        answer = await api.ask("POST", "/api/v1/rollouts/checkout/promte")

    assert answer.status == 404
    assert "did you mean promote" in answer.json["detail"]


async def test_a_stale_revision_is_a_409() -> None:
    """A command for a revision that is no longer current is refused as conflict."""
    async with admin_api(StandInController()) as api:
        answer = await api.ask(
            "POST", "/api/v1/rollouts/checkout/promote", {"revision": "2.3.9"}
        )

    assert (answer.status, answer.json["reason"]) == (409, "Conflict")
    assert "2.3.9" in answer.json["detail"]


async def test_split_hands_on_weights_reason_and_force() -> None:
    """The split takes shares in percent beside its options."""
    controller = StandInController()
    async with admin_api(controller) as api:
        answer = await api.ask(
            "PUT",
            "/api/v1/services/checkout/split",
            {"canary": 5, "reason": "try", "force": True},
        )

    assert answer.json["split"] == {"stable": 95, "canary": 5}
    asked = controller.asked[0]
    assert (asked["weights"], asked["reason"], asked["force"]) == (
        {"canary": 5.0},
        "try",
        True,
    )


async def test_decisions_can_be_read_on_from_a_number() -> None:
    """``rollout`` and ``after`` reach the controller; a bad number is refused."""
    controller = StandInController()
    path = "/api/v1/rollouts/checkout/decisions"
    async with admin_api(controller) as api:
        good = await api.ask("GET", f"{path}?rollout=checkout-7&after=2")
        bad = await api.ask("GET", f"{path}?after=-1")

    assert [found["number"] for found in good.json] == [3]
    assert controller.asked == [{"rollout": "checkout-7", "after": 2}]
    assert (bad.status, bad.json["reason"]) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ConflictError("`workers` needs a restart"), 409, "Conflict"),
        (SettingsError(("f:1:1: x: y",)), 422, "InvalidConfiguration"),
        (StoreError("the disk is full"), 503, "StoreUnavailable"),
    ],
)
async def test_a_refused_reload_says_why(
    error: Exception, status: int, reason: str
) -> None:
    """Errors of the controller become problems with their own status."""
    controller = StandInController()
    controller.fail_with = error
    async with admin_api(controller) as api:
        answer = await api.ask("POST", "/api/v1/config/reload")

    assert (answer.status, answer.json["reason"]) == (status, reason)


async def test_a_bad_file_is_reported_line_by_line() -> None:
    """All mistakes of a file are members of the problem."""
    controller = StandInController()
    controller.fail_with = SettingsError(("f:1:1: a", "f:2:1: b"))
    async with admin_api(controller) as api:
        answer = await api.ask("POST", "/api/v1/config/reload")

    assert answer.json["problems"] == ["f:1:1: a", "f:2:1: b"]
    assert "2 mistakes" in answer.json["detail"]


async def test_an_unforeseen_error_shows_a_number_and_no_inside(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A bug answers 500 with an incident that the log has with its trace."""
    controller = StandInController()
    controller.fail_with = ZeroDivisionError("secret inside")
    async with admin_api(controller) as api:
        answer = await api.ask("GET", "/api/v1/services")

    assert (answer.status, answer.json["reason"]) == (500, "InternalError")
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    logged = capfd.readouterr().err
    assert answer.json["incident"] in logged
    assert "ZeroDivisionError" in logged


async def test_an_actor_cannot_write_lines_into_the_record() -> None:
    """A caller's name is cut, and stripped of what is not printable."""
    controller = StandInController()
    async with admin_api(controller) as api:
        await api.ask(
            "POST",
            "/api/v1/rollouts/checkout/pause",
            X_Headgate_Actor="e\x9b31mve" + "x" * 500,
        )

    who = controller.asked[0]["who"]
    assert who.startswith("e31mve")
    assert len(who) < 130


async def test_pushed_events_reach_the_controller() -> None:
    """The contract's body is handed on; a push without a count is of one event."""
    controller = StandInController()
    path = "/api/v1/services/checkout/events"
    body = {"version": "canary", "event": "orders", "count": 3}
    async with admin_api(controller) as api:
        answer = await api.ask("POST", path, body)
        await api.ask("POST", path, {"version": "canary", "event": "orders"})

    assert answer.json == {"service": "checkout", **body}
    assert controller.asked == [body, {**body, "count": 1}]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"event": "orders"}, "version is missing"),
        ({"version": "canary"}, "event is missing"),
        ({"version": "canary", "event": "orders", "count": 0}, "expected 1 to"),
        ({"version": "canary", "event": "orders", "count": 10**7}, "expected 1 to"),
        ({"version": "canary", "event": "orders", "count": "3"}, "expected a number"),
        ({"version": "canary", "event": "orders", "counts": 3}, "did you mean"),
    ],
)
async def test_a_push_that_says_too_little_is_refused(
    body: dict[str, object], says: str
) -> None:
    """400 with the member that is wrong; nothing is counted."""
    controller = StandInController()
    async with admin_api(controller) as api:
        answer = await api.ask("POST", "/api/v1/services/checkout/events", body)

    assert answer.status == 400
    assert says in answer.json["detail"]
    assert controller.asked == []


async def test_a_recording_is_lines_of_json() -> None:
    """All of them, however many; who asks for another rollout gets 404."""
    controller = StandInController()
    controller.recorded = 1000
    path = "/api/v1/rollouts/checkout/recording"
    async with admin_api(controller) as api:
        answer = await api.ask("GET", path)
        other = await api.ask("GET", f"{path}?rollout=checkout-9")

    assert answer.fields["content-type"] == "application/x-ndjson"
    assert len(answer.body.splitlines()) == 1000
    assert (other.status, other.json["reason"]) == (404, "NotFound")
