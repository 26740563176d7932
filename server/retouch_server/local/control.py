"""Triton's own HTTP endpoints, as far as running it needs them: is it live, what is the state of its models, load one.

Inference does not go this way. Written on asyncio streams so that every call can be cancelled and none uses a proxy that
the environment names.
"""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

_CONTROL_OFF = "explicit model load / unload is not allowed"


class ModelLoadError(Exception):
    """Triton could not load a model; the message names the model and gives Triton's reason."""


class ModelControlOffError(ModelLoadError):
    """This Triton loads models by itself, at its start or by polling, and not when told (`--model-control-mode`)."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """A line of Triton's repository index. `version` and `state` are empty for a model that was never loaded."""

    name: str
    version: str
    state: str  # READY, LOADING, UNLOADING, UNAVAILABLE
    reason: str

    @property
    def is_ready(self) -> bool:
        return self.state == "READY"


async def is_live(http_url: str) -> bool:
    """Whether tritonserver answers. It does so once it has tried to load every model that it starts with."""
    try:
        status, _ = await _request("GET", http_url, "/v2/health/live")
    except OSError:
        return False
    return status == 200


async def is_listening(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def model_states(http_url: str) -> list[ModelState]:
    """The repository index. Raises OSError where tritonserver does not answer."""
    status, body = await _request("POST", http_url, "/v2/repository/index", b"{}")
    if status != 200:
        raise ConnectionError(f"{http_url}/v2/repository/index answered {status}: {body.decode(errors='replace')}")
    entries: list[dict[str, Any]] = json.loads(body)
    return [
        ModelState(entry["name"], entry.get("version", ""), entry.get("state", ""), entry.get("reason", ""))
        for entry in entries
    ]


async def load_model(http_url: str, name: str) -> None:
    """Load a model, or load it again where its files changed. The old one serves until the new one is ready.

    Raises ModelLoadError, after which the old one still serves, ModelControlOffError where it does not do as it is told, or
    OSError where tritonserver does not answer.
    """
    status, body = await _request("POST", http_url, f"/v2/repository/models/{quote(name, safe='')}/load", b"{}")
    if status != 200:
        try:
            reason = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError):
            reason = body.decode(errors="replace")
        kind = ModelControlOffError if _CONTROL_OFF in reason else ModelLoadError
        raise kind(f"model {name!r} did not load: {reason}")


async def _request(method: str, http_url: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    url = urlsplit(http_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        # Not up to the connection's end: after a load tritonserver leaves it open, whatever it was asked.
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"^content-length: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
        content = await reader.readexactly(int(length[1])) if length else b""
    except asyncio.IncompleteReadError as error:
        raise ConnectionError(f"{http_url}{path}: tritonserver closed the connection without an answer") from error
    finally:
        writer.close()
    return int(head.split(" ", 2)[1]), content
