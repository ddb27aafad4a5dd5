"""
Which requests a stream holds, by the pure parsers alone.

What the data plane does with sockets, written down without them: so a test can
say which requests an origin may have seen, and in which order.
"""

from proxy.dataplane.downstream import LEADING_CRLF_MAX
from proxy.http1.framing import ChunkedReader
from proxy.http1.refusals import Refusal
from proxy.http1.request import RequestParser

FORWARDED_MAX = 1_000
"""A stream with more is no test's."""


def requests_of(stream: bytes) -> list[str]:
    """Return the paths of the requests that are forwarded of a whole stream."""
    parser = RequestParser((), target_bytes_max=8192, fields_max=100)
    paths: list[str] = []
    while len(paths) < FORWARDED_MAX:
        for _ in range(LEADING_CRLF_MAX):
            stream = stream.removeprefix(b"\r\n")
        head, end, stream = stream.partition(b"\r\n\r\n")
        request = parser.parse(head)
        if not end or isinstance(request, Refusal):
            return paths
        paths.append(request.path.decode("latin-1"))
        if request.chunked:
            reader = ChunkedReader(framed=True)
            if reader.feed(stream) is None or not reader.done:
                return paths
            stream = reader.rest
        elif request.length > 0:
            stream = stream[request.length :]
        if request.close:
            return paths
    return paths


def is_within(some: list[str], all_: list[str]) -> bool:
    """Whether ``some`` are among ``all_`` in the same order, each at most once."""
    rest = iter(all_)
    return all(one in rest for one in some)
