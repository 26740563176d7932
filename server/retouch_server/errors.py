"""What can go wrong with an edit, in the words of the domain. Nothing here knows gRPC: `rpc/status.py` has the table.

    RetouchError
    ├── InvalidRequest
    │   ├── BadField               a field is wrong: which, and what to do
    │   └── BadSequence            a message came when it must not
    ├── Unauthenticated
    ├── UpscalerNotAllowed         the criticality gate said no
    ├── MaskNotFound
    ├── StaleMask                  the mask named is not the current one
    ├── VersionConflict            another write came first
    ├── ModelNotServed             names those that are
    ├── Overloaded                 the queue is full; retry later
    ├── ClientBudgetExceeded       this client's share is in use; retry later
    ├── DeadlineTooShort           the estimate does not fit the deadline
    ├── UploadStalled              the client stopped sending
    ├── DownloadStalled            the client stopped reading
    ├── Draining                   this replica is going away
    ├── MasksUnavailable           the store of masks is busy or away; retry later
    ├── ModelUnavailable           the model server is away; retry later
    └── ModelFault                 a model answered wrongly: ours, not the caller's

`str(error)` is shown to the client: it must name no path, no host and no code. What only operators should read goes in
`__cause__` and the log.
"""


class RetouchError(Exception):
    """Base of all errors that a client may see."""

    def metadata(self) -> dict[str, str]:
        """Machine-readable facts for ErrorInfo.metadata."""
        return {}


class InvalidRequest(RetouchError):
    """The request itself is wrong; sending it again will not help."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description

    def metadata(self) -> dict[str, str]:
        return {"field": self.field}


class BadField(InvalidRequest):
    """A field has a value outside its limits. `description` names the value, the limit and what to do."""


class BadSequence(InvalidRequest):
    """A message came when the grammar of the stream does not allow it."""


class Unauthenticated(RetouchError):
    """No bearer token, or one that is not known."""


class UpscalerNotAllowed(RetouchError):
    """The asset's criticality forbids the upscaler asked for."""

    def __init__(self, upscaler: str, criticality: str, reason: str) -> None:
        super().__init__(f"upscaler {upscaler!r} is not allowed for criticality {criticality}: {reason}")
        self.upscaler = upscaler
        self.criticality = criticality

    def metadata(self) -> dict[str, str]:
        return {"upscaler": self.upscaler, "criticality": self.criticality}


class MaskNotFound(RetouchError):
    """No mask under that image id, or no such version of it."""

    def __init__(self, image_id: str, version: int = 0) -> None:
        what = f"version {version} of the mask" if version else "mask"
        super().__init__(f"there is no {what} for image {image_id!r}; put one with MaskService.PutMask")
        self.image_id = image_id
        self.version = version

    def metadata(self) -> dict[str, str]:
        return {"image_id": self.image_id, "version": str(self.version)}


class StaleMask(RetouchError):
    """The mask that the caller named is not the current one."""

    def __init__(
        self, image_id: str, *, named_version: int, named_digest: str, current_version: int, current_digest: str
    ) -> None:
        named = " ".join(
            filter(
                None,
                (f"version {named_version}" if named_version else "", f"digest {named_digest}" * bool(named_digest)),
            )
        )
        super().__init__(
            f"the mask of image {image_id!r} has changed: the edit names {named}, the current one is "
            f"version {current_version} digest {current_digest}; fetch the current mask and decide again"
        )
        self.image_id = image_id
        self.named_version, self.named_digest = named_version, named_digest
        self.current_version, self.current_digest = current_version, current_digest

    def metadata(self) -> dict[str, str]:
        return {
            "image_id": self.image_id,
            "named_version": str(self.named_version),
            "named_digest": self.named_digest,
            "current_version": str(self.current_version),
            "current_digest": self.current_digest,
        }


class VersionConflict(RetouchError):
    """A mask was written under the assumption of a version that is no longer the current one."""

    def __init__(self, image_id: str, *, expected_version: int, current_version: int) -> None:
        super().__init__(
            f"the mask of image {image_id!r} was expected at version {expected_version} and is at version "
            f"{current_version}; fetch it, merge, and put it with expected_version {current_version}"
        )
        self.image_id = image_id
        self.expected_version = expected_version
        self.current_version = current_version

    def metadata(self) -> dict[str, str]:
        return {
            "image_id": self.image_id,
            "expected_version": str(self.expected_version),
            "current_version": str(self.current_version),
        }


class ModelNotServed(RetouchError):
    """The edit needs a model that is not in the repository."""

    def __init__(self, wanted: str, served: list[str]) -> None:
        names = ", ".join(served) if served else "none"
        super().__init__(f"{wanted} is not served; served are: {names}")
        self.wanted = wanted
        self.served = served

    def metadata(self) -> dict[str, str]:
        return {"wanted": self.wanted, "served": ",".join(self.served)}


class RetryLater(RetouchError):
    """A passing condition; `retry_after_s` says when to try again."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(RetryLater):
    """The queue of edits is full, or too many masks are being uploaded."""


class ClientBudgetExceeded(RetryLater):
    """This client has as many pixels in flight as it may."""


class Draining(RetryLater):
    """This replica finishes what it has and takes nothing new."""


class MasksUnavailable(RetryLater):
    """The store of masks does not answer. A write may have happened all the same."""


class ModelUnavailable(RetryLater):
    """The model server does not answer."""


class DeadlineTooShort(RetouchError):
    """The edit would not finish before the caller's deadline."""

    def __init__(self, remaining_s: float, estimate_s: float) -> None:
        super().__init__(
            f"the deadline leaves {remaining_s:.1f} s and the edit is estimated at {estimate_s:.1f} s; allow more time"
        )
        self.remaining_s = remaining_s
        self.estimate_s = estimate_s

    def metadata(self) -> dict[str, str]:
        return {"remaining_ms": f"{self.remaining_s * 1000:.0f}", "estimate_ms": f"{self.estimate_s * 1000:.0f}"}


class UploadStalled(RetouchError):
    """No tile came for too long."""


class DownloadStalled(RetouchError):
    """Nothing of the result was taken for too long."""


class ModelFault(RetouchError):
    """A model answered with an error, a wrong shape or a wrong type, also after retries."""

    def __init__(self, model: str, message: str) -> None:
        super().__init__(f"model {model} failed: {message}")
        self.model = model

    def metadata(self) -> dict[str, str]:
        return {"model": self.model}
