"""A name server for one name, as a cluster's is for a headless Service: all addresses behind it, at once and uncached."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset

NAME = "retouch.drill.test"


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """`addresses` is what it answers next; gRPC clients ask it by `target`."""

    addresses: list[str] = field(default_factory=list[str])
    queries: int = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self._port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        (question,) = query.question
        if question.rdtype == dns.rdatatype.A:
            self.queries += 1
            if self.addresses:
                answer.answer.append(dns.rrset.from_text_list(question.name, 1, "IN", "A", self.addresses))
        self._transport.sendto(answer.to_wire(), addr)

    def target(self, port: int) -> str:
        """The gRPC target of a service that listens on `port` of every address."""
        return f"dns://127.0.0.1:{self._port}/{NAME}:{port}"


@asynccontextmanager
async def name_server(*addresses: str) -> AsyncGenerator[NameServer]:
    """A name server on the loopback interface."""
    server = NameServer(list(addresses))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, ("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()
