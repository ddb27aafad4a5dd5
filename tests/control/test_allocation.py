"""Places of the slab: kept while used, freed late, never given out twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.allocation import (
    ARM_CONTROL,
    ARM_MIRROR,
    Allocation,
    Kind,
    Wish,
    allocate,
)
from proxy.errors import TableError

SHOP = Wish("shop", ("stable", "canary"), ())
BLOG = Wish("blog", ("only",), ("GET /",))

names = st.sampled_from(["a", "b", "c"])
wishes = st.lists(
    st.builds(
        Wish,
        names,
        st.lists(names, min_size=1, unique=True).map(tuple),
        st.lists(st.sampled_from(["GET /", "POST /"]), unique=True).map(tuple),
        st.lists(st.sampled_from(["orders", "gifts"]), unique=True).map(tuple),
    ),
    unique_by=lambda wish: wish.service,
    max_size=3,
)


def grow(present: Allocation, *wanted: Wish, generation: int = 1) -> Allocation:
    """Allocate with no table in use but the one before."""
    return allocate(
        present, wanted, generation=generation, oldest_in_use=generation - 1
    )[0]


def held_by(allocation: Allocation, service: str) -> bool:
    """Return whether a service still holds anything."""
    return any(place.key[0] == service for place in allocation.places)


def test_each_arm_has_cells_for_all_routes() -> None:
    """Versions, control and mirror each own one cell and one a route."""
    allocation = grow(Allocation(), BLOG)

    cells = [allocation.cell(BLOG, arm) for arm in ("only", ARM_CONTROL, ARM_MIRROR)]
    assert cells == [0, 2, 4]


def test_places_stay_when_another_service_comes() -> None:
    """The figures of a service go on through a reload."""
    before = grow(Allocation(), SHOP)
    after = grow(before, BLOG, SHOP, generation=2)

    assert after.slot(SHOP) == before.slot(SHOP)
    assert after.cell(SHOP, "canary") == before.cell(SHOP, "canary")
    assert after.seen(SHOP, "canary") == before.seen(SHOP, "canary")


def test_another_order_of_versions_needs_another_slot() -> None:
    """A weight row names versions by index; cells belong to their names."""
    before = grow(Allocation(), SHOP)
    turned = Wish("shop", ("canary", "stable"), ())
    after = grow(before, turned, generation=2)

    assert after.slot(turned) != before.slot(SHOP)
    assert after.cell(turned, "canary") == before.cell(SHOP, "canary")


def test_place_is_held_while_a_worker_uses_an_older_table() -> None:
    """A slot is given away only once no live table names it."""
    first = grow(Allocation(), SHOP)
    held, _ = allocate(first, [BLOG], generation=2, oldest_in_use=1)
    still, _ = allocate(held, [BLOG], generation=3, oldest_in_use=1)
    news = Wish("news", ("only",), ())
    free, fresh = allocate(still, [BLOG, news], generation=4, oldest_in_use=3)

    assert held.slot(BLOG) == 1
    assert held_by(still, "shop")
    assert not held_by(free, "shop")
    assert free.slot(news) == 0
    assert Kind.SLOT in {place.kind for place in fresh}


def test_place_that_comes_back_in_time_is_not_new() -> None:
    """A version that is named again before its place was freed keeps its counts."""
    first = grow(Allocation(), SHOP)
    without, _ = allocate(first, [BLOG], generation=2, oldest_in_use=1)
    back, fresh = allocate(without, [BLOG, SHOP], generation=3, oldest_in_use=1)

    assert fresh == []
    assert back.cell(SHOP, "canary") == first.cell(SHOP, "canary")


def test_allocation_is_read_back_from_a_table() -> None:
    """A restarted control process goes on with the same places."""
    before, _ = allocate(
        grow(Allocation(), SHOP), [BLOG], generation=2, oldest_in_use=1
    )

    after = Allocation.from_document({"places": before.as_json()})

    assert after.places == before.places


def test_slab_that_is_full_is_a_sentence() -> None:
    """More cells than the slab has is an error that names the remedy."""
    routes = tuple(f"GET /{number}" for number in range(32))
    many = [Wish(f"s{n}", ("a", "b"), routes) for n in range(63)]

    with pytest.raises(TableError, match="more than 8192 cell places"):
        grow(Allocation(), *many)


@given(st.lists(wishes, min_size=1, max_size=5))
def test_no_place_is_ever_shared(history: list[list[Wish]]) -> None:
    """Whatever reloads follow one another, held places do not overlap."""
    allocation = Allocation()
    for generation, wanted in enumerate(history, start=1):
        allocation, _ = allocate(
            allocation, wanted, generation=generation, oldest_in_use=generation - 1
        )
        for kind in Kind:
            # A service's event words are its own.
            units = [
                (place.key[0] if kind is Kind.EVENT else "", unit)
                for place in allocation.places
                if place.kind is kind
                for unit in range(place.first, place.first + place.count)
            ]
            assert len(units) == len(set(units))


def test_events_have_words_of_their_service() -> None:
    """Each service begins at its own word 0; versions have a table an event."""
    shop = Wish("shop", ("stable", "canary"), (), ("orders", "gifts"))
    blog = Wish("blog", ("only",), (), ("reads",))
    allocation = grow(Allocation(), shop, blog)

    assert [allocation.event(shop, name) for name in shop.events] == [0, 1]
    assert allocation.event(blog, "reads") == 0
    tables = {
        allocation.trials(wish, version, event)
        for wish in (shop, blog)
        for version in wish.versions
        for event in ("", *wish.events)
    }
    seen = {allocation.seen(shop, name) for name in shop.versions}
    assert len(tables) == 8
    assert not tables & seen


def test_an_event_that_comes_in_between_moves_no_other() -> None:
    """A reload that adds an event does not mix up the counts of the others."""
    before = grow(Allocation(), Wish("shop", ("a",), (), ("orders",)))
    more = Wish("shop", ("a",), (), ("gifts", "orders"))
    after = grow(before, more, generation=2)

    assert after.event(more, "orders") == 0
    assert after.event(more, "gifts") == 1
