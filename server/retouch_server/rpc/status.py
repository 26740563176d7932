"""The one table from domain error to canonical code and google.rpc details; the API documents it in edit_service.proto."""

from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from retouch_server import errors

DOMAIN = "retouch.v1"


@dataclass(frozen=True, slots=True)
class Row:
    """How an error is told to a client."""

    code: grpc.StatusCode
    reason: str

    @property
    def is_ours(self) -> bool:
        """Whether it is a fault of the service, not of the request."""
        return self.code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)


TABLE: dict[type[errors.RetouchError], Row] = {
    errors.BadField: Row(grpc.StatusCode.INVALID_ARGUMENT, "BAD_FIELD"),
    errors.BadSequence: Row(grpc.StatusCode.INVALID_ARGUMENT, "BAD_SEQUENCE"),
    errors.Unauthenticated: Row(grpc.StatusCode.UNAUTHENTICATED, "BAD_TOKEN"),
    errors.UpscalerNotAllowed: Row(grpc.StatusCode.PERMISSION_DENIED, "UPSCALER_NOT_ALLOWED"),
    errors.MaskNotFound: Row(grpc.StatusCode.NOT_FOUND, "MASK_NOT_FOUND"),
    errors.StaleMask: Row(grpc.StatusCode.FAILED_PRECONDITION, "STALE_MASK"),
    errors.VersionConflict: Row(grpc.StatusCode.ABORTED, "VERSION_CONFLICT"),
    errors.ModelNotServed: Row(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_NOT_SERVED"),
    errors.Overloaded: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    errors.ClientBudgetExceeded: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT_BUDGET"),
    errors.DeadlineTooShort: Row(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT"),
    errors.UploadStalled: Row(grpc.StatusCode.DEADLINE_EXCEEDED, "UPLOAD_STALLED"),
    errors.DownloadStalled: Row(grpc.StatusCode.DEADLINE_EXCEEDED, "DOWNLOAD_STALLED"),
    errors.Draining: Row(grpc.StatusCode.UNAVAILABLE, "DRAINING"),
    errors.MasksUnavailable: Row(grpc.StatusCode.UNAVAILABLE, "MASKS_UNAVAILABLE"),
    errors.ModelUnavailable: Row(grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
    errors.ModelFault: Row(grpc.StatusCode.INTERNAL, "MODEL_FAULT"),
}
UNKNOWN = Row(grpc.StatusCode.INTERNAL, "INTERNAL")
OK = Row(grpc.StatusCode.OK, "OK")
CANCELLED = Row(grpc.StatusCode.CANCELLED, "CANCELLED")


def row_of(error: BaseException) -> Row:
    """The row of what ended a call: UNKNOWN for an error that is no RetouchError, CANCELLED for no error at all."""
    if isinstance(error, errors.RetouchError):
        return TABLE[type(error)]
    return UNKNOWN if isinstance(error, Exception) else CANCELLED


def to_status(error: BaseException, *, edit_id: str = "") -> grpc.Status:
    """The status of `error`, with details. What is not a RetouchError becomes INTERNAL and tells the client nothing more."""
    if isinstance(error, errors.RetouchError):
        row, message, metadata = TABLE[type(error)], str(error), error.metadata()
    else:
        row, message, metadata = UNKNOWN, "internal error; report it with the edit id", {}
    if edit_id:
        metadata["edit_id"] = edit_id
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=row.reason, domain=DOMAIN, metadata=metadata)]
    if isinstance(error, errors.InvalidRequest):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.description)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, errors.RetryLater):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if isinstance(error, (errors.StaleMask, errors.ModelNotServed)):
        subject = error.image_id if isinstance(error, errors.StaleMask) else error.wanted
        failure = error_details_pb2.PreconditionFailure.Violation(type=row.reason, subject=subject, description=message)
        details.append(error_details_pb2.PreconditionFailure(violations=[failure]))
    return rpc_status.to_status(  # pyright: ignore[reportUnknownMemberType]  # grpcio-status has no types
        status_pb2.Status(code=_code(row.code), message=message, details=[_pack(d) for d in details])
    )


def _code(code: grpc.StatusCode) -> int:
    return code_pb2.Code.Value(code.name)


def _pack(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
