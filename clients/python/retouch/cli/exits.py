"""Exit codes that mean something: one table from exception to code and to what the reader should do next."""

from collections.abc import Mapping
from dataclasses import dataclass

import retouch

OK, UNEXPECTED, USAGE, BAD_INPUT, REFUSED, BUSY, DEADLINE, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 4, 5, 6, 130, 143

MEANINGS: Mapping[int, str] = {
    OK: "done",
    UNEXPECTED: "unexpected: a fault of the service or of this command; report it with the edit id",
    USAGE: "usage: an option or argument is wrong",
    BAD_INPUT: "bad input: the image, mask or request cannot be used",
    REFUSED: "refused: stale mask, model not served, not allowed, bad token",
    BUSY: "busy or unavailable: try again later",
    DEADLINE: "the time allowed ran out, or the estimate does not fit it",
    INTERRUPTED: "interrupted",
    TERMINATED: "told to end (SIGTERM)",
}


@dataclass(frozen=True, slots=True)
class Exit:
    """How an exception ends the command."""

    code: int
    remedy: str  # what to do, where the message itself does not say


# The most specific entry along an exception's ancestry counts.
EXITS: Mapping[type[BaseException], Exit] = {
    retouch.RetouchError: Exit(UNEXPECTED, "report it"),
    retouch.InvalidInputError: Exit(BAD_INPUT, ""),
    retouch.ProtocolError: Exit(UNEXPECTED, "check that client and server have the same version; nothing was written"),
    retouch.ServiceError: Exit(UNEXPECTED, "report it with the edit id"),
    retouch.ServerFaultError: Exit(UNEXPECTED, "report it with the edit id; the server's log has the cause"),
    retouch.CancelledByServerError: Exit(BUSY, "try again"),
    retouch.UnsupportedError: Exit(UNEXPECTED, "is a Retouch server listening there, and is it as new as this command?"),
    retouch.InvalidRequestError: Exit(BAD_INPUT, "mend what the message names; trying again does not help"),
    retouch.BadSequenceError: Exit(UNEXPECTED, "a fault of this client: report it"),
    retouch.NotFoundError: Exit(REFUSED, ""),
    retouch.MaskNotFoundError: Exit(REFUSED, "see `retouch mask list ID`, or put it with `retouch mask put ID MASK`"),
    retouch.ConflictError: Exit(REFUSED, "somebody else was first: look at the current state and decide again"),
    retouch.PreconditionError: Exit(REFUSED, ""),
    retouch.StaleMaskError: Exit(REFUSED, "fetch the current mask with `retouch mask get ID -o MASK.png` and look again"),
    retouch.ModelNotServedError: Exit(REFUSED, "see `retouch models list` for what is served"),
    retouch.NotAllowedError: Exit(REFUSED, ""),
    retouch.UpscalerNotAllowedError: Exit(REFUSED, "drop --upscaler or lower --criticality"),
    retouch.UnauthenticatedError: Exit(REFUSED, "give a valid token with --token or RETOUCH_TOKEN"),
    retouch.BusyError: Exit(BUSY, "try again later; nothing was written"),
    retouch.UnavailableError: Exit(BUSY, "is the server up? see --server, `retouch up` and `retouch doctor`"),
    retouch.DrainingError: Exit(BUSY, "try again; another replica answers"),
    retouch.ModelUnavailableError: Exit(BUSY, "the server is up but its models are not; try again in a moment"),
    retouch.DeadlineError: Exit(DEADLINE, "allow more with --timeout"),
    retouch.DownloadStalledError: Exit(DEADLINE, "the result was not taken fast enough; try another disk"),
    retouch.UploadStalledError: Exit(DEADLINE, "the way to the server is too slow or was interrupted; try again"),
}


def exit_for(error: BaseException) -> Exit:
    """The entry of the nearest ancestor."""
    for kind in type(error).__mro__:
        if kind in EXITS:
            return EXITS[kind]
    return Exit(UNEXPECTED, "this is a fault of the command: report it")
