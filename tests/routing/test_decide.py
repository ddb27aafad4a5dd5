"""The decision: override, else the unit's bucket under the weights in force."""

from array import array
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1.request import Request, RequestParser
from proxy.routing import decide
from proxy.routing.buckets import bucket_of_unit
from proxy.routing.table import RouteTable, Service
from proxy.telemetry import layout
from tests.support.route_table import compiled, service_of

BASE = 128
UNITS = [f"user-{number}".encode() for number in range(100_000)]


def words(*entries: tuple[int, int], epoch: int = 1) -> "array[int]":
    """Return a services area whose row of ``epoch`` holds (version, bound)."""
    out = array("Q", [0]) * 512
    at = BASE + decide.ROWS_AT + (epoch & 1) * decide.ROW_WORDS
    for place, (version, bound) in enumerate(entries):
        out[at + place] = version << decide.VERSION_SHIFT | bound
    return out


def request_of(
    table: RouteTable, *lines: str, first: str = "GET /a HTTP/1.1"
) -> Request:
    """Return a parsed request with the fields the table watches."""
    parser = RequestParser(table.watched, target_bytes_max=1000, fields_max=50)
    head = "\r\n".join((first, "Host: shop.test", *lines)).encode()
    request = parser.parse(head)
    assert isinstance(request, Request)
    return request


def test_the_row_lies_where_the_slab_says() -> None:
    """The pure rule and the slab's layout speak of the same words."""
    assert decide.ROWS_AT == layout.S_ROWS
    assert decide.ROW_WORDS == layout.ROW_WORDS
    assert decide.BOUND_MASK == layout.ROW_BOUND_MASK
    assert decide.VERSION_SHIFT == layout.ROW_VERSION_SHIFT


# --- rows ---

versions = st.lists(st.integers(0, 14), min_size=1, max_size=15, unique=True)


@st.composite
def rows(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Return a full row: rising bounds, the last 100 000."""
    order = draw(versions)
    cuts = draw(
        st.lists(
            st.integers(0, 100_000), min_size=len(order) - 1, max_size=len(order) - 1
        )
    )
    return list(zip(order, [*sorted(cuts), 100_000], strict=True))


@given(rows(), st.integers(0, 99_999), st.integers(1, 2**40))
def test_pick_is_the_owner_of_the_bucket(
    row: list[tuple[int, int]], bucket: int, epoch: int
) -> None:
    """The first bound above the bucket, in the row of the epoch alone."""
    area = words(*row, epoch=epoch)

    owner = next(version for version, bound in row if bucket < bound)
    assert decide.owner_of(decide.row_of(area, BASE, epoch), bucket) == owner


@given(rows(), st.integers(1, 2**40))
def test_shares_are_what_pick_gives(row: list[tuple[int, int]], epoch: int) -> None:
    """Each version's share, over all of them 100 000."""
    area = words(*row, epoch=epoch)
    bounds = [0, *(bound for _, bound in row)]
    wanted = {
        version: high - low
        for (version, _), (low, high) in zip(row, pairwise(bounds), strict=True)
    }

    shares = {
        version: decide.share_of(decide.row_of(area, BASE, epoch), version)
        for version in range(15)
    }

    assert shares == {version: wanted.get(version, 0) for version in range(15)}
    assert sum(shares.values()) == 100_000


def test_a_row_that_nobody_wrote_gives_all_to_the_first() -> None:
    """Before control's first weights traffic goes somewhere, and nowhere new."""
    area = words()

    assert decide.owner_of(decide.row_of(area, BASE, 0), 5) == 0
    assert decide.share_of(decide.row_of(area, BASE, 0), 1) == 0


def test_a_full_row_is_not_read_past_its_end() -> None:
    """A torn or foreign row ends in version 0, not in the neighbour's words."""
    area = words(*((version, 10) for version in range(16)))
    area[BASE + decide.ROWS_AT + 2 * decide.ROW_WORDS] = 7 << 32 | 100_000

    assert decide.owner_of(decide.row_of(area, BASE, 1), 50_000) == 0
    assert decide.share_of(decide.row_of(area, BASE, 1), 7) == 0


@pytest.mark.parametrize("weight", [0, 1, 5_000, 20_000, 99_999, 100_000])
def test_the_canarys_units_are_exactly_those_below_the_weight(weight: int) -> None:
    """The contract: it owns the buckets [0, weight), over 100 000 units."""
    service = compiled(service_of()).services[0]
    row = decide.row_of(words((1, weight), (0, 100_000)), BASE, 1)
    below = 0

    for unit in UNITS:
        bucket = bucket_of_unit(service.salt, unit)
        below += bucket < weight
        assert (decide.owner_of(row, bucket) == 1) == (bucket < weight)

    assert abs(below - weight) < 700


def test_raising_the_weight_only_adds_units() -> None:
    """Nobody who has the canary loses it; lowering removes the newest."""
    service = compiled(service_of()).services[0]
    buckets = [bucket_of_unit(service.salt, unit) for unit in UNITS]
    had: set[int] = set()

    for weight in (1_000, 20_000, 40_000, 100_000):
        row = decide.row_of(words((1, weight), (0, 100_000)), BASE, 1)
        have = {
            number
            for number, bucket in enumerate(buckets)
            if decide.owner_of(row, bucket) == 1
        }
        assert had < have
        had = have


def test_two_services_assign_independently() -> None:
    """A user who sees one canary is not therefore on the other's."""
    one, other = compiled(
        service_of(name="one", salt="one", match=[{"host": "one"}]),
        service_of(name="other", salt="other", match=[{"host": "other"}]),
    ).services
    both = sum(
        bucket_of_unit(one.salt, unit) < 20_000
        and bucket_of_unit(other.salt, unit) < 20_000
        for unit in UNITS
    )

    assert abs(both - 4_000) < 4 * 62


# --- units ---

SOURCES: list[dict[str, Any]] = [
    {"header": "X-User-Id"},
    {"cookie": "headgate_id", "issue": True, "max_age_s": 60},
    {"client_address": True},
]


@pytest.mark.parametrize(
    ("lines", "unit"),
    [
        (("X-User-Id: ann", "Cookie: headgate_id=7"), b"ann"),
        (("x-user-id:", "Cookie: a=b; headgate_id=7"), b"7"),
        (("Cookie: a=b",), b"10.0.0.1"),
        ((), b"10.0.0.1"),
        (("X-User-Id: " + "x" * 600,), b"x" * decide.UNIT_BYTES_MAX),
    ],
)
def test_the_first_source_that_is_present_wins(
    lines: tuple[str, ...], unit: bytes
) -> None:
    """In the order of the file; an empty value is nobody."""
    table = compiled(service_of(unit=SOURCES))

    found = decide.unit_of(table.services[0], request_of(table, *lines), b"10.0.0.1")

    assert found == unit


def test_a_request_may_belong_to_nobody() -> None:
    """Then it is drawn, by the data plane."""
    table = compiled(service_of(unit=SOURCES[:2]))

    assert decide.unit_of(table.services[0], request_of(table), b"10.0.0.1") == b""


def test_the_source_that_issues() -> None:
    """One of them may hand out ids."""
    issuing: Service = compiled(service_of(unit=SOURCES)).services[0]
    silent: Service = compiled(service_of(unit=SOURCES[:1])).services[0]

    source = decide.cookie_to_issue(issuing)

    assert source is not None
    assert (source.name, source.max_age_s) == (b"headgate_id", 60)
    assert decide.cookie_to_issue(silent) is None


def test_the_bucket_uses_the_services_salt() -> None:
    """As the contract has it, over the salt of the table."""
    service = compiled(service_of(salt="2.4.0")).services[0]

    assert bucket_of_unit(service.salt, b"user-1") == 9029
    assert bucket_of_unit(service.salt, b"user-1") == bucket_of_unit(
        b"2.4.0\0", b"user-1"
    )


# --- overrides ---


@pytest.mark.parametrize(
    ("when", "lines", "first", "holds"),
    [
        ({"header": {"X-V": "canary"}}, ("x-v: canary",), None, True),
        ({"header": {"X-V": "canary"}}, ("x-v: other",), None, False),
        ({"header": {"X-V": "*"}}, ("X-V: any",), None, True),
        ({"header": {"X-V": "*"}}, (), None, False),
        ({"cookie": {"beta": "1"}}, ("Cookie: a=b; beta=1",), None, True),
        ({"cookie": {"beta": "1"}}, ("Cookie: beta=2",), None, False),
        ({"cookie": {"beta": "*"}}, ("Cookie: beta=2",), None, True),
        ({"cookie": {"beta": "*"}}, (), None, False),
        ({"method": "POST"}, (), "POST /a HTTP/1.1", True),
        ({"method": "POST"}, (), "GET /a HTTP/1.1", False),
        ({"path_prefix": "/v2"}, (), "GET /v2/x?y HTTP/1.1", True),
        ({"path_prefix": "/v2"}, (), "GET /v2x HTTP/1.1", False),
        (
            {"method": "POST", "header": {"a": "1", "b": "*"}},
            ("A: 1", "B: x"),
            "POST / HTTP/1.1",
            True,
        ),
        (
            {"method": "POST", "header": {"a": "1", "b": "*"}},
            ("A: 1",),
            "POST / HTTP/1.1",
            False,
        ),
    ],
)
def test_overrides(
    when: dict[str, Any], lines: tuple[str, ...], first: str | None, *, holds: bool
) -> None:
    """Every part that is given must hold."""
    table = compiled(service_of(overrides=[{"when": when, "version": 1}]))
    request = request_of(table, *lines, first=first or "GET /a HTTP/1.1")

    named = decide.overridden(table.services[0], request)

    assert named == (1 if holds else None)


def test_the_first_override_that_holds_wins() -> None:
    """In the order of the file."""
    overrides = [
        {"when": {"header": {"a": "1"}}, "version": 1},
        {"when": {"header": {"b": "1"}}, "version": 0},
    ]
    table = compiled(service_of(overrides=overrides))

    both = decide.overridden(table.services[0], request_of(table, "B: 1", "A: 1"))
    second = decide.overridden(table.services[0], request_of(table, "B: 1"))

    assert (both, second) == (1, 0)
