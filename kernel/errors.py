"""The one hierarchy of errors. Each says what happened and what to do, and never holds a value about a person.

`kernel.http.problems` turns them into RFC 9457 problem documents, in that one place.
"""

from dataclasses import dataclass


class FirstnoticeError(Exception):
    """Base of all errors that we raise on purpose."""


class ConfigurationError(FirstnoticeError):
    """A setting, file or key is missing or wrong; the service does not start."""


class Unavailable(FirstnoticeError):
    """The database, the broker or capacity is missing for now: nothing was lost, try again later (503 or 429)."""

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StaleOwner(FirstnoticeError):
    """Another worker owns this partition or lease now; the batch at hand is discarded, nothing is lost."""


class PoisonEvent(FirstnoticeError):
    """An event cannot be handled, now or by trying again as it is: it is parked, with those of its key behind it."""


class SubjectErased(FirstnoticeError):
    """The subject's data key is gone: its sealed parts can never be opened again."""


@dataclass(frozen=True)
class FieldError:
    """One bad member of a request: a JSON Pointer (RFC 6901) and what to write instead. Never the value itself."""

    pointer: str
    detail: str


class RequestError(FirstnoticeError):
    """A request that its sender has to change. Subclasses name the problem type and the HTTP status."""

    status = 400
    kind = "bad-request"
    title = "The request cannot be processed"

    def __init__(self, detail: str, *, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors


class Malformed(RequestError):
    status, kind, title = 400, "malformed", "The body is not valid JSON"


class Unauthenticated(RequestError):
    status, kind, title = 401, "unauthenticated", "The request has no valid token"


class Forbidden(RequestError):
    status, kind, title = 403, "forbidden", "The token does not allow this"


class NotFound(RequestError):
    """Also the answer for what belongs to somebody else: strangers learn nothing of what exists."""

    status, kind, title = 404, "not-found", "There is nothing here for this caller"


class Conflict(RequestError):
    status, kind, title = 409, "conflict", "The request contradicts what is stored"


class TooLarge(RequestError):
    status, kind, title = 413, "too-large", "The request is too large"


class UnsupportedMedia(RequestError):
    status, kind, title = 415, "unsupported-media-type", "The content type is not supported"


class Invalid(RequestError):
    status, kind, title = 422, "invalid", "Some members are missing or wrong"


class TooSlow(RequestError):
    status, kind, title = 408, "too-slow", "The request did not arrive in time"
