"""Unix time as text agrees with the standard library."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from proxy.model.instants import rfc3339


@given(st.floats(0.0, 253_402_300_799.0))
def test_agrees_with_datetime(unix_s: float) -> None:
    """Every second up to the year 9999 reads as datetime says."""
    moment = datetime.fromtimestamp(int(unix_s), tz=UTC)

    assert rfc3339(unix_s) == f"{moment:%Y-%m-%dT%H:%M:%S}Z".rjust(20, "0")
