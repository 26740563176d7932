"""A small HTTP/1.1 server for operators: /metrics, /livez, /readyz. GET and HEAD, one request per connection.

Answers while the event loop turns; that is what /livez means. Not for the open internet: no TLS, no authentication.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from retouch_server.telemetry.metrics import Metrics

Readiness = Callable[[], tuple[bool, Sequence[str]]]

MAX_HEAD_BYTES = 8192
MAX_CONNECTIONS = 64
TIMEOUT_S = 5.0

_JSON = "application/json"
_Answer = tuple[HTTPStatus, str, bytes]  # status, content type, body


class OperatorServer:
    """Serves metrics and health. `start`, read `port`, and `stop` when done; every connection has ended then."""

    def __init__(self, metrics: Metrics, readiness: Readiness, *, timeout_s: float = TIMEOUT_S) -> None:
        """`readiness` gives (ready, reasons why not); it runs on the loop and must not block."""
        self._metrics, self._readiness, self._timeout_s = metrics, readiness, timeout_s
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Errors: OSError when the address is taken."""
        self._server = await asyncio.start_server(self._connect, host, port, limit=MAX_HEAD_BYTES)

    @property
    def port(self) -> int:
        """The port in use. Errors: RuntimeError when not started."""
        if self._server is None:
            raise RuntimeError("the server is not started")
        return self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, cut what is open, and wait until it is gone. Harmless when not started or stopped already."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await server.wait_closed()

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                writer.write(await self._respond(reader))
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError):
            pass  # too slow, or gone: nobody to tell
        finally:
            writer.transport.abort()  # nothing to do after an orderly close

    async def _respond(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _encode(_refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
        except asyncio.IncompleteReadError:
            return b""
        request, *lines = head.decode("latin-1").split("\r\n")
        match request.split(" "):
            case [("GET" | "HEAD") as method, target, version] if version.startswith("HTTP/1."):
                headers = {name.strip().lower(): value.strip() for name, _, value in (s.partition(":") for s in lines)}
                return _encode(self._answer(target.partition("?")[0], headers), with_body=method == "GET")
            case [_, _, version] if version.startswith("HTTP/1."):
                return _encode(_refusal(HTTPStatus.METHOD_NOT_ALLOWED), allow="GET, HEAD")
            case _:
                return _encode(_refusal(HTTPStatus.BAD_REQUEST))

    def _answer(self, path: str, headers: Mapping[str, str]) -> _Answer:
        if path == "/metrics":
            body, content_type = self._metrics.exposition(headers.get("accept", ""))
            return HTTPStatus.OK, content_type, body
        if path == "/livez":
            return HTTPStatus.OK, _JSON, _json({"status": "ok"})
        if path == "/readyz":
            is_ready, reasons = self._readiness()
            if is_ready:
                return HTTPStatus.OK, _JSON, _json({"status": "ok"})
            return HTTPStatus.SERVICE_UNAVAILABLE, _JSON, _json({"status": "not ready", "reasons": list(reasons)})
        return _refusal(HTTPStatus.NOT_FOUND)


def _refusal(status: HTTPStatus) -> _Answer:
    return status, _JSON, _json({"status": status.phrase})


def _json(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _encode(answer: _Answer, *, with_body: bool = True, allow: str = "") -> bytes:
    status, content_type, body = answer
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if allow:
        head.append(f"Allow: {allow}")
    return "\r\n".join([*head, "", ""]).encode() + (body if with_body else b"")
