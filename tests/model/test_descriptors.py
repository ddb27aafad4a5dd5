"""Open files: the limit that is proposed works, and one more does not."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.model.descriptors import descriptors_needed, most_connections


@given(st.integers(0, 10**7))
def test_the_most_connections_are_just_allowed(connections: int) -> None:
    """The limit that the sentence proposes works, and one more does not."""
    needed = descriptors_needed(connections)

    assert most_connections(needed) == connections
    assert most_connections(needed - 1) == max(0, connections - 1)
