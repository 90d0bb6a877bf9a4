"""A small service behind the real gate, for the tests of the web edge: within the test's process, or on a port."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import httpx
import orjson
from fastapi import APIRouter, Depends, FastAPI

from contracts.facts import EncounterReport
from kernel import identity
from kernel.errors import Conflict, Unavailable
from kernel.http.app import create_app
from kernel.http.gate import require
from kernel.http.server import serve
from kernel.identity import Caller, ClientRegistry, client_entry, sign_request
from kernel.settings import HttpSettings
from kernel.telemetry import configure_logging, current_traceparent
from tests.support.wait import until

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = identity.generate_key("rms-1")
SCOPES = {"encounters:write", "encounters:read"}
REPORT = {
    "agency_ori": "MO0010000",
    "encounter_at": "2026-11-21T10:00:00-06:00",
    "encounter": {"incident_number": "26-1"},
    "subjects": [{"subject_number": 1, "age": "unknown", "circumstances": {"appears_victim": True}}],
}
BODY = orjson.dumps(REPORT)
POST = ("POST", "/v1/reports")


@dataclass
class WebService:
    """Where it listens, what it logged, and what its handlers were given."""

    app: FastAPI
    stop: asyncio.Event
    log: io.StringIO
    seen: list[Any] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    ready: bool = True
    drained: asyncio.Event = field(default_factory=asyncio.Event)
    """Ends the time between not being ready and not listening any more."""
    transport: httpx.AsyncBaseTransport | None = None
    """None: the network, to the port on which it listens."""

    @property
    def url(self) -> str:
        return "http://test" if self.transport is not None else f"http://127.0.0.1:{self.app.state.port}"

    def signed(self, method: str, path: str, body: bytes = b"", **options: Any) -> dict[str, str]:
        token = sign_request(KEY, "rms", method=method, path=path, body=body, now=NOON, **options)
        return {"authorization": f"Bearer {token}", "content-type": "application/json"}

    async def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """A request, signed unless `headers` are given."""
        async with httpx.AsyncClient(base_url=self.url, transport=self.transport, trust_env=False) as client:
            sent = self.signed(method, path, body) if headers is None else headers
            return await client.request(method, path, content=body or None, headers=sent)

    async def raw(self, *parts: bytes) -> bytes:
        """What the server answers to these bytes until it closes the connection. Whoever waits for more than is sent
        here waits longer than this test."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.app.state.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(30):
                return await reader.read()
        finally:
            writer.close()


def routes(service: WebService) -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.post("/reports", status_code=202)
    async def report(
        body: EncounterReport, caller: Annotated[Caller, Depends(require("encounters:write"))]
    ) -> dict[str, str | None]:
        service.seen.append(body)
        return {"client": caller.client_id, "traceparent": current_traceparent()}

    @router.get("/reports/{report_id}", dependencies=[Depends(require("encounters:read"))])
    async def read(report_id: UUID, limit: int = 1) -> dict[str, str]:
        return {"id": str(report_id)}

    @router.get("/secret", dependencies=[Depends(require("trail:read"))])
    async def secret() -> None:
        return None

    @router.post("/fail", dependencies=[Depends(require("encounters:write"))])
    async def fail(body: dict[str, str]) -> None:
        raise RuntimeError(f"cannot handle {body}")

    @router.post("/conflict", dependencies=[Depends(require("encounters:write"))])
    async def conflict() -> None:
        raise Conflict("The key was used for other content.")

    @router.get("/away", dependencies=[Depends(require("encounters:read"))])
    async def away() -> None:
        raise Unavailable("the database does not answer", retry_after=7)

    @router.get("/wait", dependencies=[Depends(require("encounters:read"))])
    async def wait() -> str:
        service.seen.append("waiting")
        await service.release.wait()
        return "done"

    return router


def made(folder: Path, **settings: Any) -> WebService:
    """The service, not started yet."""
    path = folder / "clients.json"
    identity.write_clients(path, [client_entry("rms", "agency", KEY, scopes=SCOPES, agencies={"MO0010000"})])
    service = WebService(FastAPI(), asyncio.Event(), io.StringIO())

    async def readiness() -> None:
        if not service.ready:
            raise Unavailable("the database does not answer")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.seen.append("closed")

    service.app = create_app(
        service="intake",
        title="Test",
        routers=[routes(service)],
        registry=ClientRegistry(path, clock=lambda: NOON),
        settings=HttpSettings(**{"stop_seconds": 60, "read_seconds": 60, **settings}),
        readiness=readiness,
        lifespan=lifespan,
    )
    return service


@contextmanager
def in_process(folder: Path, **settings: Any) -> Iterator[WebService]:
    """The service without a server, logging to memory."""
    service = made(folder, **settings)
    service.transport = httpx.ASGITransport(service.app)
    with _logging_to(service):
        yield service


@asynccontextmanager
async def listening(folder: Path, **settings: Any) -> AsyncIterator[WebService]:
    """The service on a free port, logging to memory. It stops when `drained` is set."""
    service = made(folder, **settings)

    async def pause(_: float) -> None:
        await service.drained.wait()

    with _logging_to(service):
        serving = asyncio.create_task(serve(service.app, "127.0.0.1", 0, service.stop, pause=pause))
        try:
            await until(lambda: hasattr(service.app.state, "port"), bool)
            yield service
        finally:
            service.drained.set()
            service.stop.set()
            await serving


@contextmanager
def _logging_to(service: WebService) -> Iterator[None]:
    configure_logging("info", output="json", stream=service.log)
    try:
        yield
    finally:
        configure_logging("info", output="json")
