"""Another parser agrees: what we forward is one request, and the same one."""

import httptools
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.http1.forward import request_head
from proxy.http1.refusals import Refusal
from proxy.http1.request import RequestParser

METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"]
NAMES = st.from_regex(rb"[A-Za-z][A-Za-z0-9_-]{0,12}", fullmatch=True)
VALUES = st.binary(max_size=24)
FIELDS = st.lists(st.tuples(NAMES, st.sampled_from([b":", b": ", b" :", b""]), VALUES))
TARGETS = st.one_of(
    st.from_regex(rb"/[a-z0-9/?&=%.-]{0,20}", fullmatch=True), st.binary(max_size=12)
)


class Seen:
    """What llhttp saw."""

    def __init__(self) -> None:
        self.targets: list[bytes] = []
        self.complete = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self.targets.append(url)

    def on_message_complete(self) -> None:
        """Count a whole request."""
        self.complete += 1


@settings(max_examples=400)
@given(st.sampled_from(METHODS), TARGETS, FIELDS, st.sampled_from([b"1.1", b"1.0"]))
def test_llhttp_reads_one_request_of_what_is_forwarded(
    method: bytes,
    target: bytes,
    fields: list[tuple[bytes, bytes, bytes]],
    version: bytes,
) -> None:
    """A head that is not refused is exactly one request for a strict peer too."""
    lines = [method + b" " + target + b" HTTP/" + version, b"Host: shop.example"]
    lines += [name + colon + value for name, colon, value in fields]
    parser = RequestParser((), target_bytes_max=8192, fields_max=100)
    request = parser.parse(b"\r\n".join(lines))
    if isinstance(request, Refusal):
        return
    seen = Seen()
    oracle = httptools.HttpRequestParser(seen)

    oracle.feed_data(request_head(request, b""))

    assert seen.complete == 1
    assert b"".join(seen.targets) == request.target
    assert oracle.get_method() == method
