"""The operators' HTTP server, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from retouch_server.telemetry.http import MAX_CONNECTIONS, MAX_HEAD_BYTES, OperatorServer
from retouch_server.telemetry.metrics import Metrics

REASONS: list[str] = []


@pytest.fixture
async def server() -> AsyncIterator[OperatorServer]:
    REASONS.clear()
    server = OperatorServer(Metrics(), lambda: (not REASONS, REASONS), timeout_s=0.2)
    await server.start()
    yield server
    await server.stop()


async def exchange(server: OperatorServer, request: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes or resets."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def get(server: OperatorServer, path: str, extra: str = "") -> tuple[int, dict[str, str], bytes]:
    return await exchange(server, f"GET {path} HTTP/1.1\r\nHost: x\r\n{extra}\r\n".encode())


async def test_metrics(server: OperatorServer) -> None:
    status, headers, body = await get(server, "/metrics?name=x")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    assert int(headers["Content-Length"]) == len(body)
    assert b"retouch_edits_in_flight 0.0" in body
    _, headers, body = await get(server, "/metrics", "accept: application/openmetrics-text\r\n")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


async def test_health(server: OperatorServer) -> None:
    assert (await get(server, "/livez"))[0] == 200
    assert (await get(server, "/readyz"))[0] == 200
    REASONS.append("model server away")
    status, headers, body = await get(server, "/readyz")
    assert status == 503
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"status": "not ready", "reasons": ["model server away"]}
    assert (await get(server, "/livez"))[0] == 200


async def test_head_has_no_body(server: OperatorServer) -> None:
    status, headers, body = await exchange(server, b"HEAD /livez HTTP/1.1\r\n\r\n")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /livez SPDY/3\r\n\r\n", 400),
        (b"\xff\xfe\x00 \x80 HTTP/1.1\r\n\r\n", 405),
        (b"GET /livez HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
    ],
)
async def test_what_is_not_served_is_refused(server: OperatorServer, request_: bytes, status: int) -> None:
    assert (await exchange(server, request_))[0] == status


async def test_a_silent_client_is_dropped(server: OperatorServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /livez HT")
    assert await read_to_end(reader) == b""
    writer.close()
    assert (await get(server, "/livez"))[0] == 200


async def test_too_many_connections_are_closed_and_then_it_answers() -> None:
    server = OperatorServer(Metrics(), lambda: (True, []), timeout_s=30)
    await server.start()
    idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(MAX_CONNECTIONS)]

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /livez HTTP/1.1\r\n\r\n")
        answer = await read_to_end(reader)
        writer.close()
        return answer

    assert await ask() == b""
    for _, one in idle:
        one.close()
        await one.wait_closed()
    while not (answer := await ask()):  # the others end at their end of file
        pass
    assert answer.startswith(b"HTTP/1.1 200 OK")
    await server.stop()


async def test_stop_cuts_what_is_open_and_leaves_no_task() -> None:
    server = OperatorServer(Metrics(), lambda: (True, []), timeout_s=30)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    assert (await get(server, "/livez"))[0] == 200  # so the connection before it was accepted too
    await asyncio.wait_for(server.stop(), 5)
    await server.stop()
    assert await read_to_end(reader) == b""
    writer.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.port
