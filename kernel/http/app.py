"""One way to make the web application of a service: everything wired, nothing open that did not say so."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from kernel import telemetry
from kernel.errors import ConfigurationError, Unavailable
from kernel.http import problems
from kernel.http.gate import Gate, Limits, require
from kernel.identity import ClientRegistry
from kernel.settings import HttpSettings

Readiness = Callable[[], Awaitable[Sequence[str] | None]]
"""What does not move behind a service that can answer requests, in words for an operator; nothing when all does.
Raises Unavailable while it cannot."""
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/openapi.json"})
METRICS_SCOPE = "metrics:read"


def create_app(
    *,
    service: str,
    title: str,
    routers: Sequence[APIRouter],
    registry: ClientRegistry,
    settings: HttpSettings,
    readiness: Readiness,
    lifespan: Lifespan | None = None,
    version: str = "1",
    body_limits: dict[str, int] | None = None,
    shows: Mapping[str, str] | None = None,
) -> FastAPI:
    """The application of one service. `body_limits` gives single paths (of batches) another limit, in bytes; `shows`
    is what /readyz says beside its status, such as the law that is applied.

    Raises ConfigurationError when a route does not `require` a scope.
    """
    app = problems.DescribedFastAPI(
        title=title,
        version=version,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={"default": {"model": problems.Problem, "description": "Problem details (RFC 9457)"}},
    )
    app.state.stopping = False
    app.state.http_settings = settings
    for router in routers:
        app.include_router(router)
    app.include_router(_health(app, readiness, shows or {}, metrics_open=settings.metrics_open))
    problems.install(app)
    app.add_middleware(
        Gate,
        service=service,
        registry=registry,
        limits=Limits(
            body=settings.body_limit,
            headers=settings.header_limit,
            read_seconds=settings.read_seconds,
            in_flight=settings.max_in_flight,
        ),
        open_paths=OPEN_PATHS | {"/metrics"} if settings.metrics_open else OPEN_PATHS,
        body_limits=body_limits,
    )
    for path, scope in declared_scopes(app):
        if scope is None and path not in OPEN_PATHS | {"/metrics"}:
            raise ConfigurationError(f"{service}: the route {path} declares no scope; add Depends(require(...))")
    return app


def declared_scopes(app: FastAPI) -> Iterator[tuple[str, str | None]]:
    """Path and required scope of every route; none where a route requires nothing."""
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        yield route.path or "?", next(_scopes(dependant), None) if dependant is not None else None


def _scopes(dependant: Dependant) -> Iterator[str]:
    if isinstance(dependant.call, require):
        yield dependant.call.scope
    for inner in dependant.dependencies:
        yield from _scopes(inner)


def _health(app: FastAPI, readiness: Readiness, shows: Mapping[str, str], *, metrics_open: bool) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz() -> dict[str, str | list[str]]:
        """The process can take requests now, and is not about to stop; and which law it applies.

        What does not move behind it is told with the status "degraded" and still 200: a broker that is away is no
        reason to send reports and acknowledgements elsewhere, for they are durable here. Alarms watch the metrics.
        """
        if app.state.stopping:
            raise Unavailable("the service is stopping")
        if still := await readiness():
            return {"status": "degraded", "does_not_move": list(still), **shows}
        return {"status": "ready", **shows}

    @router.get("/metrics", dependencies=[] if metrics_open else [Depends(require(METRICS_SCOPE))])
    async def metrics() -> Response:
        content, media_type = telemetry.metrics_page()
        return Response(content, media_type=media_type)

    return router


__all__ = ["OPEN_PATHS", "Lifespan", "Readiness", "create_app", "declared_scopes"]
