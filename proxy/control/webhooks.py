"""
JSON sent to others by HTTP POST: bounded in time and size, signed if asked.

No redirect is followed, no proxy asked, no connection kept. Whom to send what,
and what an answer means, is ``gates``' and ``news``' business.
"""

import asyncio
import hashlib
import hmac
import json
from typing import Any

from proxy.control.client import Reply, read_body
from proxy.settings.loading import read_secret

JsonObject = dict[str, Any]

SIGNATURE = "X-Headgate-Signature"
"""``t=<Unix time>,v1=<HMAC-SHA256 of "<t>.<body>" in hexadecimal>``: the time keeps
an overheard message from being sent again later."""

SUCCESS = range(200, 300)


async def post(
    url: str,
    document: JsonObject,
    *,
    timeout_s: float,
    secret_file: str | None = None,
    now_s: float = 0.0,
) -> Reply:
    """
    POST a document as JSON and return the answer.

    Args:
        url: where to.
        document: what is sent.
        timeout_s: for everything, the answer included.
        secret_file: holds the key of the signature; ``None``: unsigned.
        now_s: Unix time, for the signature.

    Raises:
        OSError: no connection, no answer in time, or no HTTP.
        SettingsError: the secret cannot be read.
    """
    import aiohttp  # noqa: PLC0415 - as in `client`

    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    fields = {"Content-Type": "application/json", "User-Agent": "headgate"}
    if secret_file is not None:
        key = await asyncio.to_thread(read_secret, secret_file)
        fields[SIGNATURE] = signature(key, body, now_s)
    try:
        async with (
            asyncio.timeout(timeout_s),
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            session.post(
                url, data=body, headers=fields, allow_redirects=False
            ) as response,
        ):
            return Reply(response.status, await read_body(response))
    except TimeoutError:
        raise OSError(f"timed out after {timeout_s:g} s") from None
    except (aiohttp.ClientError, ValueError) as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def signature(key: str, body: bytes, now_s: float) -> str:
    """Return the value of ``SIGNATURE`` for a body sent at ``now_s``."""
    stamp = f"{now_s:.0f}"
    signed = hmac.new(key.encode(), f"{stamp}.".encode() + body, hashlib.sha256)
    return f"t={stamp},v1={signed.hexdigest()}"
