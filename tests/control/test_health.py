"""Health: asked by a connect or a path, and turned by results in a row."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.control.health import Check, Prober, Report, Tally, check_of
from proxy.settings.schema import ServiceSettings
from tests.support.control_room import load
from tests.support.eventually import eventually
from tests.support.free_port import free_port
from tests.support.origin import running_origin

CHECK = Check("/", 1.0, rise=2, fall=3)


def service(*endpoints: str, check: str = "") -> ServiceSettings:
    """Return a service with one version and these endpoints."""
    listed = ", ".join(endpoints)
    text = (
        f"services: {{shop: {{versions: {{only: {{endpoints: [{listed}]}}}}{check}}}}}"
    )
    return load(text).settings.services["shop"]


def test_first_result_counts_at_once() -> None:
    """A start does not wait for ``rise`` checks."""
    tally = Tally(CHECK)

    assert tally.add(True)  # noqa: FBT003 -- a result
    assert tally.healthy


def test_turns_after_fall_and_rise_in_a_row() -> None:
    """Two bad checks of three leave it healthy; the third turns it, two good back."""
    tally = Tally(CHECK)
    results = [True, False, False, True, False, False, False, True, True]

    states = []
    for good in results:
        tally.add(good)
        states.append(tally.healthy)

    assert states == [True] * 6 + [False] * 2 + [True]


@given(st.lists(st.booleans(), min_size=1))
def test_change_is_told_exactly_when_the_state_changes(results: list[bool]) -> None:
    """``add`` is true on each change and on no other result."""
    tally = Tally(CHECK)
    for good in results:
        before = tally.healthy
        assert tally.add(good) is (tally.healthy != before)


def test_path_and_counts_come_from_the_settings() -> None:
    """The file's ``health_check`` is what is asked."""
    text = ", health_check: {path: /healthz, interval: 3s, rise: 4, fall: 5}"

    found = check_of(service("http://127.0.0.1:1", check=text).health_check)

    assert found == Check("/healthz", 3.0, 4, 5)


async def test_connect_is_enough_without_a_check() -> None:
    """A version that accepts connections is healthy; one that refuses is not."""
    reports: list[tuple[str, str, float]] = []
    async with running_origin() as origin:
        prober = Prober("shop", service(origin.url), _into(reports))
        prober.start()
        await eventually(lambda: bool(reports))
        prober.stop()
    assert reports == [("shop", "only", 1.0)]

    refused = Prober("shop", service(f"http://127.0.0.1:{free_port()}"), _into(reports))
    refused.start()
    await eventually(lambda: len(reports) > 1)
    refused.stop()
    assert reports[1:] == [("shop", "only", 0.0)]


async def test_path_that_answers_500_is_unhealthy() -> None:
    """An endpoint that accepts but fails its check gets no rollout."""
    reports: list[tuple[str, str, float]] = []
    check = ", health_check: {path: /healthz, interval: 100ms, rise: 1, fall: 1}"
    async with running_origin() as origin:
        origin.status = 500
        prober = Prober("shop", service(origin.url, check=check), _into(reports))
        prober.start()
        await eventually(lambda: len(reports) == 1)
        origin.status = 302
        await eventually(lambda: len(reports) == 2)
        prober.stop()

    assert [capacity for _, _, capacity in reports] == [0.0, 1.0]
    assert set(origin.paths) == {"/healthz"}


async def test_one_healthy_endpoint_makes_a_version_healthy() -> None:
    """A version with one dead endpoint of two still serves, at half its capacity."""
    reports: list[tuple[str, str, float]] = []
    async with running_origin() as origin:
        dead = f"http://127.0.0.1:{free_port()}"
        prober = Prober("shop", service(dead, origin.url), _into(reports))
        prober.start()
        await eventually(lambda: ("shop", "only", 0.5) in reports)
        prober.stop()

    assert all(capacity for _, _, capacity in reports)


def _into(reports: list[tuple[str, str, float]]) -> Report:
    return lambda *report: reports.append(report)
