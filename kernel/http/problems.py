"""Every error answer is made here: an RFC 9457 problem document that names each bad field and never echoes a value."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from kernel import telemetry
from kernel.errors import (
    FieldError,
    FirstnoticeError,
    Invalid,
    Malformed,
    NotFound,
    RequestError,
    SubjectErased,
    Unavailable,
)

MEDIA_TYPE = "application/problem+json"
BASE = "https://firstnotice.org/problems/"

_log = telemetry.logger(__name__)


class BadField(BaseModel):
    """One bad member of a request."""

    pointer: str
    """JSON Pointer (RFC 6901) into the body; `query/...` or `header/...` for what is not in the body."""
    detail: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    """Names this request in our logs: quote it when you ask."""
    errors: list[BadField] | None = None


def problem(
    status: int,
    kind: str,
    title: str,
    detail: str,
    *,
    instance: str | None = None,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    document: dict[str, Any] = {"type": BASE + kind, "title": title, "status": status, "detail": detail}
    if instance is not None:
        document["instance"] = "urn:firstnotice:request:" + instance
    if errors:
        document["errors"] = [{"pointer": error.pointer, "detail": error.detail} for error in errors]
    return Response(orjson.dumps(document), status, dict(headers or {}), MEDIA_TYPE)


def problem_of(error: Exception, instance: str | None = None) -> Response:
    """The answer to any exception. What we did not foresee becomes a 500 and one log line, both without values."""
    match error:
        case RequestError():
            headers = {"www-authenticate": "Bearer"} if error.status == 401 else {}
            return problem(
                error.status, error.kind, error.title, error.detail,
                instance=instance, errors=error.errors, headers=headers,
            )  # fmt: skip
        case Unavailable():
            return problem(
                503, "unavailable", "Not possible right now", "Nothing was stored. Send the same request again later.",
                instance=instance, headers={"retry-after": str(error.retry_after)},
            )  # fmt: skip
        case SubjectErased():
            return problem(410, "erased", "The subject was erased", "This record was erased.", instance=instance)
        case RequestValidationError():
            return problem_of(_invalid(error), instance)
        case HTTPException():
            return _framework_problem(error, instance)
        case _:
            _log.error("a request failed unexpectedly", exc_info=error)
            return problem(
                500, "internal", "Something went wrong here", "It is our fault and was logged; sending again is safe.",
                instance=instance,
            )  # fmt: skip


class DescribedFastAPI(FastAPI):
    """FastAPI whose OpenAPI description gives error answers the media type that they have."""

    def openapi(self) -> dict[str, Any]:
        described = super().openapi()
        for path in described["paths"].values():
            for operation in path.values():
                content = operation["responses"].get("default", {}).get("content", {})
                if "application/json" in content:
                    content[MEDIA_TYPE] = content.pop("application/json")
        return described


def install(app: FastAPI) -> None:
    """Puts `problem_of` in the place of the framework's own answers."""

    async def answer(request: Request, error: Exception) -> Response:
        return problem_of(error, request.scope.get("firstnotice.request"))

    for kind in (FirstnoticeError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)


def _framework_problem(error: HTTPException, instance: str | None) -> Response:
    if error.status_code == 404:
        return problem_of(NotFound("The path is unknown, or what it names is not yours."), instance)
    if error.status_code == 405:
        return problem(
            405, "method-not-allowed", "The method is not supported here", "Use a method that the header Allow names.",
            instance=instance, headers=error.headers,
        )  # fmt: skip
    if error.status_code == 400:
        return problem_of(Malformed("The body could not be read."), instance)
    return problem(
        error.status_code, "http", "The request cannot be processed", "The request cannot be processed.",
        instance=instance, headers=error.headers,
    )  # fmt: skip


# --- Bad fields ---------------------------------------------------------------------------------------------------


def _invalid(error: RequestValidationError) -> RequestError:
    problems = error.errors()
    if any(problem["loc"][:1] == ("path",) for problem in problems):
        # A malformed id names nothing; it is answered like one that is unknown.
        return NotFound("The path is unknown, or what it names is not yours.")
    if any(problem["type"] == "json_invalid" for problem in problems):
        return Malformed("The body is not valid JSON.")
    fields = _without_shadowed(field_errors(problems, error.body))
    return Invalid("Correct the members that `errors` names, then send again.", errors=fields)


def field_errors(problems: Iterable[Mapping[str, Any]], body: Any) -> list[FieldError]:
    """What pydantic found, by JSON Pointer into `body`, in words that do not depend on any value."""
    return [FieldError(_pointer(problem["loc"], problem["type"], body), _wording(problem)) for problem in problems]


def _without_shadowed(found: list[FieldError]) -> tuple[FieldError, ...]:
    """Of a union, every branch complains: the deepest complaint is about what the sender meant."""
    by_pointer: dict[str, list[str]] = {}
    for error in found:
        by_pointer.setdefault(error.pointer, []).append(error.detail)
    return tuple(
        FieldError(pointer, ", or ".join(dict.fromkeys(details)))
        for pointer, details in by_pointer.items()
        if not any(other.startswith(pointer + "/") for other in by_pointer)
    )


def _pointer(location: Sequence[str | int], kind: str, body: Any) -> str:
    place, *steps = location
    if place != "body":
        return "/".join(map(str, location))
    # Pydantic also names union branches and key checks; those are not in the body, so they are stepped over.
    pointer, current = "", body
    for number, step in enumerate(steps):
        try:
            current = current[step]
        except (LookupError, TypeError):
            if not (kind == "missing" and number == len(steps) - 1):
                continue
        pointer += "/" + str(step).replace("~", "~0").replace("/", "~1")
    return pointer


_WORDING = {
    "missing": "is required",
    "extra_forbidden": "is not a known member",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "timezone_aware": "must have a time zone, for example 2026-01-31T13:30:00-06:00",
    "json_invalid": "is not valid JSON",
}
"""By pydantic's type of error. The parameters come from the schema, never from the request."""

_KINDS = {
    "string": "must be a text",
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "date": "must be a date, for example 2026-01-31",
    "datetime": "must be a date and time, for example 2026-01-31T13:30:00-06:00",
    "uuid": "must be a UUID",
    "list": "must be an array",
    "tuple": "must be an array",
    "dict": "must be an object",
    "model": "must be an object",
    "decimal": "must be a decimal number, as a text",
}
_SCHEMA_PARAMETERS = frozenset({"pattern", "min_length", "max_length", "gt", "ge", "lt", "le", "expected"})


def _wording(problem: Mapping[str, Any]) -> str:
    kind: str = problem["type"]
    parameters = {k: v for k, v in (problem.get("ctx") or {}).items() if k in _SCHEMA_PARAMETERS}
    if kind in _WORDING:
        return _WORDING[kind].format_map(parameters)
    if kind == "value_error":
        return _rule(problem)
    return _KINDS.get(kind.split("_")[0], f"is not valid ({kind})")


def _rule(problem: Mapping[str, Any]) -> str:
    """The words of one of our own rules, unless they quote anything of the request."""
    words = str((problem.get("ctx") or {}).get("error", ""))
    if not words or any(value in words for value in _scalars(problem.get("input"))):
        return "is not valid"
    return words


def _scalars(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            # A model's own member names are words of ours; what stands under them is the sender's.
            yield from _scalars(member)
            if not name.isidentifier():
                yield name
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _scalars(member)
    elif isinstance(value, str) and value:
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
