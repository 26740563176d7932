"""Where model servers are: names, and the addresses behind them."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import NamedTuple

MAX_PORT = 65_535


class Address(NamedTuple):
    """A host, as a name or a numeric address, and a port.

    >>> str(Address("::1", 8001))
    '[::1]:8001'
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """`host:port`; a numeric IPv6 host stands in brackets. Errors: ValueError.

    >>> parse_address("retouch-triton.models.svc.cluster.local.:8001").port
    8001
    """
    host, _, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host or "/" in host:
        host = ""
    if not host or not port.isdecimal() or not 0 < int(port) <= MAX_PORT:
        raise ValueError(f"{text!r} is not host:port")
    return Address(host, int(port))


Resolve = Callable[[Address], Awaitable[list[Address]]]


async def resolve(name: Address) -> list[Address]:
    """All numeric addresses behind a name, as the system's resolver tells them. Errors: OSError where it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(name.host, name.port, type=socket.SOCK_STREAM)
    return [Address(str(address[0]), name.port) for *_, address in found]
