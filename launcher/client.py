"""Requests to the services, signed as any records system or recipient has to sign them."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx

from kernel.clock import Clock, system_clock
from kernel.errors import FirstnoticeError
from kernel.identity import SigningKey, load_key, sign_request


class Refused(FirstnoticeError):
    """A service answered with a problem document; the message is what that says."""


class Signed(httpx.Auth):
    """Signs each request with the caller's own key; see docs/decisions/0003-self-signed-tokens.md."""

    requires_request_body = True

    def __init__(self, client_id: str, key: SigningKey, clock: Clock = system_clock) -> None:
        self._client_id = client_id
        self._key = key
        self._clock = clock

    @classmethod
    def from_file(cls, client_id: str, key_file: Path) -> "Signed":
        """Raises ConfigurationError."""
        return cls(client_id, load_key(key_file))

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = sign_request(
            self._key,
            self._client_id,
            method=request.method,
            path=request.url.raw_path.decode(),
            body=request.content,
            now=self._clock(),
        )
        request.headers["Authorization"] = f"Bearer {token}"
        yield request


def accepted(response: httpx.Response) -> Any:
    """The JSON of a 2xx answer. Raises Refused with what the problem document says."""
    if response.is_success:
        return response.json()
    raise Refused(f"{response.request.method} {response.request.url.path}: {_problem(response)}")


def _problem(response: httpx.Response) -> str:
    """The title, detail and bad members of a problem document (RFC 9457), in one line."""
    try:
        problem = response.json()
        members = [f"{error['pointer']}: {error['detail']}" for error in problem.get("errors", ())]
        return "; ".join(filter(None, [f"{response.status_code} {problem['title']}", problem.get("detail"), *members]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{response.status_code} {response.reason_phrase}"
