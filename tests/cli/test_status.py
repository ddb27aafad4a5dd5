"""``status``: tables, trees and documents, once or followed."""

import asyncio
import json
import signal
import socket
from contextlib import AsyncExitStack

from tests.support.admin_api import admin_api
from tests.support.headgate_command import headgate, on_terminal, started
from tests.support.standin_controller import StandInController

ESCAPE = "\x1b"


async def test_all_services_are_a_table_in_plain_text() -> None:
    """A pipe gets one aligned line a service and no control sequence."""
    async with admin_api(StandInController()) as api:
        done = await headgate("status", "--admin", api.url)

    title, row = done.out.splitlines()
    assert title.split()[:3] == ["SERVICE", "PHASE", "REASON"]
    assert "checkout  Progressing  Undecided  2/3   stable 60 %, canary 40 %" in row
    assert ESCAPE not in done.out


async def test_one_service_is_a_tree_that_says_why_and_what_next() -> None:
    """Phase, reason, weights, step, why, next and when are all there, uncut."""
    async with admin_api(StandInController()) as api:
        done = await headgate("status", "checkout", "--admin", api.url, COLUMNS="20")

    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[0].startswith("checkout Progressing (Undecided) · rollout checkout-7")
    assert "weights stable 60 %, canary 40 %" in lines
    assert "step 2 of 3: 20 → [40] → 100" in lines
    assert "why step 2 needs about 110 more canary requests" in lines
    assert (
        "next advance to 100, not before 2026-11-22T10:02:41Z, waits for min_requests"
    ) in lines
    assert any("canary 221 ms" in line and "limit 1.1" in line for line in lines)


async def test_json_has_every_public_key_at_its_top() -> None:
    """Scripts read the rollout's keys, with the service's versions beside them."""
    controller = StandInController()
    async with admin_api(controller) as api:
        one = await headgate("status", "checkout", "-o", "json", "--admin", api.url)
        every = await headgate("status", "-o", "json", "--admin", api.url)

    document = json.loads(one.out)
    assert controller.rollout_document.items() <= document.items()
    assert document["versions"] == controller.service_document["versions"]
    assert json.loads(every.out) == [document]


async def test_a_service_without_a_rollout_has_a_status_too() -> None:
    """A split by hand alone is shown, with the phase it has."""
    controller = StandInController()
    controller.rollouts = list  # type: ignore[method-assign]
    controller.service_document |= {"phase": "Idle", "reason": ""}
    async with admin_api(controller) as api:
        done = await headgate("status", "checkout", "--admin", api.url)

    assert done.code == 0
    assert done.out.splitlines()[0] == "checkout  Idle"


async def test_what_others_wrote_cannot_steer_the_terminal() -> None:
    """Control characters in a message are replaced."""
    controller = StandInController()
    controller.rollout_document["message"] = "evil \x1b[2J clear"
    async with admin_api(controller) as api:
        done = await headgate("status", "checkout", "--admin", api.url)

    assert ESCAPE not in done.out
    assert "evil \N{REPLACEMENT CHARACTER}[2J clear" in done.out


async def test_no_color_gives_a_terminal_plain_text() -> None:
    """``NO_COLOR`` holds on a terminal too."""
    async with (
        admin_api(StandInController()) as api,
        on_terminal("status", "--admin", api.url, NO_COLOR="1") as terminal,
    ):
        shown = await terminal.read_until("checkout")

    assert ESCAPE not in shown


async def test_a_terminal_gets_colours() -> None:
    """Without ``NO_COLOR`` the phase is coloured."""
    async with (
        admin_api(StandInController()) as api,
        on_terminal("status", "--admin", api.url) as terminal,
    ):
        shown = await terminal.read_until("checkout")

    assert ESCAPE in shown


async def test_watching_a_pipe_prints_a_line_when_something_changes() -> None:
    """Lines carry the time; nothing is repeated; Ctrl-C ends with 0."""
    controller = StandInController()
    arguments = ("status", "checkout", "--watch")
    async with (
        admin_api(controller) as api,
        started(*arguments, "--admin", api.url) as process,
    ):
        assert process.stdout is not None
        first = (await process.stdout.readline()).decode()
        controller.rollout_document["phase"] = "RolledBack"
        second = (await process.stdout.readline()).decode()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()

    assert "checkout: Progressing (Undecided) · step 2 of 3" in first
    assert "checkout: RolledBack" in second
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_watching_on_a_terminal_redraws_a_tree() -> None:
    """The tree follows the rollout in place, and Ctrl-C ends with 0."""
    controller = StandInController()
    arguments = ("status", "checkout", "--watch")
    async with (
        admin_api(controller) as api,
        on_terminal(*arguments, "--admin", api.url) as terminal,
    ):
        await terminal.read_until("Ctrl-C ends")
        controller.rollout_document["phase"] = "RolledBack"
        shown = await terminal.read_until("RolledBack")
        code = await terminal.interrupt()

    assert code == 0
    assert ESCAPE in shown


async def test_watching_outlives_a_restart_of_control() -> None:
    """While nobody answers the last state stands, and news follow."""
    controller = StandInController()
    async with AsyncExitStack() as stack:
        async with admin_api(controller) as api:
            arguments = ("status", "checkout", "--watch", "--admin", api.url)
            process = await stack.enter_async_context(started(*arguments))
            assert process.stdout is not None
            await process.stdout.readline()
        with socket.create_server(("127.0.0.1", api.port)) as nobody:
            peer, _ = await asyncio.to_thread(nobody.accept)
            peer.close()
        controller.rollout_document["phase"] = "Succeeded"
        async with admin_api(controller, port=api.port):
            news = (await process.stdout.readline()).decode()
        process.send_signal(signal.SIGINT)
        await process.wait()

    assert "Succeeded" in news
    assert process.returncode == 0
