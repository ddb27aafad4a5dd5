"""Addresses, endpoints and routes: strict readers, normal forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.settings import addresses
from proxy.settings.addresses import AddressError, Endpoint, ListenAddress


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("0.0.0.0:8080", ListenAddress("0.0.0.0", 8080), False),  # noqa: S104
        ("127.0.0.9:0", ListenAddress("127.0.0.9", 0), True),
        ("[::]:8080", ListenAddress("::", 8080), False),
        ("[::1]:8080", ListenAddress("::1", 8080), True),
        ("localhost:80", ListenAddress("localhost", 80), True),
        ("unix:/run/h.sock", ListenAddress("", 0, "/run/h.sock"), True),
    ],
)
def test_listen_addresses_are_taken_apart(
    text: str,
    address: ListenAddress,
    loopback: bool,  # noqa: FBT001
) -> None:
    """Host, port and path are found, and who can reach them is known."""
    parsed = addresses.parse_listen(text)

    assert parsed == address
    assert str(parsed) == text
    assert parsed.loopback is loopback


@pytest.mark.parametrize(
    "text",
    ["8080", ":8080", "::1:80", "1.2.3.4", "1.2.3.4:65536", "example.com:80", "unix:x"],
)
def test_other_listen_addresses_are_refused(text: str) -> None:
    """Nothing is guessed: no missing host, no missing port, no name to resolve."""
    with pytest.raises(AddressError):
        addresses.parse_listen(text)


def test_a_socket_path_fits_into_the_kernels_structure() -> None:
    """107 bytes are the most that ``sun_path`` takes."""
    assert addresses.parse_listen("unix:/" + "a" * 106).unix is not None
    with pytest.raises(AddressError, match="longer than 107 bytes"):
        addresses.parse_listen("unix:/" + "a" * 107)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("http://127.0.0.1:9001", Endpoint("127.0.0.1", 9001, "127.0.0.1:9001")),
        ("http://app/", Endpoint("app", 80, "app")),
        ("HTTP://my_app.svc:80", Endpoint("my_app.svc", 80, "my_app.svc")),
        ("http://[::1]:90", Endpoint("::1", 90, "[::1]:90")),
        ("unix:/run/a.sock", Endpoint("localhost", 0, "localhost", "/run/a.sock")),
    ],
)
def test_endpoints_are_taken_apart(text: str, endpoint: Endpoint) -> None:
    """The port is 80 if it is left out, and the authority is what ``Host`` says."""
    parsed = addresses.parse_endpoint(text)

    assert parsed == endpoint
    assert addresses.parse_endpoint(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://a:1", '"https://a:1": https:// is not supported by this version'),
        ("http://u:p@a", "an endpoint must not contain credentials"),
        ("http://a/x", '"http://a/x": an endpoint has no path, query or fragment'),
        ("127.0.0.1:1", '"127.0.0.1:1" is not a URL such as http://127.0.0.1:9001'),
        ("http://a:0", '"http://a:0": port 0 cannot be connected to'),
        ("http://", '"" is not a URL such as http://127.0.0.1:9001'),
        ("http://1.2.3.400", '"1.2.3.400" is not a URL such as http://127.0.0.1:9001'),
    ],
)
def test_other_endpoints_are_refused_with_the_reason(text: str, message: str) -> None:
    """TLS is refused by name, and so is everything that would be dropped silently."""
    with pytest.raises(AddressError) as caught:
        addresses.parse_endpoint(text)

    assert str(caught.value) == message


def test_credentials_are_not_repeated_in_the_message() -> None:
    """What is refused as a secret does not end up in a log."""
    with pytest.raises(AddressError) as caught:
        addresses.parse_endpoint("http://user:hunter2@app")

    assert "hunter2" not in str(caught.value)


def test_networks_are_normalised_and_stray_bits_are_mistakes() -> None:
    """A single address is a network of one; ``10.0.0.1/8`` is a slip."""
    assert addresses.parse_network("10.0.0.0/8") == "10.0.0.0/8"
    assert addresses.parse_network("::1") == "::1/128"
    with pytest.raises(AddressError, match=r'did you mean "10\.0\.0\.0/8"'):
        addresses.parse_network("10.0.0.1/8")


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("POST /orders", ("POST", "/orders")),
        ("get  /orders/{id}/items", ("GET", "/orders/{id}/items")),
        ("GET /", ("GET", "/")),
    ],
)
def test_routes_are_a_method_and_a_template(text: str, route: tuple[str, str]) -> None:
    """``{name}`` is one whole segment; methods are written in capitals."""
    assert addresses.parse_route(text) == route


@pytest.mark.parametrize("text", ["/orders", "GET orders", "GET /a{id}", "G:T /", ""])
def test_other_routes_are_refused(text: str) -> None:
    """A method, a space and an absolute path are needed."""
    with pytest.raises(AddressError):
        addresses.parse_route(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes a reader fail in another way."""
    for read in (
        addresses.parse_listen,
        addresses.parse_endpoint,
        addresses.parse_network,
        addresses.parse_route,
        lambda rest: addresses.parse_endpoint(f"http://{rest}"),
        lambda rest: addresses.parse_listen(f"unix:{rest}"),
    ):
        message = "fine"
        try:
            read(text)
        except AddressError as error:
            message = str(error)
        assert len(message.splitlines()) == 1
