"""``wait``: the exit code is the outcome of the rollout."""

from tests.support.admin_api import admin_api
from tests.support.headgate_command import headgate, started
from tests.support.standin_controller import StandInController


async def test_success_exits_0_and_says_where_it_stands() -> None:
    """The phase is printed when it changes, and the end is the exit code."""
    controller = StandInController()
    async with (
        admin_api(controller) as api,
        started("wait", "checkout", "--admin", api.url) as process,
    ):
        assert process.stdout is not None
        first = (await process.stdout.readline()).decode()
        controller.rollout_document |= {"phase": "Succeeded", "reason": ""}
        out, err = await process.communicate()

    assert first == "checkout: Progressing (Undecided) · step 2 of 3 · canary 40 %\n"
    assert out.decode().startswith("checkout: Succeeded · ")
    assert (process.returncode, err) == (0, b"")


async def test_a_rollback_exits_1() -> None:
    """Rolled back is a failure, with its reason on stdout."""
    controller = StandInController()
    controller.rollout_document |= {"phase": "RolledBack", "reason": "SloViolated"}
    async with admin_api(controller) as api:
        told = ("--revision", "2.4.0", "--admin", api.url)
        done = await headgate("wait", "checkout", *told)

    assert done.code == 1
    assert "RolledBack (SloViolated)" in done.out


async def test_the_timeout_exits_1_and_says_so() -> None:
    """Time over is a failure that names where the rollout still stands."""
    async with admin_api(StandInController()) as api:
        arguments = ("wait", "checkout", "--timeout", "10ms", "--admin", api.url)
        done = await headgate(*arguments)

    assert done.code == 1
    assert done.err.startswith("headgate: timed out after 0.01 s, still checkout: Prog")


async def test_another_revision_is_not_waited_for() -> None:
    """The end of an earlier rollout is not taken for this one's."""
    controller = StandInController()
    controller.rollout_document |= {"phase": "Succeeded", "revision": "2.3.0"}
    arguments = ("wait", "checkout", "--revision", "2.4.0")
    async with (
        admin_api(controller) as api,
        started(*arguments, "--admin", api.url) as process,
    ):
        assert process.stdout is not None
        await process.stdout.readline()
        controller.rollout_document["revision"] = "2.4.0"
        await process.communicate()

    assert process.returncode == 0


async def test_the_end_of_an_earlier_rollout_is_not_believed_at_once() -> None:
    """Right after a deployment the next one begins; its end is what counts."""
    controller = StandInController()
    controller.rollout_document |= {"id": "checkout-6", "phase": "Succeeded"}
    controller.rollout_document["pending"] = "2.5.0"
    async with (
        admin_api(controller) as api,
        started("wait", "checkout", "--admin", api.url) as process,
    ):
        assert process.stdout is not None
        first = (await process.stdout.readline()).decode()
        later = {"id": "checkout-7", "revision": "2.5.0", "phase": "RolledBack"}
        controller.rollout_document |= {**later, "pending": None}
        out, _ = await process.communicate()

    assert "Succeeded" in first
    assert "checkout-6 revision 2.4.0" in first
    assert "checkout-7 revision 2.5.0" in out.decode()
    assert process.returncode == 1


async def test_an_ended_rollout_is_believed_after_a_while() -> None:
    """When nothing else begins, the last one's end is the answer."""
    controller = StandInController()
    controller.rollout_document["phase"] = "Succeeded"
    async with admin_api(controller) as api:
        done = await headgate("wait", "checkout", "--admin", api.url)

    assert done.code == 0


async def test_an_unknown_service_exits_1() -> None:
    """Waiting for nothing is refused at once."""
    async with admin_api(StandInController()) as api:
        done = await headgate("wait", "nobody", "--admin", api.url)

    assert done.code == 1
    assert "no service 'nobody'" in done.err
