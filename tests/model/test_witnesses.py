"""One busy client is one witness, and one that always fails is heard rarely."""

from proxy.model.witnesses import Witnesses


def test_a_unit_is_heard_once_in_ten_seconds() -> None:
    """However often it asks; another unit is heard for itself."""
    heard = Witnesses()

    times_s = [second for second in range(30) if heard.hear("ann", second)]

    assert times_s == [0, 10, 20]
    assert heard.hear("bob", 5)


def test_a_unit_that_failed_is_silent_for_a_minute() -> None:
    """A client whose every request fails would speak against its version each time."""
    heard = Witnesses()
    heard.hear("ann", 0)
    heard.ended("ann", 200, 1)
    assert heard.hear("ann", 10)

    heard.ended("ann", 404, 11)

    assert not heard.hear("ann", 70)
    assert heard.hear("ann", 71)


def test_a_unit_that_was_slow_is_silent_for_a_minute() -> None:
    """Whoever is slow by themselves is one witness of it, and not many."""
    heard = Witnesses()
    heard.hear("ann", 0)

    heard.ended("ann", 200, 1, slow=True)

    assert not heard.hear("ann", 60)
    assert heard.hear("ann", 61)
