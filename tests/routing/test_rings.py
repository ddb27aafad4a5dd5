"""Rings: a weight that is meant for some requests alone, read from the row."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from proxy.http1.request import Request, RequestParser
from proxy.routing import decide
from proxy.routing.decide import OpenRings, in_rings, open_rings
from proxy.routing.table import RouteTable, Service
from proxy.telemetry import layout, slab
from tests.support.route_table import compiled, service_of

RINGS = [
    {"when": {"header": {"x-env": "eu-1"}}, "bound": 100_000},
    {"when": {"cookie": {"group": "beta"}}, "bound": 20_000},
]


def table() -> RouteTable:
    """Return a table with two rings."""
    return compiled(service_of(rings=RINGS))


def service() -> Service:
    """Return its service."""
    return table().services[0]


def request(*lines: str) -> Request:
    """Return a parsed request."""
    parser = RequestParser(table().watched, target_bytes_max=1000, fields_max=50)
    head = "\r\n".join(("GET / HTTP/1.1", "Host: a", *lines)).encode()
    parsed = parser.parse(head)
    assert isinstance(parsed, Request)
    return parsed


EU = request("x-env: eu-1")
BETA = request("Cookie: group=beta")
BOTH = request("x-env: eu-1", "Cookie: group=beta")
OTHER = request("x-env: us-1")


def test_the_words_are_the_slabs() -> None:
    """The pure rule and the slab's layout speak of the same bits."""
    assert decide.RING_PLACE == layout.RING_PLACE
    assert decide.RING_MARK == layout.RING_MARK
    assert decide.RING_ALL == layout.RING_ALL
    assert decide.RING_COUNT_MASK == layout.RING_COUNT_MASK


@given(count=st.integers(1, 2), everybody=st.booleans(), lid=st.integers(0, 100_000))
def test_what_control_writes_is_what_workers_read(
    *,
    count: int,
    everybody: bool,
    lid: int,
) -> None:
    """Through the slab's own row, in which versions are read as before."""
    fd = slab.create(1)
    control = slab.ControlSlab(fd)
    row = [(1, 5_000), (0, 100_000)]
    epoch = control.write_weights(3, row, slab.Rings(count, everybody, lid))
    shared = slab.WorkerSlab(fd, 0).shared
    base = layout.service_base(3)

    found = open_rings(shared, base, epoch, service())
    assert control.weights(3) == row
    assert control.rings(3) == slab.Rings(count, everybody, lid)
    assert decide.row_of(shared, base, epoch) == ((5_000, 1), (100_000, 0))
    assert found is not None
    assert (len(found.conditions), found.all) == (count, everybody)
    assert all(bound <= lid for _, bound in found.conditions)


def test_a_row_for_everybody_has_no_rings() -> None:
    """The usual row costs nothing more."""
    words = array("Q", [0]) * 512
    assert open_rings(words, 128, 1, service()) is None


def rings(count: int, *, all_: bool = False, lid: int = 100_000) -> OpenRings:
    """Return open rings as a worker has them."""
    found = [(ring.condition, min(ring.bound, lid)) for ring in service().rings[:count]]
    alone = service().rings[count - 1].bound == 100_000
    return OpenRings(tuple(found), all=all_, alone=alone)


def test_the_first_ring_alone() -> None:
    """All of it has the canary, nobody else; stable's evidence is from outside."""
    one = rings(1)
    assert in_rings(one, EU, 99_999, by_weight=True) == (True, True)
    assert in_rings(one, OTHER, 0, by_weight=True) == (False, True)


def test_a_wider_ring_keeps_the_one_before() -> None:
    """Who is in both keeps the canary; evidence is of the new ring alone."""
    two = rings(2)
    assert in_rings(two, EU, 99_999, by_weight=False) == (True, False)
    assert in_rings(two, BETA, 19_999, by_weight=True) == (True, True)
    assert in_rings(two, BETA, 20_000, by_weight=False) == (False, True)
    assert in_rings(two, BOTH, 50_000, by_weight=False) == (True, False)
    assert in_rings(two, OTHER, 0, by_weight=True) == (False, False)


def test_a_weight_for_all_adds_to_the_rings() -> None:
    """Everybody by the weight, the rings by theirs, evidence from outside them."""
    everybody = rings(2, all_=True)
    assert in_rings(everybody, OTHER, 4_999, by_weight=True) == (True, True)
    assert in_rings(everybody, OTHER, 5_000, by_weight=False) == (False, True)
    assert in_rings(everybody, EU, 99_999, by_weight=False) == (True, False)


def test_a_lowered_weight_is_a_lid_on_every_ring() -> None:
    """What a person or a lack of capacity lowers, no ring gives back."""
    low = rings(2, all_=True, lid=2_000)
    assert in_rings(low, EU, 1_999, by_weight=True) == (True, False)
    assert in_rings(low, EU, 2_000, by_weight=False) == (False, False)


@given(st.integers(0, 99_999), st.sampled_from([EU, BETA, BOTH, OTHER]))
def test_opening_more_only_adds_units(bucket: int, who: Request) -> None:
    """From ring to ring to everybody nobody loses the canary."""
    ways = [rings(1), rings(2), rings(2, all_=True)]
    given_ = [in_rings(way, who, bucket, by_weight=False)[0] for way in ways]
    assert given_ == sorted(given_)
