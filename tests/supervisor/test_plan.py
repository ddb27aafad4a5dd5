"""The plan: what is written is what is read; what is no plan is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import StartError
from proxy.supervisor.plan import (
    Modules,
    TcpAddress,
    UnixAddress,
    parse_address,
    parse_plan,
)

DOCUMENT: dict[str, Any] = {
    "config": "/etc/headgate.yaml",
    "settings": {"services": {}},
    "listen": ["0.0.0.0:8080", "[::]:8080", "unix:/run/headgate.sock"],
    "health": "0.0.0.0:9902",
    "admin": None,
    "workers": 4,
    "state_dir": "/var/lib/headgate",
    "drain": {"delay": 0, "timeout": 30.5},
    "limits": {"connections": 20_000, "body": None},
    "log_format": "json",
    "log_level": "info",
}


def test_a_plan_reads_as_it_was_written() -> None:
    """Every key of the document arrives, and the modules have defaults."""
    plan = parse_plan(DOCUMENT)

    assert plan.listen == (
        TcpAddress("0.0.0.0", 8080),  # noqa: S104
        TcpAddress("::", 8080),
        UnixAddress("/run/headgate.sock"),
    )
    assert plan.health == TcpAddress("0.0.0.0", 9902)  # noqa: S104
    assert plan.admin is None
    assert (plan.workers, plan.state_dir) == (4, "/var/lib/headgate")
    assert (plan.drain.delay_s, plan.drain.timeout_s) == (0.0, 30.5)
    assert plan.limits == {"connections": 20_000, "body": None}
    assert plan.modules == Modules("proxy.dataplane", "proxy.admin", "proxy.compare")


def test_the_modules_can_be_replaced_one_by_one() -> None:
    """A test's worker runs beside the real control."""
    plan = parse_plan({**DOCUMENT, "modules": {"worker": "fake"}})

    assert plan.modules == Modules("fake", "proxy.admin")


@pytest.mark.parametrize("missing", sorted(DOCUMENT))
def test_a_plan_without_a_key_is_refused(missing: str) -> None:
    """The sentence names what is missing."""
    document = {key: value for key, value in DOCUMENT.items() if key != missing}

    with pytest.raises(StartError, match=f"plan cannot be read: .*{missing}"):
        parse_plan(document)


@given(st.none() | st.integers() | st.text() | st.lists(st.integers()))
def test_what_is_no_plan_is_refused(document: object) -> None:
    """Any other JSON ends in a sentence, never in a traceback."""
    with pytest.raises(StartError, match="plan cannot be read"):
        parse_plan(document)


hosts = st.sampled_from(["127.0.0.1", "::1", "::", "localhost", "", "shop.example"])


@given(hosts, st.integers(0, 65_535))
def test_addresses_read_back_as_shown(host: str, port: int) -> None:
    """What is logged can be written into the file."""
    address = TcpAddress(host, port)

    assert parse_address(str(address)) == address


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "h:65536", "h:²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """The value stands in the sentence."""
    with pytest.raises(ValueError, match="expected HOST:PORT or unix:PATH"):
        parse_address(text)
