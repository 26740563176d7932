"""The channel to the service, and its methods as calls that speak this package's exceptions."""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc

from retouch.errors import InvalidInputError, from_rpc_error
from retouch.stream import RequestStream, StreamEnded
from retouch.tracing import Metadata, traced
from retouch.v1 import edit_service_pb2 as edit_pb
from retouch.v1 import mask_service_pb2 as mask_pb
from retouch.v1 import model_service_pb2 as model_pb
from retouch.v1 import precheck_service_pb2 as precheck_pb
from retouch.wire import WireTile, parse_response

T = TypeVar("T")

Option = tuple[str, str | int]

# Every address behind the target gets its share, as long as its grpc.health.v1 says SERVING: a server that drains is left
# alone at once. One without that service counts as healthy.
SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}})
CHANNEL_OPTIONS: tuple[Option, ...] = (
    ("grpc.service_config", SERVICE_CONFIG),
    # Names are resolved again whenever a connection ends, which servers see to (their RETOUCH_CONNECTION_AGE_S); gRPC would
    # wait for 30 s after the last time, and up to two minutes before it tries an address again that was away.
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.enable_retries", 0),  # `Retry` alone decides; two retrying layers multiply
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_frame_size", 1 << 20),  # HTTP/2 frames; the limits on messages stay as they are
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS, and with certificate and key mutual TLS. Paths of PEM files; `ca=None` trusts the system's authorities."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Credentials of a channel. Raises InvalidInputError for a file that cannot be read, or half a pair."""
        if (self.certificate is None) != (self.key is None):
            raise InvalidInputError("mutual TLS needs both a certificate and its key; one of them is missing")
        return grpc.ssl_channel_credentials(_pem(self.ca), _pem(self.key), _pem(self.certificate))


def _pem(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"cannot read {path}: {error.strerror or error}") from error


def resolved_target(target: str) -> str:
    """`host:port` as a DNS target, so that all addresses behind the name are used; targets with a scheme stay as they are.

    >>> resolved_target("retouch:8300"), resolved_target("unix:/run/retouch")
    ('dns:///retouch:8300', 'unix:/run/retouch')
    """
    has_scheme = "://" in target or target.startswith(("unix:", "unix-abstract:", "ipv4:", "ipv6:", "dns:", "xds:"))
    return target if has_scheme else f"dns:///{target}"


def open_channel(target: str, tls: Tls | None, *further: Option) -> grpc.aio.Channel:
    """A channel to `target`, with further options; connects when first used."""
    options = (*CHANNEL_OPTIONS, *further)
    if tls is None:
        return grpc.aio.insecure_channel(resolved_target(target), options=options)
    return grpc.aio.secure_channel(resolved_target(target), tls.credentials(), options=options)


async def health_of(target: str, tls: Tls | None, metadata: Metadata, service: str, timeout_s: float | None) -> int:
    """Status number of grpc.health.v1's Check. Over a channel of its own, which takes servers that do not serve as well.

    The two messages have one small field each, so no package is needed.
    """
    name = service.encode()
    async with open_channel(target, tls, ("grpc.inhibit_health_checking", 1)) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check", bytes, bytes)
        with translated_errors():
            answer = await check(bytes((0x0A, len(name))) + name if name else b"", timeout=timeout_s, metadata=traced(metadata))
    return answer[1] if len(answer) == 2 else 0


@contextlib.contextmanager
def translated_errors() -> Generator[None]:
    """Raises the package's exception where grpc raises its own."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None


EditStream = RequestStream[WireTile | edit_pb.EditResponse]


class Rpc:
    """The methods of the four services, with the client's metadata on every call."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata) -> None:
        self._channel = channel
        self._metadata = metadata
        self.precheck = self._unary("PrecheckService/Precheck", precheck_pb.PrecheckResponse.FromString)
        self.list_versions = self._unary("MaskService/ListMaskVersions", mask_pb.ListMaskVersionsResponse.FromString)
        self.suggest_mask = self._unary("MaskService/SuggestMask", mask_pb.SuggestMaskResponse.FromString)
        self.list_models = self._unary("ModelService/ListModels", model_pb.ListModelsResponse.FromString)
        self._edit = channel.stream_stream("/retouch.v1.EditService/Edit", bytes, parse_response)
        put, get = "/retouch.v1.MaskService/PutMask", "/retouch.v1.MaskService/GetMask"
        self._put_mask = channel.stream_unary(put, bytes, mask_pb.PutMaskResponse.FromString)
        self._get_mask = channel.unary_stream(get, _serialise, mask_pb.GetMaskResponse.FromString)

    def edit(self, timeout_s: float | None) -> EditStream:
        """A new stream of EditService.Edit."""
        return RequestStream(self._edit(timeout=timeout_s, metadata=traced(self._metadata)))

    async def put_mask(
        self, requests: AsyncIterator[mask_pb.PutMaskRequest], timeout_s: float | None
    ) -> mask_pb.PutMaskResponse:
        """MaskService.PutMask."""
        stream = RequestStream[mask_pb.PutMaskResponse](self._put_mask(timeout=timeout_s, metadata=traced(self._metadata)))
        with contextlib.suppress(StreamEnded):
            async for request in requests:
                await stream.write(request.SerializeToString())
            await stream.done_writing()
        with translated_errors():
            return await stream.response()

    async def get_mask(
        self, request: mask_pb.GetMaskRequest, timeout_s: float | None
    ) -> AsyncIterator[mask_pb.GetMaskResponse]:
        """MaskService.GetMask, message by message."""
        with translated_errors():
            async for message in self._get_mask(request, timeout=timeout_s, metadata=traced(self._metadata)):
                yield message

    def _unary(self, method: str, parse: Callable[[bytes], T]) -> Callable[[Any, float | None], Awaitable[T]]:
        multi_callable = self._channel.unary_unary(f"/retouch.v1.{method}", _serialise, parse)

        async def call(request: Any, timeout_s: float | None) -> T:
            with translated_errors():
                return await multi_callable(request, timeout=timeout_s, metadata=traced(self._metadata))

        return call


def _serialise(message: Any) -> bytes:
    return message.SerializeToString()
