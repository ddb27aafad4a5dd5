"""
An origin that proves what it got: ``python echo_origin.py PORT NAME [FAULT]``.

Each answer holds the request's ``x-unique-id``, the SHA-256 of the body that
arrived, and the origin's name. The path chooses what else happens:
``/bytes/N`` answers N bytes, ``/slow/MS`` waits first, ``/version`` and
``/healthz`` say the name. With a fault it fails instead: ``halves`` resets every
second answer in the middle of its head, ``garbage`` answers no HTTP, ``hang`` says
nothing, ``lost-orders`` answers every second POST with 303; ``sick`` fails its
health check alone. Started by tests as a process of its own, so that it can be
killed.
"""

import asyncio
import hashlib
import json
import socket
import struct
import sys
from itertools import count

CHUNK = b"x" * 65_536
NUMBERS = count()


async def handle(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, fault: str
) -> None:
    """Answer the requests of one connection."""
    try:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            request_line, *lines = head[:-4].split(b"\r\n")
            fields = {
                key.strip().lower(): value.strip()
                for key, _, value in (line.partition(b":") for line in lines)
            }
            digest = await read_body(reader, fields)
            path = request_line.split(b" ")[1].decode()
            if fault == "sick" and path == "/healthz":
                writer.write(b"HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n")
            elif not await fail(reader, writer, fault):
                posted = fault == "lost-orders" and request_line.startswith(b"POST")
                lost = posted and next(NUMBERS) % 2
                status = b"303 See Other" if lost else b"200 OK"
                await answer(writer, path, fields, digest, name, status=status)
    except ConnectionError:
        return
    finally:
        writer.close()


async def fail(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: str
) -> bool:
    """Fail a request as ``fault`` says; False if it is to be answered after all."""
    if fault == "halves" and next(NUMBERS) % 2:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        await asyncio.sleep(0.002)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return True
    if fault == "garbage":
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await reader.read()
        return True
    if fault == "hang":
        await reader.read()
        return True
    return False


async def read_body(reader: asyncio.StreamReader, fields: dict[bytes, bytes]) -> str:
    """Read a body of either framing; return its digest."""
    digest = hashlib.sha256()
    if fields.get(b"transfer-encoding") == b"chunked":
        while True:
            size = int((await reader.readline()).strip(), 16)
            digest.update(await reader.readexactly(size))
            await reader.readline()
            if not size:
                return digest.hexdigest()
    left = int(fields.get(b"content-length", b"0"))
    while left:
        data = await reader.read(min(left, 65_536))
        if not data:
            raise ConnectionResetError
        digest.update(data)
        left -= len(data)
    return digest.hexdigest()


async def answer(
    writer: asyncio.StreamWriter,
    path: str,
    fields: dict[bytes, bytes],
    digest: str,
    name: str,
    *,
    status: bytes,
) -> None:
    """Send the proof, or what the path asks for."""
    kind, _, argument = path.lstrip("/").partition("/")
    if kind == "slow":
        await asyncio.sleep(int(argument.partition("?")[0]) / 1000)
    if kind == "bytes":
        size = int(argument)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for start in range(0, size, len(CHUNK)):
            writer.write(CHUNK[: size - start])
            await writer.drain()
        return
    if kind in {"version", "healthz"}:
        body = name.encode()
    else:
        body = json.dumps(
            {
                "id": fields.get(b"x-unique-id", b"").decode(),
                "digest": digest,
                "origin": name,
            }
        ).encode()
    writer.write(
        b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (status, len(body), body)
    )
    await writer.drain()


async def main(port: int, name: str, fault: str) -> None:
    """Serve until killed."""
    server = await asyncio.start_server(
        lambda reader, writer: handle(reader, writer, name, fault),
        "127.0.0.1",
        port,
        backlog=1024,
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1]), sys.argv[2], "".join(sys.argv[3:])))
