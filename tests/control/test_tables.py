"""The table document and the weight row, as workers read them."""

import json

from hypothesis import given
from hypothesis import strategies as st

from proxy.control.allocation import Allocation, allocate
from proxy.control.tables import Roles, row_of, salt_of, table_document, wish_of
from proxy.model.vocabulary import UNIT_BUCKETS
from proxy.routing.table import compile_table
from tests.support.control_room import load

FULL = """
access_log: {format: json, sample: 0.5, errors: 1.0}
trusted_proxies: [10.0.0.0/8]
services:
  shop:
    match: [{host: shop.example.com, path_prefix: /checkout}]
    versions:
      stable: {endpoints: [http://127.0.0.1:9001]}
      canary: {endpoints: ["unix:/run/c.sock"], revision: {header: x-app-version}}
    unit:
      - {header: x-user-id}
      - {cookie: headgate_id, issue: true, max_age: 24h}
      - {client_address: true}
    overrides:
      - {when: {header: {x-headgate-version: canary}}, version: canary}
      - {when: {cookie: {beta: "1"}, method: GET, path_prefix: /a}, version: canary}
    routes: ["POST /orders", "GET /orders/{id}"]
    host: endpoint
    timeouts: {request: 5s, send: off}
    mirror: {to: canary, during: always, percent: 50}
    rollout: {fail_fast: off, start: manual}
  rest:
    versions: {only: {endpoints: [http://localhost:81]}}
"""


def document(text: str = FULL) -> dict[str, object]:
    """Return the table document of a file."""
    loaded = load(text)
    services = loaded.settings.services
    wishes = [wish_of(name, service) for name, service in services.items()]
    allocation, _ = allocate(Allocation(), wishes, generation=1, oldest_in_use=0)
    roles = {name: Roles(*service.roles, "salt") for name, service in services.items()}
    return table_document(
        loaded.settings,
        generation=1,
        config_hash=loaded.hash,
        allocation=allocation,
        roles=roles,
    )


def test_workers_compile_every_setting() -> None:
    """What the file says arrives in the compiled table."""
    table = compile_table(json.dumps(document()).encode())

    shop, rest = table.services
    assert shop.matches == ((b"shop.example.com", b"/checkout"),)
    assert shop.versions[1].endpoints[0].unix == "/run/c.sock"
    assert shop.versions[1].revision_header == b"x-app-version"
    assert [unit.name for unit in shop.units] == [b"x-user-id", b"headgate_id", b""]
    assert shop.units[1].max_age_s == 86_400
    assert [version for _, version in shop.overrides] == [1, 1]
    assert shop.routes.number(b"GET", b"/orders/7") == 2
    assert shop.mirror is not None
    assert (shop.mirror.to, shop.mirror.always, shop.mirror.percent) == (1, True, 50)
    assert (shop.timeouts.request, shop.timeouts.send) == (5.0, None)
    assert shop.fail_fast is None
    assert (rest.stable, rest.canary) == (0, None)
    assert table.trusted_proxies == ("10.0.0.0/8",)
    assert table.access_log["format"] == "json"


def test_document_is_plain_json() -> None:
    """It reads back as it is, so that a restart can compare it."""
    made = document()

    assert json.loads(json.dumps(made)) == made


def test_canary_owns_the_lowest_buckets() -> None:
    """The order in a row is canary, stable, the others as in the file."""
    row = row_of(
        ("other", "stable", "canary"),
        {"stable": 70.0, "canary": 20.0, "other": 10.0},
        stable="stable",
        canary="canary",
    )

    assert row == [(2, 20_000), (1, 90_000), (0, 100_000)]


def test_versions_without_weight_are_left_out() -> None:
    """A version at 0 has no entry that could match."""
    weights = {"stable": 100.0, "canary": 0.0}

    row = row_of(("stable", "canary"), weights, stable="stable", canary="canary")

    assert row == [(0, 100_000)]


@given(st.integers(0, UNIT_BUCKETS))
def test_every_thousandth_of_a_percent_is_one_bucket(buckets: int) -> None:
    """A row holds exactly the asked-for buckets, and all of them together."""
    percent = buckets / 1000
    weights = {"stable": round(100 - percent, 3), "canary": percent}

    row = row_of(("stable", "canary"), weights, stable="stable", canary="canary")

    assert row[-1][1] == UNIT_BUCKETS
    assert dict(row).get(1, 0) == buckets


def test_salt_is_the_setting_or_the_revision_or_the_name() -> None:
    """The first that is there wins."""
    plain = load(FULL).settings.services["shop"]
    salted = load(FULL.replace("    host:", "    salt: pepper\n    host:"))

    assert salt_of("shop", salted.settings.services["shop"], "2.4.0") == "pepper"
    assert salt_of("shop", plain, "2.4.0") == "2.4.0"
    assert salt_of("shop", plain, None) == "shop"
