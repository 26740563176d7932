"""The bound for `identity`: a stream that gives back each message, in grpc.aio and nothing else.

`python -m benchmarks.echo PORT` serves it.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc

METHOD = "/benchmarks.Echo/Echo"


class _Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(_echo) if handler_call_details.method == METHOD else None


async def _echo(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for message in requests:
        yield message


async def echoed_bytes(channel: grpc.aio.Channel, messages: Sequence[bytes]) -> int:
    """Sends all messages, reads what comes back, and says how many bytes that were."""
    call = channel.stream_stream(METHOD)()

    async def send() -> None:
        for message in messages:
            await call.write(message)
        await call.done_writing()

    received = 0
    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        while (message := await call.read()) is not grpc.aio.EOF:
            received += len(message)
    return received


async def serve(port: int) -> None:
    """Serves until SIGTERM ends the process."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Echo(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
