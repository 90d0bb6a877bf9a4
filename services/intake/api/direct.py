"""The hot route, run as its signature says but without the framework's general machinery, which costs more CPU than
storing the report. OpenAPI, the declared scope and the problem documents are the same as for every other route."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from kernel.errors import FieldError, Invalid
from kernel.http.gate import require

KEY_HEADER = "idempotency-key"
LONGEST_KEY = 255


class DirectRoute(APIRoute):
    """A route whose endpoint takes a body (a model), the caller and an Idempotency-Key, in this order."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        assert self.body_field is not None
        endpoint: Callable[..., Awaitable[Response]] = self.endpoint
        model: type[BaseModel] = self.body_field.field_info.annotation  # type: ignore[assignment]
        guard = next(one.call for one in self.dependant.dependencies if isinstance(one.call, require))

        async def handle(request: Request) -> Response:
            caller = await guard(request)
            return await endpoint(_read(model, await request.body()), caller, _key(request))

        return handle


def _read(model: type[BaseModel], body: bytes) -> BaseModel:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems: list[dict[str, Any]] = [
            {**problem, "loc": ("body", *problem["loc"])} for problem in error.errors(include_url=False)
        ]
        raise RequestValidationError(problems, body=_parsed(body)) from None


def _parsed(body: bytes) -> Any:
    """Only to tell members of the body from steps inside the model; a body that is no JSON has no members."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _key(request: Request) -> str | None:
    key = request.headers.get(KEY_HEADER)
    if key is not None and not 1 <= len(key) <= LONGEST_KEY:
        raise Invalid(
            "Correct the header that `errors` names, then send again.",
            errors=(FieldError(f"header/{KEY_HEADER}", f"must have 1 to {LONGEST_KEY} characters"),),
        )
    return key
