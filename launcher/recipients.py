"""Example recipients: programs that know firstnotice only as webhooks that come in and an API to acknowledge to.

They do what any recipient has to do: verify the signature, write down before answering, apply each notice once,
acknowledge until it works.
"""

import asyncio
import logging
import signal
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import uvicorn
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kernel.identity import SigningKey
from launcher.client import Signed
from launcher.ledger import Ledger, Received, digest
from launcher.processes import Ownership
from launcher.programs import Program

BODY_LIMIT = 256 * 1024
ACKNOWLEDGING = 8
"""Acknowledgements under way at once."""
LONGEST_WAIT_SECONDS = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How one program runs. `silent`: it confirms every notice and never acknowledges one."""

    program: Program
    router: str
    ledger: Path
    key: SigningKey = field(repr=False)
    webhook_secret: str = field(repr=False)
    silent: bool = False


class Recipient:
    """One program with its ledger."""

    def __init__(self, options: Options, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._webhook = Webhook(options.webhook_secret)
        self._writing = asyncio.Lock()
        self._open: deque[Received] = deque(ledger.contents.open)
        self._wake = asyncio.Event()

    async def receive(self, request: Request) -> Response:
        """A webhook (Standard Webhooks 1.0.0): 2xx only once it is in the ledger, on disk."""
        recipient_id = request.path_params["recipient_id"]
        if recipient_id not in self._options.program.recipients:
            return _answer(404, "no such recipient here")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_LIMIT:
                return _answer(413, "too large")
        try:
            event: Any = self._webhook.verify(bytes(body), dict(request.headers))
            notice_id = request.headers["webhook-id"]
            told = event["data"]["notice"]
            received = Received(notice_id, recipient_id, told["kind"], told["encounter_id"], digest(bytes(body)))
        except (WebhookVerificationError, ValueError):
            return _answer(401, "the signature does not fit")
        except (KeyError, TypeError):
            return _answer(422, "this is no notice")
        await self._write_down(received)
        return JSONResponse({"received": notice_id})

    async def _write_down(self, notice: Received) -> None:
        async with self._writing:
            if notice.notice_id in self._ledger.contents.received:
                entry = {"what": "repeated", "notice_id": notice.notice_id, "digest": notice.digest}
                await self._append(entry)
                return
            await self._append(
                {
                    "what": "received",
                    "notice_id": notice.notice_id,
                    "recipient_id": notice.recipient_id,
                    "kind": notice.kind,
                    "encounter_id": notice.encounter_id,
                    "digest": notice.digest,
                }
            )
        self._open.append(notice)
        self._wake.set()

    async def _append(self, entry: dict[str, Any]) -> None:
        at = datetime.now(UTC).isoformat()
        await asyncio.to_thread(self._ledger.append, [entry | {"at": at}])

    async def acknowledge_all(self) -> None:
        """Answers every notice, for as long as it takes; begins with what was left open when we last stopped."""
        if self._options.silent:
            return
        room = asyncio.Semaphore(ACKNOWLEDGING)
        async with httpx.AsyncClient(base_url=self._options.router, timeout=10.0) as http, asyncio.TaskGroup() as group:

            async def answer(notice: Received) -> None:
                async with room:
                    await self._acknowledge(http, notice)

            while True:
                while self._open:
                    group.create_task(answer(self._open.popleft()))
                self._wake.clear()
                await self._wake.wait()

    async def _acknowledge(self, http: httpx.AsyncClient, notice: Received) -> None:
        # The same notice gets the same case number however often we have to say it.
        case = f"{notice.recipient_id.upper()}-{notice.encounter_id.replace('-', '')[-12:].upper()}"
        body = orjson.dumps({"status": "accepted", "case_number": case})
        signed = Signed(notice.recipient_id, self._options.key)
        wait = 0.1
        while True:
            try:
                response = await http.post(
                    f"/v1/notices/{notice.notice_id}/acknowledgements",
                    content=body,
                    headers={"Content-Type": "application/json"},
                    auth=signed,
                )
            except httpx.HTTPError as error:
                log.warning("the router does not answer (%s)", type(error).__name__)
            else:
                if response.is_success:
                    entry = {"what": "acknowledged", "notice_id": notice.notice_id, "status": "accepted"}
                elif response.status_code in (409, 422):
                    entry = {"what": "refused", "notice_id": notice.notice_id, "reason": str(response.status_code)}
                else:
                    entry = None
                    log.warning("the router answered %d to an acknowledgement", response.status_code)
                if entry is not None:
                    async with self._writing:
                        await self._append(entry)
                    return
            await asyncio.sleep(wait)
            wait = min(LONGEST_WAIT_SECONDS, wait * 2)


def create_app(options: Options) -> Starlette:
    """The program as an ASGI application; its ledger belongs to it for as long as its lifespan lasts."""
    running: list[Recipient] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        ownership = Ownership(options.ledger.parent)
        ownership.claim()
        ledger = Ledger(options.ledger)
        running.append(Recipient(options, ledger))
        acknowledging = asyncio.create_task(running[0].acknowledge_all())
        acknowledging.add_done_callback(_end_if_failed)
        try:
            yield
        finally:
            acknowledging.cancel()
            with suppress(asyncio.CancelledError):
                await acknowledging
            ledger.close()
            ownership.release()

    async def receive(request: Request) -> Response:
        return await running[0].receive(request)

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/{recipient_id}", receive, methods=["POST"])], lifespan=lifespan
    )


def run(options: Options, host: str, port: int) -> None:
    """Serves until SIGINT or SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    uvicorn.run(create_app(options), host=host, port=port, log_config=None, access_log=False, server_header=False)


def _end_if_failed(acknowledging: asyncio.Task[None]) -> None:
    """A program that cannot write its ledger must not go on; whoever started it starts it again."""
    if not acknowledging.cancelled() and (error := acknowledging.exception()) is not None:
        log.error("acknowledging failed", exc_info=error)
        signal.raise_signal(signal.SIGTERM)


def _answer(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status_code=status)
