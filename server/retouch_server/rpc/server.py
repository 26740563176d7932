"""The gRPC server: four services, health and reflection on one port."""

from collections.abc import Mapping

import grpc
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from retouch.v1 import (
    edit_service_pb2,
    mask_service_pb2,
    mask_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    precheck_service_pb2,
    precheck_service_pb2_grpc,
)
from retouch_server.rpc.edit_service import EditServicer
from retouch_server.rpc.interceptors import ErrorInterceptor, TokenInterceptor, TraceInterceptor
from retouch_server.rpc.mask_service import MaskService
from retouch_server.rpc.model_service import ModelServicer
from retouch_server.rpc.precheck_service import PrecheckServicer
from retouch_server.telemetry.tracing import Tracing

# Larger messages than the API's 1 MiB must arrive for the refusal to say so; beyond this gRPC itself refuses.
RECEIVE_LIMIT_BYTES = 32 << 20
KEEPALIVE_MS = 20_000
_FILES = (edit_service_pb2, precheck_service_pb2, mask_service_pb2, model_service_pb2)
SERVICES = tuple(service.full_name for file in _FILES for service in file.DESCRIPTOR.services_by_name.values())


class Server:
    """Listens from `start` to `stop`."""

    def __init__(
        self,
        *,
        edit: EditServicer,
        precheck: PrecheckServicer,
        mask: MaskService,
        model: ModelServicer,
        tokens: Mapping[str, str],
        connection_age_s: float = 0.0,
        tracing: Tracing | None = None,
    ) -> None:
        """tokens: token → client's name; when there are any, callers need one. tracing: None leaves no traces.

        connection_age_s: a connection takes no new call after about that time (0: no limit), and is closed once its last call
        has ended, however long that takes. So clients resolve the server's name anew, and find those that are new.
        """
        interceptors: list[aio.ServerInterceptor] = [ErrorInterceptor()]
        if tracing is not None:
            interceptors.append(TraceInterceptor(tracing))
        if tokens:
            interceptors.append(TokenInterceptor(tokens))
        self._health = HealthServicer()
        self._server = aio.server(
            interceptors=interceptors,
            options=[
                ("grpc.max_receive_message_length", RECEIVE_LIMIT_BYTES),
                ("grpc.keepalive_time_ms", KEEPALIVE_MS),
                ("grpc.keepalive_timeout_ms", KEEPALIVE_MS),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
                # gRPC's own, 2³¹ - 1 ms, is for ever; the grace for calls under way is that when nothing is said.
                ("grpc.max_connection_age_ms", round(connection_age_s * 1000) or 2**31 - 1),
                ("grpc.so_reuseport", 0),  # a second server on the same port is a mistake, not a share of the load
            ],
        )
        edit.add_to(self._server)
        precheck_service_pb2_grpc.add_PrecheckServiceServicer_to_server(precheck, self._server)
        mask_service_pb2_grpc.add_MaskServiceServicer_to_server(mask, self._server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(model, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)  # pyright: ignore[reportUnknownMemberType]
        reflection.enable_server_reflection([*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)

    async def start(self, host: str, port: int, credentials: grpc.ServerCredentials | None) -> int:
        """Listens, and returns the port (a free one for 0). Not serving until `set_serving`. Errors: OSError."""
        address = f"{host}:{port}"
        try:
            if credentials is None:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            cause = "the port is taken" if credentials is None else "the port is taken, or the certificate does not fit its key"
            raise OSError(f"cannot listen on {address}: {cause}") from error
        await self._server.start()
        return bound

    async def set_serving(self, is_serving: bool) -> None:
        """What health checks answer."""
        statuses = health_pb2.HealthCheckResponse
        for service in ("", *SERVICES):
            await self._health.set(service, statuses.SERVING if is_serving else statuses.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Ends the calls that are left after `grace_s`; their handlers may still be cleaning up when it returns."""
        await self._server.stop(grace_s)
