"""What can go wrong, as exceptions. Catch `RetouchError` for all of it.

RetouchError
├── InvalidInputError              refused here, before anything was sent: image, mask or option (also a ValueError)
├── ProtocolError                  the server broke the contract; nothing it sent was kept
└── ServiceError                   an answer of the service, with code, reason, metadata, edit_id, retry_after_s, …
    ├── InvalidRequestError        the request is wrong; sending it again does not help
    │   ├── BadFieldError          field_violations says which and why
    │   └── BadSequenceError       the message order is wrong: a fault of the client
    ├── UnauthenticatedError       no bearer token, or a wrong one
    ├── NotAllowedError
    │   └── UpscalerNotAllowedError    the asset's criticality forbids it
    ├── NotFoundError
    │   └── MaskNotFoundError
    ├── ConflictError
    │   └── VersionConflictError   another mask was written first
    ├── PreconditionError
    │   ├── StaleMaskError         the mask named is not the current one
    │   └── ModelNotServedError    names those that are
    ├── BusyError                  passing: retried by `Retry`
    │   ├── OverloadedError
    │   └── ClientBudgetError      this client's share is in use
    ├── UnavailableError           passing: retried by `Retry`; also: no server there
    │   ├── DrainingError          this replica is going away
    │   ├── MasksUnavailableError
    │   └── ModelUnavailableError
    ├── DeadlineError              the time ran out
    │   ├── DeadlineTooShortError  the estimate does not fit the time allowed
    │   ├── UploadStalledError     tiles came too slowly
    │   └── DownloadStalledError   tiles were not read
    ├── CancelledByServerError
    ├── UnsupportedError           the server does not know the method: not Retouch, or older
    └── ServerFaultError           theirs; report it with the edit id
        ├── ModelFaultError
        └── InternalError
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "retouch.v1"
Code = grpc.StatusCode


class RetouchError(Exception):
    """Base of all errors of this package."""


class InvalidInputError(RetouchError, ValueError):
    """The image, mask or option cannot be used; the message says what, the limit and what to do."""


class ProtocolError(RetouchError):
    """The server's answers do not keep to the contract: a gap, an overlap, a wrong size, a missing message."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """Which field of the request is wrong, and why."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """The machine-readable part of a ServiceError."""

    code: grpc.StatusCode
    reason: str = ""  # of ErrorInfo; empty when the answer does not come from Retouch (a proxy, the network)
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    retry_after_s: float | None = None
    field_violations: tuple[FieldViolation, ...] = ()

    @property
    def edit_id(self) -> str:
        """Names the edit in the server's logs and traces; empty when the call got none."""
        return self.metadata.get("edit_id", "")


class ServiceError(RetouchError):
    """The service, or the way to it, answered with an error. `str(error)` is the server's message."""

    def __init__(self, message: str, details: ErrorDetails) -> None:
        super().__init__(message)
        self.details = details
        self.code = details.code
        self.reason = details.reason
        self.metadata = details.metadata
        self.retry_after_s = details.retry_after_s
        self.field_violations = details.field_violations
        self.edit_id = details.edit_id

    def __reduce__(self) -> tuple[type["ServiceError"], tuple[str, ErrorDetails]]:
        return type(self), (str(self), self.details)


class InvalidRequestError(ServiceError):
    """The request is wrong; sending it again does not help."""


class BadFieldError(InvalidRequestError):
    """A field is outside its limits; see `field_violations`."""


class BadSequenceError(InvalidRequestError):
    """A message came when the grammar does not allow it: a fault of this client."""


class UnauthenticatedError(ServiceError):
    """No bearer token, or one that is not known."""


class NotAllowedError(ServiceError):
    """The caller may not do this."""


class UpscalerNotAllowedError(NotAllowedError):
    """The criticality forbids the upscaler; `metadata` has upscaler and criticality."""


class NotFoundError(ServiceError):
    """There is no such thing."""


class MaskNotFoundError(NotFoundError):
    """No mask under that image id, or no such version; `metadata` has image_id and version."""


class ConflictError(ServiceError):
    """Somebody else was first."""


class VersionConflictError(ConflictError):
    """Another mask was written first; `metadata` has image_id, expected_version and current_version."""


class PreconditionError(ServiceError):
    """The state of the service does not allow it."""


class StaleMaskError(PreconditionError):
    """The mask named is not the current one; `metadata` has the named and the current version and digest."""


class ModelNotServedError(PreconditionError):
    """A model that the edit needs is not served; `metadata` has wanted and served."""


class BusyError(ServiceError):
    """A limit is reached for the moment; `retry_after_s` says when to try again."""


class OverloadedError(BusyError):
    """The queue of edits is full."""


class ClientBudgetError(BusyError):
    """This client has as many pixels in flight as it may."""


class UnavailableError(ServiceError):
    """Nobody answers for the moment."""


class DrainingError(UnavailableError):
    """This replica takes nothing new; another one answers."""


class MasksUnavailableError(UnavailableError):
    """The store of masks does not answer. A write may have happened all the same: list the versions before another one."""


class ModelUnavailableError(UnavailableError):
    """The model server does not answer."""


class DeadlineError(ServiceError):
    """The time allowed ran out."""


class DeadlineTooShortError(DeadlineError):
    """The estimate does not fit the time allowed; `metadata` has remaining_ms and estimate_ms."""


class UploadStalledError(DeadlineError):
    """The server waited too long for a tile."""


class DownloadStalledError(DeadlineError):
    """The server waited too long for finished tiles to be read."""


class CancelledByServerError(ServiceError):
    """The call was cancelled on the way."""


class UnsupportedError(ServiceError):
    """The server does not know the method."""


class ServerFaultError(ServiceError):
    """A fault of the service; report it with the edit id."""


class ModelFaultError(ServerFaultError):
    """A model answered wrongly, also after retries; `metadata` has model."""


class InternalError(ServerFaultError):
    """The service failed in a way it does not tell."""


TABLE: dict[tuple[grpc.StatusCode, str], type[ServiceError]] = {
    (Code.INVALID_ARGUMENT, "BAD_FIELD"): BadFieldError,
    (Code.INVALID_ARGUMENT, "BAD_SEQUENCE"): BadSequenceError,
    (Code.UNAUTHENTICATED, "BAD_TOKEN"): UnauthenticatedError,
    (Code.PERMISSION_DENIED, "UPSCALER_NOT_ALLOWED"): UpscalerNotAllowedError,
    (Code.NOT_FOUND, "MASK_NOT_FOUND"): MaskNotFoundError,
    (Code.FAILED_PRECONDITION, "STALE_MASK"): StaleMaskError,
    (Code.FAILED_PRECONDITION, "MODEL_NOT_SERVED"): ModelNotServedError,
    (Code.ABORTED, "VERSION_CONFLICT"): VersionConflictError,
    (Code.RESOURCE_EXHAUSTED, "OVERLOADED"): OverloadedError,
    (Code.RESOURCE_EXHAUSTED, "CLIENT_BUDGET"): ClientBudgetError,
    (Code.DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT"): DeadlineTooShortError,
    (Code.DEADLINE_EXCEEDED, "UPLOAD_STALLED"): UploadStalledError,
    (Code.DEADLINE_EXCEEDED, "DOWNLOAD_STALLED"): DownloadStalledError,
    (Code.UNAVAILABLE, "DRAINING"): DrainingError,
    (Code.UNAVAILABLE, "MASKS_UNAVAILABLE"): MasksUnavailableError,
    (Code.UNAVAILABLE, "MODEL_UNAVAILABLE"): ModelUnavailableError,
    (Code.INTERNAL, "MODEL_FAULT"): ModelFaultError,
    (Code.INTERNAL, "INTERNAL"): InternalError,
}
"""How the service tells its errors; the server's half is `retouch_server.rpc.status.TABLE`."""

BY_CODE: dict[grpc.StatusCode, type[ServiceError]] = {
    Code.OK: ServerFaultError,
    Code.CANCELLED: CancelledByServerError,
    Code.UNKNOWN: ServerFaultError,
    Code.INVALID_ARGUMENT: InvalidRequestError,
    Code.DEADLINE_EXCEEDED: DeadlineError,
    Code.NOT_FOUND: NotFoundError,
    Code.ALREADY_EXISTS: ConflictError,
    Code.PERMISSION_DENIED: NotAllowedError,
    Code.RESOURCE_EXHAUSTED: BusyError,
    Code.FAILED_PRECONDITION: PreconditionError,
    Code.ABORTED: ConflictError,
    Code.OUT_OF_RANGE: InvalidRequestError,
    Code.UNIMPLEMENTED: UnsupportedError,
    Code.INTERNAL: ServerFaultError,
    Code.UNAVAILABLE: UnavailableError,
    Code.DATA_LOSS: ServerFaultError,
    Code.UNAUTHENTICATED: UnauthenticatedError,
}
"""For answers without a reason that this version knows: from proxies, the network, or a newer server. Every code is in it."""

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def from_rpc_error(error: grpc.aio.AioRpcError) -> ServiceError:
    """The exception that says what `error` means."""
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                return from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                break
    message = error.details() or error.code().name
    return BY_CODE[error.code()](message, ErrorDetails(code=error.code()))


def from_status(status: status_pb2.Status) -> ServiceError:
    """The exception for a google.rpc.Status with its details."""
    code = _CODES.get(status.code, Code.UNKNOWN)
    info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    retry_after_s: float | None = None
    for packed in status.details:
        if packed.Unpack(retry):
            retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
        elif not packed.Unpack(info):
            packed.Unpack(bad)
    is_ours = info.domain == DOMAIN
    details = ErrorDetails(
        code=code,
        reason=info.reason if is_ours else "",
        metadata=dict(info.metadata),
        retry_after_s=retry_after_s,
        field_violations=tuple(FieldViolation(each.field, each.description) for each in bad.field_violations),
    )
    kind = TABLE.get((code, details.reason), BY_CODE[code])
    return kind(status.message or code.name, details)
