"""``diff``: what differs, for people and for CI."""

import json
from xml.etree import ElementTree as ET

from tests.support.admin_api import admin_api
from tests.support.headgate_command import headgate
from tests.support.parallel_run import equivalent_report
from tests.support.standin_controller import PARALLEL, StandInController


async def test_a_regression_is_named_with_the_way_to_see_it() -> None:
    """Verdict, counts, field, hint and command; a diverging candidate exits 1."""
    async with admin_api(StandInController()) as api:
        done = await headgate("diff", "checkout", "--admin", api.url)

    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert done.code == 1
    title = "checkout diverging canary against stable, run canary-2.4.0-0a1b"
    assert lines[0] == title
    assert "regression $.items[].price (value) of GET /orders/{id}" in lines
    assert "hint tolerance 0.01 would hide 80 of 80" in lines
    assert "try curl -sS -i http://127.0.0.1:9002/orders/7" in lines
    assert "copies 80 of 90 compared; skipped: body 3, method 7" in lines
    assert "GET /orders/{id} $.id value 80 0 0 1 noise" in lines


async def test_an_equivalent_candidate_exits_0() -> None:
    """The rate is bounded, and what is noise is no reason to fail."""
    controller = StandInController()
    controller.parallel_document |= equivalent_report()
    async with admin_api(controller) as api:
        done = await headgate("diff", "checkout", "--admin", api.url)

    assert done.code == 0
    assert "checkout  equivalent" in done.out
    assert "allowed 0.5 %" in done.out


async def test_other_formats() -> None:
    """JSON is the report itself; JUnit and Markdown are for CI."""
    async with admin_api(StandInController()) as api:
        as_json, as_junit, as_markdown = [
            await headgate("diff", "checkout", "-o", form, "--admin", api.url)
            for form in ("json", "junit", "markdown")
        ]

    assert json.loads(as_json.out) == PARALLEL
    suite = ET.fromstring(as_junit.out)  # noqa: S314 - our own
    assert suite.get("tests") == "2"
    assert suite.get("failures") == "2"
    failure = suite.find("testcase[@name='GET /orders/{id}']/failure")
    assert failure is not None
    assert failure.get("message") == "$.items[].price (value)"
    assert as_markdown.out.startswith("### Parallel run of checkout: **diverging**")
    assert "| GET /orders/{id} | $.items[].price | value |" in as_markdown.out
    assert {as_json.code, as_junit.code, as_markdown.code} == {1}


async def test_too_little_to_tell_is_skipped_in_junit() -> None:
    """An inconclusive run neither passes nor fails."""
    controller = StandInController()
    controller.parallel_document |= {"verdict": "inconclusive", "endpoints": []}
    async with admin_api(controller) as api:
        done = await headgate("diff", "checkout", "-o", "junit", "--admin", api.url)

    suite = ET.fromstring(done.out)  # noqa: S314 - our own
    assert done.code == 0
    assert suite.find("testcase/skipped") is not None


async def test_a_service_that_compares_nothing_exits_1() -> None:
    """The API's sentence is passed on."""
    async with admin_api(StandInController()) as api:
        done = await headgate("diff", "nobody", "--admin", api.url)

    assert done.code == 1
    assert "nobody" in done.err
