"""The retry budget: a share of the requests and ten a second, over ten seconds."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.dataplane.budget import A_SECOND, SECONDS, TOKENS_MIN, Budget

SHARE = 0.2


def spent(budget: Budget) -> int:
    """Return how many tokens there were."""
    count = 0
    while budget.spend():
        count += 1
    return count


def test_it_begins_with_ten_seconds_of_the_fixed_part() -> None:
    """Counters of the worker before it are no requests of its own."""
    budget = Budget()
    budget.earn(1_000_000, SHARE, 50.0)

    assert spent(budget) == TOKENS_MIN == 100


def test_an_idle_version_earns_ten_a_second() -> None:
    """Without a request."""
    budget = Budget()
    budget.earn(0, SHARE, 50.0)
    spent(budget)
    budget.earn(0, SHARE, 53.0)

    assert spent(budget) == 30


def test_a_share_of_the_requests_is_there_at_once() -> None:
    """Not only at the end of the second: an outage begins within one."""
    budget = Budget()
    budget.earn(0, SHARE, 50.0)
    spent(budget)
    budget.earn(400, SHARE, 50.1)

    assert spent(budget) == 400 * SHARE + 1


def test_no_more_than_ten_seconds_worth_is_saved() -> None:
    """A quiet night is no reason for a storm of retries."""
    budget = Budget()
    for second in range(3600):
        budget.earn(second * 1000, SHARE, 50.0 + second)

    assert spent(budget) == (1000 * SHARE + A_SECOND) * SECONDS


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0.01, 2)), min_size=1))
def test_retries_stay_within_the_contract(seconds: list[tuple[int, float]]) -> None:
    """However greedily it is spent: 20 % + 10/s, and the reserve of the start."""
    budget = Budget()
    requests, now_s, attempts = 0, 50.0, 0
    budget.earn(0, SHARE, now_s)
    for more, passed_s in seconds:
        requests += more
        now_s += passed_s
        budget.earn(requests, SHARE, now_s)
        attempts += spent(budget)

    allowed = TOKENS_MIN + SHARE * requests + A_SECOND * (now_s - 50.0)
    assert attempts <= allowed + 1e-6
