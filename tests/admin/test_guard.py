"""Who may talk to the admin API: hosts, origins, tokens."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.admin.guard import Guard, host_of, is_loopback
from proxy.admin.serving import make_guard
from proxy.errors import SettingsError
from tests.support.admin_api import admin_api
from tests.support.standin_controller import StandInController

SERVICES = "/api/v1/services"
PAUSE = "/api/v1/rollouts/checkout/pause"
TOKEN = "s3cret-token"


def token_guard(tmp_path: Path, **guard: object) -> Guard:
    """Return a guard that asks for ``TOKEN``."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    settings = {"listen": "127.0.0.1:9901", "token_file": str(file), **guard}
    return make_guard(settings, frozenset({"127.0.0.1"}))


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("localhost:9901", "localhost"),
        ("LOCALHOST", "localhost"),
        ("localhost.:80", "localhost"),
        ("[::1]:9901", "::1"),
        ("[::1]", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("", None),
        (":9901", None),
        ("::1", None),
        ("[::1", None),
        ("[::1]x", None),
        ("a:b", None),
        ("a:1:2", None),
    ],
)
def test_a_host_is_read_strictly(authority: str, host: str | None) -> None:
    """Only ``host[:port]`` names a host."""
    assert host_of(authority) == host


@given(st.text())
def test_any_text_is_a_host_or_none(authority: str) -> None:
    """Reading never fails, and what it reads is lower case without a port."""
    host = host_of(authority)

    assert host is None or host == host.lower()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - no bind
    ],
)
def test_only_loopback_is_loopback(host: str, loopback: bool) -> None:  # noqa: FBT001
    """Names that merely look like this machine are foreign."""
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:9901"])
async def test_loopback_hosts_are_served(host: str) -> None:
    """A person on this machine needs no setting."""
    async with admin_api(StandInController()) as api:
        answer = await api.ask("GET", SERVICES, Host=host)

    assert answer.status == 200


async def test_a_rebound_name_is_refused_even_to_read() -> None:
    """DNS rebinding: a page whose name points here learns nothing."""
    async with admin_api(StandInController()) as api:
        answer = await api.ask("GET", SERVICES, Host="evil.example:9901")

    assert (answer.status, answer.json["reason"]) == (403, "HostNotAllowed")


async def test_a_malformed_host_is_a_bad_request() -> None:
    """A Host that names nothing is refused as malformed."""
    async with admin_api(StandInController()) as api:
        answer = await api.ask("GET", SERVICES, Host="[::1")

    assert (answer.status, answer.json["reason"]) == (400, "InvalidHost")


async def test_the_listen_address_is_a_name_of_ours() -> None:
    """The configured host is served beside loopback, and no other."""
    guard = make_guard({"listen": "10.1.2.3:9901"}, frozenset({"10.1.2.3"}))
    async with admin_api(StandInController(), guard) as api:
        named = await api.ask("GET", SERVICES, Host="10.1.2.3:9901")
        other = await api.ask("GET", SERVICES, Host="10.1.2.4:9901")

    assert (named.status, other.status) == (200, 403)


async def test_a_wildcard_address_is_guarded_by_the_token(tmp_path: Path) -> None:
    """On 0.0.0.0 any name is served, to who has the token."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    settings = {"listen": "0.0.0.0:9901", "token_file": str(file)}
    guard = make_guard(settings, frozenset({"0.0.0.0"}))  # noqa: S104 - no bind
    async with admin_api(StandInController(), guard) as api:
        bare = await api.ask("GET", SERVICES, Host="gate.prod.svc")
        good = await api.ask(
            "GET", SERVICES, Host="gate.prod.svc", Authorization=f"Bearer {TOKEN}"
        )

    assert (bare.status, good.status) == (401, 200)


async def test_a_wildcard_address_without_a_token_serves_loopback_names_only() -> None:
    """Nothing opens up by itself."""
    guard = make_guard({"listen": "0.0.0.0:9901"}, frozenset({"0.0.0.0"}))  # noqa: S104
    async with admin_api(StandInController(), guard) as api:
        answer = await api.ask("GET", SERVICES, Host="gate.prod.svc")

    assert answer.status == 403


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
async def test_a_page_of_another_site_changes_nothing(fields: dict[str, str]) -> None:
    """CSRF: a change with a foreign origin is refused before it is read."""
    controller = StandInController()
    async with admin_api(controller) as api:
        answer = await api.ask("POST", PAUSE, None, raw=None, **fields)

    assert (answer.status, answer.json["reason"]) == (403, "OriginNotAllowed")
    assert controller.asked == []


async def test_a_page_of_ours_may_change() -> None:
    """The dashboard's own origin is the Host it was loaded from."""
    async with admin_api(StandInController()) as api:
        answer = await api.ask(
            "POST",
            PAUSE,
            Origin=f"http://127.0.0.1:{api.port}",
            Sec_Fetch_Site="same-origin",
        )

    assert answer.status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        "Bearer é",
    ],
)
async def test_a_wrong_token_is_401(tmp_path: Path, authorization: str) -> None:
    """Without the exact bearer token nothing is told, not even a 404."""
    async with admin_api(StandInController(), token_guard(tmp_path)) as api:
        answer = await api.ask(
            "GET", "/nothing", Authorization=authorization.encode().decode("latin-1")
        )

    assert (answer.status, answer.json["reason"]) == (401, "Unauthorized")
    assert answer.fields["www-authenticate"].startswith("Bearer")


async def test_the_right_token_is_served(tmp_path: Path) -> None:
    """The scheme's name is case-insensitive (RFC 9110, section 11.1)."""
    async with admin_api(StandInController(), token_guard(tmp_path)) as api:
        answer = await api.ask("GET", SERVICES, Authorization=f"bearer {TOKEN}")

    assert answer.status == 200


async def test_a_probe_needs_no_token(tmp_path: Path) -> None:
    """``/livez`` answers to anybody and tells nothing else."""
    async with admin_api(StandInController(), token_guard(tmp_path)) as api:
        answer = await api.ask("GET", "/livez", Host="10.0.0.9")

    assert answer.status == 200


async def test_a_rotated_token_is_in_force_at_once(tmp_path: Path) -> None:
    """The file is read anew; an unreadable one closes the door, with a log line."""
    guard = token_guard(tmp_path)
    async with admin_api(StandInController(), guard) as api:
        (tmp_path / "token").write_text("another")
        old = await api.ask("GET", SERVICES, Authorization=f"Bearer {TOKEN}")
        new = await api.ask("GET", SERVICES, Authorization="Bearer another")
        (tmp_path / "token").unlink()
        gone = await api.ask("GET", SERVICES, Authorization="Bearer another")

    assert (old.status, new.status, gone.status) == (401, 200, 503)
    assert gone.json["reason"] == "TokenUnavailable"


def test_an_empty_token_file_is_refused_at_the_start(tmp_path: Path) -> None:
    """A guard is never made of a token that anybody has."""
    (tmp_path / "token").write_text("\n")
    settings = {"listen": "127.0.0.1:1", "token_file": str(tmp_path / "token")}

    with pytest.raises(SettingsError, match="empty"):
        make_guard(settings, frozenset())
