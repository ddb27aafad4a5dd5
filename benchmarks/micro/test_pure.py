"""The pure functions that every request goes through."""

import itertools
from typing import Any

import traffic

from proxy.http1.request import RequestParser
from proxy.http1.response import ResponseParser
from proxy.routing.buckets import bucket_of_unit, salt_prefix
from proxy.routing.decide import owner_of

ROW = ((20_000, 1), (100_000, 0))


def test_request_heads(benchmark: Any) -> None:  # noqa: ANN401 - a plugin's
    """Parse request heads whose path, referer, cookie and user differ."""
    parser = RequestParser([b"x-user-id"], target_bytes_max=8192, fields_max=100)
    heads = itertools.cycle([traffic.head(number) for number in range(4096)])

    request = benchmark(lambda: parser.parse(next(heads)))

    assert request.watched[b"x-user-id"].startswith(b"user-")


def test_the_same_response_head(benchmark: Any) -> None:  # noqa: ANN401 - a plugin's
    """Parse the head of an answer that was seen before."""
    parser = ResponseParser()
    head = traffic.ANSWER.partition(b"\r\n\r\n")[0]

    response = benchmark(lambda: parser.parse(head))

    assert response.length == len(traffic.BODY)


def test_other_response_heads(benchmark: Any) -> None:  # noqa: ANN401 - a plugin's
    """Parse heads of answers that all differ."""
    parser = ResponseParser()
    head = traffic.ANSWER.partition(b"\r\n\r\n")[0]
    heads = itertools.cycle([b"%b\r\nETag: %d" % (head, one) for one in range(4096)])

    response = benchmark(lambda: parser.parse(next(heads)))

    assert response.length == len(traffic.BODY)


def test_decide(benchmark: Any) -> None:  # noqa: ANN401 - a plugin's
    """Find the version that owns a unit."""
    salt = salt_prefix("shop")
    units = itertools.cycle([b"user-%d" % number for number in range(4096)])

    owner = benchmark(lambda: owner_of(ROW, bucket_of_unit(salt, next(units))))

    assert owner in (0, 1)
