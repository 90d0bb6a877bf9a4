"""Example recipients: only signed notices, each applied once, acknowledged until that works, also after a restart."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import orjson
import pytest
import uvicorn
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kernel.identity import generate_key
from launcher.ledger import read
from launcher.processes import reserve_loopback_ports
from launcher.programs import PROGRAMS
from launcher.recipients import BODY_LIMIT, Options, create_app
from tests.support.wait import until

SECRET = "whsec_" + "Zm9yIHRlc3RzIG9ubHksIDMyIGJ5dGVzIGxvbmc="
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(PROGRAMS["juvenile-officers"], NOWHERE, tmp_path / "r" / "ledger.jsonl", generate_key(), SECRET)


def notice(notice_id: str = "n1", encounter_id: str = "e1") -> bytes:
    return orjson.dumps({"id": notice_id, "data": {"notice": {"kind": "notice", "encounter_id": encounter_id}}})


def signed(body: bytes, notice_id: str = "n1", secret: str = SECRET) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(notice_id, now, body.decode()),
    }


@contextmanager
def serving(app: Starlette) -> Iterator[httpx.Client]:
    """The application behind a real socket, with its lifespan."""
    (port,) = reserve_loopback_ports(1)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    transport = httpx.HTTPTransport(retries=8)  # until it listens
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=10) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def test_a_signed_notice_is_in_the_ledger_when_it_is_answered(options: Options) -> None:
    with serving(create_app(options)) as client:
        response = client.post("/mo-jo-16", content=notice(), headers=signed(notice()))
        assert (response.status_code, response.json()) == (200, {"received": "n1"})
        assert read(options.ledger).received["n1"].recipient_id == "mo-jo-16"


def test_a_notice_that_comes_again_is_answered_and_applied_once(options: Options) -> None:
    with serving(create_app(options)) as client:
        answers = [client.post("/mo-jo-16", content=notice(), headers=signed(notice())) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    contents = read(options.ledger)
    assert (len(contents.received), contents.repeats, contents.applied_twice) == (1, 2, [])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(notice(), secret="whsec_" + "YW5vdGhlciBzZWNyZXQsIGFsc28gMzIgYnl0ZXM="),
        signed(notice("n2")),
        signed(notice()) | {"webhook-signature": "no comma"},
        signed(notice()) | {"webhook-timestamp": "0"},
    ],
)
def test_what_is_not_signed_for_us_is_refused_and_leaves_no_trace(options: Options, headers: dict[str, str]) -> None:
    with serving(create_app(options)) as client:
        assert client.post("/mo-jo-16", content=notice(), headers=headers).status_code == 401
    assert read(options.ledger).received == {}


def test_strange_recipients_large_bodies_and_other_events_are_refused(options: Options) -> None:
    other, large = b'{"data": {}}', b"x" * (BODY_LIMIT + 1)
    with serving(create_app(options)) as client:
        assert client.post("/mo-jo-99", content=notice(), headers=signed(notice())).status_code == 404
        assert client.post("/mo-jo-16", content=large, headers=signed(large)).status_code == 413
        assert client.post("/mo-jo-16", content=other, headers=signed(other)).status_code == 422


class Router:
    """Takes acknowledgements from the third attempt on."""

    def __init__(self) -> None:
        self.attempts = 0
        self.taken: dict[str, dict[str, str]] = {}

    async def acknowledge(self, request: Request) -> Response:
        self.attempts += 1
        assert request.headers["authorization"].startswith("Bearer ")
        if self.attempts < 3:
            return JSONResponse({}, status_code=503)
        self.taken[request.path_params["notice_id"]] = await request.json()
        return JSONResponse({})


@pytest.fixture
def router() -> Iterator[tuple[Router, str]]:
    stub = Router()
    route = Route("/v1/notices/{notice_id}/acknowledgements", stub.acknowledge, methods=["POST"])
    with serving(Starlette(routes=[route])) as client:
        yield stub, str(client.base_url)


async def test_what_was_not_acknowledged_before_a_restart_is_acknowledged_after_it(
    options: Options, router: tuple[Router, str]
) -> None:
    with serving(create_app(replace(options, silent=True))) as client:
        client.post("/mo-jo-16", content=notice(), headers=signed(notice()))
    assert [one.notice_id for one in read(options.ledger).open] == ["n1"]
    stub, url = router
    with serving(create_app(replace(options, router=url))):
        await until(lambda: read(options.ledger).open, lambda waiting: not waiting)
    assert stub.attempts >= 3
    assert stub.taken["n1"]["status"] == "accepted"
    assert stub.taken["n1"]["case_number"]
