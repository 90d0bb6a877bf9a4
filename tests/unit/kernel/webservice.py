"""A small service behind the real gate and the real server, for the tests of the web edge."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import httpx
from fastapi import APIRouter, Depends, FastAPI

from contracts.facts import EncounterReport
from kernel import identity
from kernel.clock import system_clock
from kernel.errors import Conflict, Unavailable
from kernel.http.app import create_app
from kernel.http.gate import require
from kernel.http.server import serve
from kernel.identity import Caller, ClientRegistry, client_entry, sign_request
from kernel.settings import HttpSettings
from kernel.telemetry import configure_logging, current_traceparent
from tests.support.wait import until

KEY = identity.generate_key("rms-1")
SCOPES = {"encounters:write", "encounters:read"}


@dataclass
class WebService:
    """Where it listens, what it logged, and what its handlers were given."""

    app: FastAPI
    stop: asyncio.Event
    log: io.StringIO
    seen: list[Any] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    ready: bool = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.app.state.port}"

    def signed(self, method: str, path: str, body: bytes = b"", **options: Any) -> dict[str, str]:
        token = sign_request(KEY, "rms", method=method, path=path, body=body, now=system_clock(), **options)
        return {"authorization": f"Bearer {token}", "content-type": "application/json"}

    async def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """A request, signed unless `headers` are given."""
        async with httpx.AsyncClient(base_url=self.url) as client:
            sent = self.signed(method, path, body) if headers is None else headers
            return await client.request(method, path, content=body or None, headers=sent)

    async def raw(self, *parts: bytes, seconds: float = 5.0) -> bytes:
        """What the server answers to these bytes until it closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.app.state.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(seconds):
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


@asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[WebService]:
    """The service on a free port, logging to memory."""
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
        registry=ClientRegistry(path, clock=system_clock),
        settings=HttpSettings(**{"stop_seconds": 2, **settings}),
        readiness=readiness,
        lifespan=lifespan,
    )
    configure_logging("info", output="json", stream=service.log)
    serving = asyncio.create_task(serve(service.app, "127.0.0.1", 0, service.stop))
    try:
        await until(lambda: hasattr(service.app.state, "port"), bool)
        yield service
    finally:
        service.stop.set()
        await serving
        configure_logging("info", output="json")
