"""Retouch: edit images through a streaming service.

    async with retouch.RetouchClient("localhost:8300") as client:
        result = await client.edit_image(image, mask, scale=2)

Programs without an event loop use `retouch.BlockingClient`, the same without `async` and `await`. Tests of programs that use
this package need no server: see `retouch.testing`.
"""

from retouch.blocking import BlockingClient, BlockingEditCall, BlockingMasks
from retouch.client import Health, RetouchClient
from retouch.edit import EditCall
from retouch.errors import (
    BadFieldError,
    BadSequenceError,
    BusyError,
    CancelledByServerError,
    ClientBudgetError,
    ConflictError,
    DeadlineError,
    DeadlineTooShortError,
    DrainingError,
    ErrorDetails,
    FieldViolation,
    InternalError,
    InvalidInputError,
    InvalidRequestError,
    MaskNotFoundError,
    ModelFaultError,
    ModelNotServedError,
    ModelUnavailableError,
    NotAllowedError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    ProtocolError,
    RetouchError,
    ServerFaultError,
    ServiceError,
    StaleMaskError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
    UploadStalledError,
    UpscalerNotAllowedError,
    VersionConflictError,
)
from retouch.events import Accepted, Done, Event, Progress, StageReport, TileReady, Uploaded
from retouch.geometry import Rect, Size
from retouch.mask import MaskLike, MaskReference, Picture
from retouch.masks import Masks, MaskVersion, StoredMask, SuggestedMask
from retouch.options import Criticality, EditOptions, Inpaint, OptionFields, TextRemoval, TileEncoding
from retouch.plan import Estimate, Findings, Model, Plan, PlannedModel, PlannedStage, Precheck, Region
from retouch.retry import Retry
from retouch.transport import Tls

__all__ = [
    "Accepted",
    "BadFieldError",
    "BadSequenceError",
    "BlockingClient",
    "BlockingEditCall",
    "BlockingMasks",
    "BusyError",
    "CancelledByServerError",
    "ClientBudgetError",
    "ConflictError",
    "Criticality",
    "DeadlineError",
    "DeadlineTooShortError",
    "Done",
    "DrainingError",
    "EditCall",
    "EditOptions",
    "ErrorDetails",
    "Estimate",
    "Event",
    "FieldViolation",
    "Findings",
    "Health",
    "Inpaint",
    "InternalError",
    "InvalidInputError",
    "InvalidRequestError",
    "MaskLike",
    "MaskNotFoundError",
    "MaskReference",
    "MaskVersion",
    "Masks",
    "Model",
    "ModelFaultError",
    "ModelNotServedError",
    "ModelUnavailableError",
    "NotAllowedError",
    "NotFoundError",
    "OptionFields",
    "OverloadedError",
    "Picture",
    "Plan",
    "PlannedModel",
    "PlannedStage",
    "Precheck",
    "PreconditionError",
    "Progress",
    "ProtocolError",
    "Rect",
    "Region",
    "RetouchClient",
    "RetouchError",
    "Retry",
    "ServerFaultError",
    "ServiceError",
    "Size",
    "StageReport",
    "StaleMaskError",
    "StoredMask",
    "SuggestedMask",
    "TextRemoval",
    "TileEncoding",
    "TileReady",
    "Tls",
    "UnauthenticatedError",
    "UnavailableError",
    "UnsupportedError",
    "UploadStalledError",
    "Uploaded",
    "UpscalerNotAllowedError",
    "VersionConflictError",
]
