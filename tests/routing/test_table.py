"""The route table: compiled once, refused as a whole, matched by precedence."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import TableError
from proxy.routing import table as routing
from proxy.routing.table import compile_table, path_has_prefix
from tests.support import table
from tests.support.route_table import compiled, service_of


def matched(
    matches: dict[str, list[tuple[str | None, str | None]]], host: str, path: str
) -> str | None:
    """Return the name of the service that a request matches."""
    services = [
        service_of(
            name=name, match=[{"host": one, "path_prefix": path} for one, path in rules]
        )
        for name, rules in matches.items()
    ]
    service = compiled(*services).match(host.encode(), path.encode())
    return None if service is None else service.name


RULES: dict[str, list[tuple[str | None, str | None]]] = {
    "host": [("shop.test", None)],
    "host-v2": [("shop.test", "/v2"), ("SHOP.test", "/v3/")],
    "host-v2-users": [("shop.test", "/v2/users")],
    "any-v2": [(None, "/v2")],
    "other": [("other.test", "/only")],
}


@pytest.mark.parametrize(
    ("host", "path", "name"),
    [
        ("shop.test", "/", "host"),
        ("shop.test", "/v2", "host-v2"),
        ("shop.test", "/v2/", "host-v2"),
        ("shop.test", "/v2x", "host"),
        ("shop.test", "/v2/user", "host-v2"),
        ("shop.test", "/v2/users", "host-v2-users"),
        ("shop.test", "/v2/users/1", "host-v2-users"),
        ("shop.test", "/v3/a", "host-v2"),
        ("shop.test", "/v3", "host-v2"),
        ("shop.test", "/v33", "host"),
        ("unknown.test", "/v2/a", "any-v2"),
        ("unknown.test", "/v2x", None),
        ("other.test", "/only/a", "other"),
        ("other.test", "/v2", "any-v2"),
        ("other.test", "/", None),
        ("", "/v2", "any-v2"),
    ],
)
def test_precedence(host: str, path: str, name: str | None) -> None:
    """The Kubernetes Gateway API: host first, the longest prefix, whole segments."""
    assert matched(RULES, host, path) == name


def test_one_service_without_a_match_takes_everything() -> None:
    """The file of one service needs no `match`."""
    one = compiled(service_of())

    assert one.match(b"anything", b"*") is one.services[0]


def test_a_service_without_a_match_is_the_last_resort() -> None:
    """Beside others it takes what nobody else wants."""
    rules: dict[str, list[tuple[str | None, str | None]]]
    rules = {"rest": [], "shop": [("shop.test", "/a")]}

    assert matched(rules, "shop.test", "/a") == "shop"
    assert matched(rules, "shop.test", "/b") == "rest"
    assert matched(rules, "other.test", "/a") == "rest"


segments = st.lists(st.sampled_from(["a", "b", "aa", ""]), max_size=4)


@given(segments, segments)
def test_prefixes_are_segment_wise(prefix: list[str], path: list[str]) -> None:
    """The path's segments start with the prefix's; a last slash means nothing."""
    wanted = [*prefix]
    while wanted and not wanted[-1]:
        wanted.pop()
    bare = "/" + "/".join(path)
    rule = "/" + "/".join(prefix)

    starts = bare.split("/")[1 : 1 + len(wanted)] == wanted

    assert path_has_prefix(bare.encode(), routing.clean_prefix(rule)) == starts


# --- routes ---

ROUTES = [
    {"method": "POST", "path": "/orders"},
    {"method": "GET", "path": "/orders/{id}"},
    {"method": "GET", "path": "/orders/{id}/items/{item}"},
    {"method": "GET", "path": "/a.b/{x}"},
    {"method": "GET", "path": "/orders/new"},
]


@pytest.mark.parametrize(
    ("method", "path", "number"),
    [
        (b"POST", b"/orders", 1),
        (b"GET", b"/orders", 0),
        (b"POST", b"/orders/", 0),
        (b"GET", b"/orders/7", 2),
        (b"GET", b"/orders/", 0),
        (b"GET", b"/orders/7/items/8", 3),
        (b"GET", b"/orders/7/items", 0),
        (b"GET", b"/a.b/c", 4),
        (b"GET", b"/aXb/c", 0),
        (b"GET", b"/orders/new", 5),
    ],
)
def test_routes_are_numbered(method: bytes, path: bytes, number: int) -> None:
    """A placeholder is one segment; an exact route wins over a template."""
    assert (
        compiled(service_of(routes=ROUTES)).services[0].routes.number(method, path)
        == number
    )


def test_without_templates_only_exact_routes_count() -> None:
    """Nothing else is looked for."""
    routes = compiled(service_of(routes=ROUTES[:1])).services[0].routes

    assert routes.count == 1
    assert routes.number(b"GET", b"/orders/7") == 0


# --- compiling ---


def test_a_whole_service() -> None:
    """Everything a worker reads is there, as bytes and numbers."""
    entry = service_of(
        unit=[
            {"header": "X-User"},
            {"cookie": "id", "issue": True, "max_age_s": 9},
            {"client_address": True},
        ],
        overrides=[
            {"when": {"header": {"X-V": "*"}, "cookie": {"b": "1"}}, "version": 1}
        ],
        mirror={
            "to": 1,
            "percent": 50.0,
            "during": "always",
            "methods": ["GET"],
            "max_request_body": 10,
            "timeout": 2.0,
            "max_inflight": 3,
        },
        salt="2.4.0",
    )
    entry["versions"][1]["endpoints"].append({"unix": "/run/a", "authority": "a"})
    entry["versions"][1]["revision_header"] = "X-App-Version"

    table = compiled(entry)
    service = table.services[0]
    mirror = service.mirror

    assert table.watched == {b"x-user", b"cookie", b"x-v", b"accept"}
    assert service.salt == b"2.4.0\0"
    assert [version.index for version in service.versions] == [0, 1]
    assert service.versions[1].revision_header == b"x-app-version"
    assert service.versions[1].endpoints[-1].unix == "/run/a"
    assert service.retries.on == {"connect_failure", "reset", "502", "503", "504"}
    assert mirror is not None
    assert (mirror.to, mirror.always) == (1, True)
    assert mirror.methods == {b"GET"}
    assert service.fail_fast is not None


def test_parts_that_are_off() -> None:
    """None is off, and compiles."""
    service = compiled(service_of(fail_fast=None, stable=None, canary=None)).services[0]

    assert (service.fail_fast, service.mirror) == (None, None)
    assert (service.stable, service.canary) == (None, None)


def test_sampled_mirrors_only_before() -> None:
    """`during: before` is not `always`."""
    mirror = {
        "to": 1,
        "percent": 100.0,
        "during": "before",
        "methods": [],
        "max_request_body": 0,
        "timeout": 1.0,
        "max_inflight": 1,
    }
    compiled_mirror = compiled(service_of(mirror=mirror)).services[0].mirror

    assert compiled_mirror is not None
    assert not compiled_mirror.always


def broken(change: str) -> bytes:
    """Return a document that lacks or garbles one thing."""
    document: dict[str, Any] = table.table([service_of()])
    if change in document:
        del document[change]
    elif change == "service key":
        del document["services"][0]["retries"]
    elif change == "timeouts":
        document["services"][0]["timeouts"]["warp"] = 9
    elif change == "type":
        document["services"][0]["versions"] = 7
    elif change == "not json":
        return b"{"
    elif change == "no object":
        return b"[]"
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "change",
    [
        "generation",
        "limits",
        "services",
        "service key",
        "timeouts",
        "type",
        "not json",
        "no object",
    ],
)
def test_a_document_that_cannot_be_read_is_refused_whole(change: str) -> None:
    """A worker then keeps the table that it has."""
    with pytest.raises(TableError, match="cannot be read"):
        compile_table(broken(change))


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_by_name(document: bytes) -> None:
    """Never another exception than TableError."""
    with pytest.raises(TableError):
        compile_table(document)


@pytest.mark.parametrize("part", ["version", "stable", "canary", "mirror"])
def test_an_index_that_names_no_version_is_refused(part: str) -> None:
    """Or the first request would find out."""
    changes: dict[str, Any] = {"stable": 0, "canary": 1}
    if part == "version":
        changes["overrides"] = [{"when": {"method": "GET"}, "version": 2}]
    elif part == "mirror":
        changes["mirror"] = {
            "to": 5,
            "percent": 1.0,
            "during": "before",
            "methods": [],
            "max_request_body": 0,
            "timeout": 1.0,
            "max_inflight": 1,
        }
    else:
        changes[part] = 2

    with pytest.raises(TableError, match="no version"):
        compiled(service_of(**changes))
