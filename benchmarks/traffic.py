"""
Requests and an answer as bytes: what browsers send, from many users.

The same as load.lua makes for wrk: eleven fields, of which Referer, Cookie and
x-user-id differ from request to request, and so does the path.
"""

from typing import Final

BODY_BYTES: Final = 4096
LARGE_BYTES: Final = 1_048_576
VARIANTS: Final = 4096
USERS: Final = 100_000
AGENTS: Final = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
)
_STRIDE: Final = 7919
"""A prime: numbers far apart without a random generator."""

BODY: Final = b'{"id":1,"name":"teapot","stock":7,"price":"24.90","note":"%b"}' % (
    b"x" * 120
)
ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\n"
    b"Server: nginx/1.22.1\r\n"
    b"Date: Sat, 22 Nov 2025 14:30:00 GMT\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: %d\r\n"
    b"Connection: keep-alive\r\n\r\n%b" % (len(BODY), BODY)
)


def request(number: int, shape: str) -> bytes:
    """Return a whole request; ``shape`` as in scenarios.py."""
    method, path = "GET", f"/api/items/{number * _STRIDE % USERS}?page={number % 50}"
    user = number * _STRIDE * _STRIDE % USERS
    extra: tuple[str, ...] = ()
    body = b""
    if shape == "post":
        method, body = "POST", b"x" * BODY_BYTES
        extra = ("Content-Type: application/json", f"Content-Length: {BODY_BYTES}")
    elif shape == "upload":
        method, path, body = "POST", f"/upload?n={number}", b"x" * LARGE_BYTES
        extra = ("Content-Type: application/json", f"Content-Length: {LARGE_BYTES}")
    elif shape == "download":
        path = f"/mebibyte.bin?n={number}"
    elif shape == "close":
        extra = ("Connection: close",)
    lines = (
        f"{method} {path} HTTP/1.1",
        "Host: shop.example",
        f"User-Agent: {AGENTS[number % len(AGENTS)]}",
        "Accept: application/json, text/plain, */*",
        "Accept-Language: en-US,en;q=0.5",
        "Accept-Encoding: gzip, deflate, br, zstd",
        f"Referer: https://shop.example/items/{number}",
        f"Cookie: session={user * _STRIDE:016x}; theme=dark",
        "Sec-Fetch-Dest: empty",
        "Sec-Fetch-Mode: cors",
        "Sec-Fetch-Site: same-origin",
        f"x-user-id: user-{user}",
        *extra,
        "\r\n",
    )
    return "\r\n".join(lines).encode() + body


def head(number: int) -> bytes:
    """Return the head of a small GET without its final CRLFCRLF."""
    return request(number, "get")[:-4]
