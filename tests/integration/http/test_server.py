"""What the gate and the server promise of a connection: nobody's body is read before the caller is known, nobody is
waited for without end, and a stop loses no request."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from kernel.errors import ConfigurationError
from kernel.http.server import serve
from tests.support.wait import until
from tests.support.webservice import BODY, POST, WebService, listening


@pytest.fixture(scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebService]:
    """It waits for a minute for what was announced: who is answered sooner was not waited for."""
    async with listening(tmp_path_factory.mktemp("patient"), body_limit=100_000) as started:
        yield started


@pytest.fixture(scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebService]:
    """Only for what never comes whole, however slow the machine is."""
    async with listening(tmp_path_factory.mktemp("hasty"), read_seconds=0.2) as started:
        yield started


def head(method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: test", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_a_signed_report_arrives_whole(service: WebService) -> None:
    service.seen.clear()
    assert (await service.send(*POST, BODY)).status_code == 202
    assert service.seen[0].encounter.incident_number == "26-1"


async def test_a_report_may_come_in_pieces_of_undeclared_length(service: WebService) -> None:
    sent = head(*POST, {**service.signed(*POST, BODY), "transfer-encoding": "chunked", "connection": "close"})
    pieces = [b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:10], BODY[10:])]
    answer = await service.raw(sent, *pieces, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 202")


@pytest.mark.parametrize("scheme", [{}, {"authorization": "Basic cm1zOng="}, {"authorization": "Bearer "}])
async def test_who_does_not_say_who_they_are_is_refused_before_sending_a_body(
    service: WebService, scheme: dict[str, str]
) -> None:
    """Only the head is sent: an answer proves that the body was not waited for."""
    sent = head(*POST, {"content-type": "application/json", "content-length": "50", **scheme})
    answer = await service.raw(sent)
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"www-authenticate: Bearer" in answer
    assert b"connection: close" in answer
    assert b"application/problem+json" in answer


async def test_who_waits_to_be_asked_for_the_body_is_not_asked_before_the_token_was_checked(
    service: WebService,
) -> None:
    asking = {"content-type": "application/json", "content-length": "50", "expect": "100-continue"}
    answer = await service.raw(head(*POST, asking))
    assert answer.startswith(b"HTTP/1.1 401")


async def test_a_declared_length_over_the_limit_is_refused_before_it_is_sent(service: WebService) -> None:
    sent = head(*POST, {**service.signed(*POST, BODY), "content-length": "100001"})
    answer = await service.raw(sent)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer


async def test_an_undeclared_length_over_the_limit_is_refused_while_it_comes(service: WebService) -> None:
    sent = head(*POST, {**service.signed(*POST, BODY), "transfer-encoding": "chunked"})
    answer = await service.raw(sent, b"186a1\r\n" + b"x" * 100_001)
    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_length_that_promises_less_than_what_comes_is_no_way_past_the_digest(service: WebService) -> None:
    sent = head(*POST, {**service.signed(*POST, BODY), "content-length": str(len(BODY) - 1), "connection": "close"})
    assert (await service.raw(sent, BODY)).startswith(b"HTTP/1.1 401")


async def test_a_length_that_promises_more_than_what_comes_ends_at_the_deadline(hasty: WebService) -> None:
    sent = head(*POST, {**hasty.signed(*POST, BODY), "content-length": str(len(BODY) + 1)})
    answer = await hasty.raw(sent, BODY)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer


async def test_headers_that_never_end_are_cut_off(service: WebService, hasty: WebService) -> None:
    by_time = await hasty.raw(b"GET /healthz HTTP/1.1\r\nhost: t")
    assert by_time.startswith(b"HTTP/1.1 408")
    by_size = await service.raw(b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 40_000)
    assert by_size.startswith(b"HTTP/1.1 431")


async def test_a_connection_that_says_nothing_is_closed(hasty: WebService) -> None:
    assert (await hasty.raw()).startswith(b"HTTP/1.1 408")


async def test_headers_over_the_limit_are_refused(service: WebService) -> None:
    answer = await service.raw(head("GET", "/v1/reports/1", {"x": "y" * 16_400, "connection": "close"}))
    assert answer.startswith(b"HTTP/1.1 431")


async def test_the_open_paths_read_no_body(service: WebService) -> None:
    answer = await service.raw(head("POST", "/healthz", {"content-length": "50"}))
    assert answer.startswith(b"HTTP/1.1 405")
    assert b"connection: close" in answer


async def refuses_connections(service: WebService) -> bool:
    try:
        await service.send("GET", "/healthz", headers={})
    except httpx.ConnectError:
        return True
    return False


async def readiness_of(service: WebService) -> int:
    return (await service.send("GET", "/readyz", headers={})).status_code


async def test_a_stop_first_says_not_ready_then_finishes_what_is_open(tmp_path: Path) -> None:
    async with listening(tmp_path) as service:
        held = asyncio.create_task(service.send("GET", "/v1/wait"))
        await until(lambda: service.seen, lambda seen: "waiting" in seen)
        service.stop.set()
        await until(lambda: readiness_of(service), lambda status: status == 503)
        assert (await service.send("GET", "/healthz", headers={})).status_code == 200
        service.drained.set()
        await until(lambda: refuses_connections(service), bool)
        assert service.seen[-1] == "waiting"
        service.release.set()
        assert (await held).status_code == 200
    assert service.seen[-1] == "closed"


async def test_a_port_that_is_taken_is_said_so(service: WebService) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen"):
        await serve(service.app, "127.0.0.1", service.app.state.port, asyncio.Event())
