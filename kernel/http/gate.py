"""Before anything reads a body: who is calling, is there room, how long may it be, how long may it take.

Pure ASGI, around the whole application. Frameworks read and validate first and ask for the token last: an
unauthenticated 200 MiB upload then costs memory, and a stranger learns the schema from the error messages.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.openapi.models import HTTPBearer as BearerModel
from fastapi.security.base import SecurityBase
from starlette.responses import Response

from kernel import telemetry
from kernel.errors import (
    Forbidden,
    Malformed,
    RequestError,
    TooLarge,
    TooSlow,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)
from kernel.http.problems import problem_of
from kernel.identity import Caller, ClientRegistry, Verified, check_body

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CALLER = "firstnotice.caller"
REQUEST = "firstnotice.request"

_log = telemetry.logger(__name__)
_requests = telemetry.counter("http_requests", "Requests answered", ("service", "method", "route", "status"))
_seconds = telemetry.histogram("http_request_seconds", "Time to the end of the answer", ("service", "route"))
_in_flight = telemetry.gauge("http_requests_in_flight", "Requests being handled now", ("service",))
_JSON_TYPE = re.compile(r"application/([a-z0-9.-]+\+)?json")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HeadersTooLarge(RequestError):
    status, kind, title = 431, "headers-too-large", "The request's headers are too large"


class _Disconnected(Exception):
    """The client went away before its body was complete: there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take: bytes and seconds."""

    body: int = 64 * 1024
    headers: int = 16 * 1024
    read_seconds: float = 10.0
    in_flight: int = 200


class Gate:
    """Authenticates, bounds and logs every request, then hands the application a body that is complete and vouched for.

    Order: headers' size, room, token, declared length and media type, body (counted, with a deadline), its digest,
    its JSON. Whatever fails is answered here, and the connection is closed if body bytes are still under way.
    """

    def __init__(
        self,
        app: App,
        *,
        service: str,
        registry: ClientRegistry,
        limits: Limits,
        open_paths: frozenset[str],
        body_limits: dict[str, int] | None = None,
    ) -> None:
        """`open_paths` answer without a token; `body_limits` gives single paths another limit."""
        self._app = app
        self._service = service
        self._registry = registry
        self._limits = limits
        self._open_paths = open_paths
        self._body_limits = body_limits or {}
        self._handling = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers = _Headers(scope["headers"])
        with telemetry.tracing(headers.text(b"traceparent")) as request_id:
            scope[REQUEST] = request_id
            answer = _Answer(send, telemetry.current_traceparent() or "")
            self._handling += 1
            try:
                await self._admit(scope, headers, receive, answer)
            except _Disconnected:
                answer.status = 499
            except Exception as error:  # noqa: BLE001 - answered as a problem and logged there
                response = problem_of(error, request_id)
                if answer.status is None:
                    await _respond(response, scope, receive, answer)
            finally:
                self._handling -= 1
                self._record(scope, answer, time.perf_counter() - started)

    async def _admit(self, scope: Scope, headers: "_Headers", receive: Receive, answer: "_Answer") -> None:
        answer.close = headers.announce_body
        if headers.size + len(scope.get("raw_path", b"")) + len(scope["query_string"]) > self._limits.headers:
            answer.close = True
            raise HeadersTooLarge(f"The headers may have {self._limits.headers} bytes in all.")
        if scope["path"] in self._open_paths:
            await self._app(scope, _no_body, answer)
            return
        if self._handling > self._limits.in_flight:
            raise Unavailable("too many requests at once")
        verified = self._authenticate(scope, headers)
        body = b""
        if headers.announce_body:
            limit = self._body_limits.get(scope["path"], self._limits.body)
            _check_declaration(headers, limit)
            body = await self._read(receive, limit)
            answer.close = False
        check_body(verified, body)
        if body:
            check_json(body)
        scope[CALLER] = verified.caller
        await self._app(scope, _replay(body, receive), answer)

    def _authenticate(self, scope: Scope, headers: "_Headers") -> Verified:
        scheme, _, token = (headers.text(b"authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("send `Authorization: Bearer` with a token that your registered key has signed")
        target = scope.get("raw_path") or scope["path"].encode()
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        return self._registry.verify(token.strip(), method=scope["method"], target=target.decode("latin-1"))

    async def _read(self, receive: Receive, limit: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.read_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Disconnected
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > limit:
                        raise TooLarge(f"A body may have {limit} bytes here.")
                    chunks.append(chunk)
                    more = message.get("more_body", False)
        except TimeoutError:
            raise TooSlow(f"The body must arrive within {self._limits.read_seconds:g} seconds.") from None
        return b"".join(chunks)

    def _record(self, scope: Scope, answer: "_Answer", seconds: float) -> None:
        # The route's template, never the path itself: what a stranger writes there is not ours to repeat.
        route = getattr(scope.get("route"), "path", None) or (
            scope["path"] if scope["path"] in self._open_paths else "none"
        )
        method = scope["method"] if scope["method"] in _METHODS else "other"
        status = answer.status or 500
        _requests.labels(self._service, method, route, status).inc()
        _seconds.labels(self._service, route).observe(seconds)
        _in_flight.labels(self._service).set(self._handling)
        if route not in self._open_paths or status >= 400:
            caller: Caller | None = scope.get(CALLER)
            _log.info(
                "request",
                service=self._service,
                method=method,
                route=route,
                status=status,
                duration_ms=round(seconds * 1000, 2),
                client_id=caller.client_id if caller else None,
            )


class _Headers:
    """The few headers that the gate looks at, in one pass."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self.size = sum([len(name) + len(value) + 4 for name, value in raw])
        self._values = dict(raw)
        self.announce_body = b"transfer-encoding" in self._values or self._values.get(b"content-length", b"0") != b"0"

    def text(self, name: bytes) -> str | None:
        value = self._values.get(name)
        return None if value is None else value.decode("latin-1")


class _Answer:
    """Passes an answer on, with our headers, and remembers its status."""

    def __init__(self, send: Send, traceparent: str) -> None:
        self._send = send
        self._traceparent = traceparent.encode()
        self.close = False
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            ours = [(b"traceparent", self._traceparent), (b"cache-control", b"no-store")]
            if self.close:
                ours.append((b"connection", b"close"))
            message = {**message, "headers": [*message.get("headers", ()), *ours]}
        await self._send(message)


async def _respond(response: Response, scope: Scope, receive: Receive, answer: _Answer) -> None:
    await response(scope, receive, answer)


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body in one piece, then whatever the server still has to say (that the client went away)."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _check_declaration(headers: _Headers, limit: int) -> None:
    length = headers.text(b"content-length")
    if length is not None:
        if not length.isdecimal():
            raise Malformed("Content-Length must be a number.")
        if int(length[:12]) > limit:
            raise TooLarge(f"A body may have {limit} bytes here.")
    media_type = (headers.text(b"content-type") or "").partition(";")[0].strip().lower()
    if not _JSON_TYPE.fullmatch(media_type):
        raise UnsupportedMedia("Send JSON, with Content-Type: application/json.")
    if (headers.text(b"content-encoding") or "identity").lower() != "identity":
        raise UnsupportedMedia("Send the body as it is, without Content-Encoding.")


def check_json(body: bytes) -> None:
    """Refuses what RFC 8259 forbids or leaves open: bad syntax or encoding, NaN, a member that is named twice.

    Of two members with one name, two programs may read two different values; so nobody reads either.
    Raises Malformed.
    """
    try:
        json.loads(body.decode("utf-8"), object_pairs_hook=_members, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise Malformed(f"The body is not valid JSON at line {error.lineno}, column {error.colno}.") from None
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is not valid UTF-8 at byte {error.start}.") from None
    except RecursionError:
        raise Malformed("The body is nested too deeply.") from None
    except ValueError:
        raise Malformed("The body holds a number that is out of range.") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("The body names a member twice in one object.")
    return members


def _refuse_constant(_: str) -> None:
    raise ValueError


# --- Authorization of routes --------------------------------------------------------------------------------------


def caller(request: Request) -> Caller:
    """Who sent this request. Deny by default: raises Unauthenticated where the gate let it pass without a token."""
    found: Caller | None = request.scope.get(CALLER)
    if found is None:
        raise Unauthenticated("send `Authorization: Bearer` with a token that your registered key has signed")
    return found


class require(SecurityBase):
    """A dependency that lets only callers with this scope in, and gives the caller. Every route declares one."""

    model = BearerModel(bearerFormat="JWT", description="A short-lived JWT that the client signed with its own key.")
    scheme_name = "signedToken"

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Caller:
        found = caller(request)
        if self.scope not in found.scopes:
            raise Forbidden(f"The token's client lacks the scope {self.scope}.")
        return found
