"""The verbs: what they ask for, and what they print."""

import asyncio

import pytest

from proxy.cli.entry import run
from proxy.cli.verbs import parse_weights
from tests.support.admin_api import admin_api
from tests.support.headgate_command import headgate
from tests.support.standin_controller import StandInController


async def test_a_verb_asks_with_all_its_options() -> None:
    """Reason, revision and ``--full`` reach the API, with who typed it."""
    controller = StandInController()
    arguments = ("--full", "--reason", "good night", "--revision", "2.4.0")
    async with admin_api(controller) as api:
        done = await headgate("promote", "checkout", *arguments, "--admin", api.url)

    asked = controller.asked[0]
    assert done.code == 0
    assert (asked["verb"], asked["full"]) == ("promote", True)
    assert (asked["reason"], asked["revision"]) == ("good night", "2.4.0")
    assert "@" in asked["who"]
    assert done.out.startswith("checkout: Progressing (Undecided) · step 2 of 3 · ")


async def test_every_verb_is_its_own_command() -> None:
    """The seven verbs of the contract post to their own resource."""
    controller = StandInController()
    verbs = ["start", "promote", "pause", "resume", "abort", "retry", "skip"]
    async with admin_api(controller) as api:
        codes = [
            await asyncio.to_thread(run, [verb, "checkout", "--admin", api.url])
            for verb in verbs
        ]

    assert codes == [0] * 7
    assert [asked["verb"] for asked in controller.asked] == verbs


async def test_freeze_says_whose_it_is() -> None:
    """A reason is required, the owner is the caller's to name."""
    controller = StandInController()
    async with admin_api(controller) as api:
        told = ("--reason", "incident", "--owner", "ops", "--admin", api.url)
        done = await headgate("freeze", "checkout", *told)
        bare = await headgate("freeze", "checkout", "--admin", api.url)
        lifted = await headgate("unfreeze", "checkout", "--admin", api.url)

    assert (done.code, bare.code, lifted.code) == (0, 2, 0)
    asked = controller.asked[0]
    assert (asked["verb"], asked["reason"], asked["owner"]) == (
        "freeze",
        "incident",
        "ops",
    )
    assert controller.asked[1]["verb"] == "unfreeze"


async def test_an_override_of_a_freeze_reaches_the_api() -> None:
    """With every verb that raises, and with split."""
    controller = StandInController()
    override = ("--override-freeze", "hotfix")
    async with admin_api(controller) as api:
        for verb in ("start", "promote"):
            await headgate(verb, "checkout", *override, "--admin", api.url)
        split = ("split", "checkout", "canary=5", *override)
        await headgate(*split, "--admin", api.url)

    assert [asked["override_freeze"] for asked in controller.asked] == ["hotfix"] * 3


async def test_a_stale_revision_exits_1() -> None:
    """A 409 is told in the API's words."""
    async with admin_api(StandInController()) as api:
        arguments = ("abort", "checkout", "--revision", "2.3.9", "--admin", api.url)
        done = await headgate(*arguments)

    assert done.code == 1
    assert done.err == "headgate: the current revision is 2.4.0, not 2.3.9\n"


async def test_split_prints_what_holds_then() -> None:
    """The split is printed as the file would say it."""
    controller = StandInController()
    arguments = ("canary=5%", "--reason", "look", "--force")
    async with admin_api(controller) as api:
        done = await headgate("split", "checkout", *arguments, "--admin", api.url)

    asked = controller.asked[0]
    assert (done.code, done.out) == (0, "checkout: split {stable: 95, canary: 5}\n")
    assert (asked["weights"], asked["reason"], asked["force"]) == (
        {"canary": 5.0},
        "look",
        True,
    )


@pytest.mark.parametrize(
    ("texts", "weights"),
    [
        (["canary=5"], {"canary": 5.0}),
        (["canary=0.001%", "stable=99.999"], {"canary": 0.001, "stable": 99.999}),
    ],
)
def test_shares_are_percentages(texts: list[str], weights: dict[str, float]) -> None:
    """With or without the sign, one a version."""
    assert parse_weights(texts) == weights


@pytest.mark.parametrize("text", ["canary", "=5", "canary=", "canary=nan", "canary=-1"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """The text that is wrong is named."""
    with pytest.raises(ValueError, match="expected"):
        parse_weights([text])
