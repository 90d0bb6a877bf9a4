"""What the gate promises: nobody's body is read before the caller is known, and every refusal says why."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from fastapi import APIRouter

from kernel.clock import system_clock
from kernel.errors import ConfigurationError, Malformed
from kernel.http.app import create_app, declared_scopes
from kernel.http.gate import check_json
from kernel.http.server import serve
from kernel.identity import ClientRegistry
from kernel.settings import HttpSettings
from tests.support.wait import until
from tests.unit.kernel.webservice import WebService, running

REPORT = {
    "agency_ori": "MO0010000",
    "encounter_at": "2026-11-21T10:00:00-06:00",
    "encounter": {"incident_number": "26-1"},
    "subjects": [{"subject_number": 1, "age": "unknown", "circumstances": {"appears_victim": True}}],
}
BODY = orjson.dumps(REPORT)
POST = ("POST", "/v1/reports")


@pytest.fixture(scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebService]:
    async with running(tmp_path_factory.mktemp("gate"), read_seconds=0.4, body_limit=100_000) as started:
        yield started


def head(method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: test", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_a_signed_report_arrives_whole(service: WebService) -> None:
    service.seen.clear()
    answer = await service.send(*POST, BODY)
    assert answer.status_code == 202
    assert answer.json()["client"] == "rms"
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
    answer = await service.raw(sent, seconds=0.3)
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"www-authenticate: Bearer" in answer
    assert b"connection: close" in answer
    assert b"application/problem+json" in answer


async def test_who_waits_to_be_asked_for_the_body_is_not_asked_before_the_token_was_checked(
    service: WebService,
) -> None:
    asking = {"content-type": "application/json", "content-length": "50", "expect": "100-continue"}
    answer = await service.raw(head(*POST, asking), seconds=0.3)
    assert answer.startswith(b"HTTP/1.1 401")


async def test_a_body_that_was_not_signed_is_refused(service: WebService) -> None:
    service.seen.clear()
    answer = await service.send(*POST, BODY + b" ", service.signed(*POST, BODY))
    assert answer.status_code == 401
    assert "bsha" in answer.json()["detail"]
    assert service.seen == []


async def test_a_token_for_another_path_or_method_is_refused(service: WebService) -> None:
    for other in (("POST", "/v1/fail"), ("PUT", "/v1/reports"), ("POST", "/v1/reports?x=1")):
        assert (await service.send(*POST, BODY, service.signed(*other, BODY))).status_code == 401
    assert (await service.send("POST", "/v1/reports?x=1", BODY)).status_code == 202


async def test_a_declared_length_over_the_limit_is_refused_before_it_is_sent(service: WebService) -> None:
    sent = head(*POST, {**service.signed(*POST, BODY), "content-length": "100001"})
    answer = await service.raw(sent, seconds=0.3)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer


async def test_an_undeclared_length_over_the_limit_is_refused_while_it_comes(service: WebService) -> None:
    sent = head(*POST, {**service.signed(*POST, BODY), "transfer-encoding": "chunked"})
    answer = await service.raw(sent, b"186a1\r\n" + b"x" * 100_001)
    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_length_that_promises_less_than_what_comes_is_no_way_past_the_digest(service: WebService) -> None:
    sent = head(*POST, {**service.signed(*POST, BODY), "content-length": str(len(BODY) - 1), "connection": "close"})
    assert (await service.raw(sent, BODY)).startswith(b"HTTP/1.1 401")


async def test_a_length_that_promises_more_than_what_comes_ends_at_the_deadline(service: WebService) -> None:
    sent = head(*POST, {**service.signed(*POST, BODY), "content-length": str(len(BODY) + 1)})
    answer = await service.raw(sent, BODY, seconds=2)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer


async def test_headers_that_never_end_are_cut_off(service: WebService) -> None:
    by_time = await service.raw(b"GET /healthz HTTP/1.1\r\nhost: t", seconds=2)
    assert by_time.startswith(b"HTTP/1.1 408")
    by_size = await service.raw(b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 40_000, seconds=2)
    assert by_size.startswith(b"HTTP/1.1 431")


async def test_a_connection_that_says_nothing_is_closed(service: WebService) -> None:
    assert (await service.raw(seconds=2)).startswith(b"HTTP/1.1 408")


async def test_headers_over_the_limit_are_refused(service: WebService) -> None:
    answer = await service.raw(head("GET", "/v1/reports/1", {"x": "y" * 16_400, "connection": "close"}))
    assert answer.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_what_is_not_json_is_refused(service: WebService, media_type: str) -> None:
    answer = await service.send(*POST, BODY, {**service.signed(*POST, BODY), "content-type": media_type})
    assert answer.status_code == 415


async def test_a_compressed_body_is_refused(service: WebService) -> None:
    answer = await service.send(*POST, BODY, {**service.signed(*POST, BODY), "content-encoding": "gzip"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b'{"a":NaN}',
        b'{"a":1,"a":2}',
        b'{"b":[{"a":1,"a":1}]}',
        b"[" * 90_000,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
    ids=["cut", "not UTF-8", "NaN", "a member twice", "a member twice inside", "nested deeply", "a huge number"],
)
async def test_malformed_json_is_refused(service: WebService, body: bytes) -> None:
    answer = await service.send(*POST, body)
    assert (answer.status_code, answer.json()["type"]) == (400, "https://firstnotice.org/problems/malformed")


def test_json_that_names_each_member_once_passes() -> None:
    check_json(b'{"a":1,"b":{"a":1}}')
    with pytest.raises(Malformed):
        check_json(b'{"a":1,"b":{"a":1,"a":1}}')


async def test_a_scope_that_the_client_lacks_is_refused(service: WebService) -> None:
    answer = await service.send("GET", "/v1/secret")
    assert (answer.status_code, answer.json()["type"]) == (403, "https://firstnotice.org/problems/forbidden")


async def test_the_open_paths_need_no_token_and_read_no_body(service: WebService) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/metrics"):
        assert (await service.send("GET", path, headers={})).status_code == 200
    answer = await service.raw(head("POST", "/healthz", {"content-length": "50"}), seconds=0.3)
    assert answer.startswith(b"HTTP/1.1 405")
    assert b"connection: close" in answer


async def test_readiness_tells_when_work_cannot_be_done(service: WebService) -> None:
    service.ready = False
    try:
        answer = await service.send("GET", "/readyz", headers={})
    finally:
        service.ready = True
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


async def test_the_trace_goes_in_and_comes_out(service: WebService) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await service.send(*POST, BODY, {**service.signed(*POST, BODY), "traceparent": given})
    assert answer.headers["traceparent"] == answer.json()["traceparent"]
    assert answer.headers["traceparent"].split("-")[1] == given.split("-")[1]
    assert answer.headers["traceparent"] != given
    fresh = await service.send(*POST, BODY, {**service.signed(*POST, BODY), "traceparent": "nonsense"})
    assert fresh.headers["traceparent"].split("-")[1] not in (given.split("-")[1], "0" * 32)


async def test_each_request_leaves_one_log_line_without_what_the_path_or_query_said(service: WebService) -> None:
    service.log.truncate(0)
    await service.send("GET", "/v1/reports/Jane-Doe?limit=4711")
    await service.send("GET", "/v1/Jane-Doe")
    lines = [orjson.loads(line) for line in service.log.getvalue().strip("\0").splitlines()]
    assert [(line["route"], line["status"]) for line in lines] == [("/v1/reports/{report_id}", 404), ("none", 404)]
    assert lines[0]["client_id"] == "rms"
    assert "Jane" not in service.log.getvalue()
    assert "4711" not in service.log.getvalue()


async def test_too_many_at_once_are_sent_away_and_work_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path, max_in_flight=2) as service:
        held = [asyncio.create_task(service.send("GET", "/v1/wait")) for _ in range(2)]
        await until(lambda: service.seen.count("waiting"), lambda count: count == 2)
        refused = await service.send(*POST, BODY)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert (await service.send("GET", "/healthz", headers={})).status_code == 200
        service.release.set()
        assert [(await task).status_code for task in held] == [200, 200]
        assert (await service.send(*POST, BODY)).status_code == 202


async def readiness_of(service: WebService) -> int:
    return (await service.send("GET", "/readyz", headers={})).status_code


def is_unavailable(status: int) -> bool:
    return status == 503


async def test_a_stop_first_says_not_ready_then_finishes_what_is_open(tmp_path: Path) -> None:
    async with running(tmp_path, drain_seconds=0.3) as service:
        held = asyncio.create_task(service.send("GET", "/v1/wait"))
        await until(lambda: service.seen, lambda seen: "waiting" in seen)
        service.stop.set()
        await until(lambda: readiness_of(service), is_unavailable)
        assert (await service.send("GET", "/healthz", headers={})).status_code == 200
        asyncio.get_running_loop().call_later(0.5, service.release.set)
        assert (await held).status_code == 200
        assert service.seen[-1] == "waiting"
    assert service.seen[-1] == "closed"


async def test_metrics_can_be_closed(tmp_path: Path) -> None:
    async with running(tmp_path, metrics_open=False) as service:
        assert (await service.send("GET", "/metrics", headers={})).status_code == 401
        assert (await service.send("GET", "/metrics")).status_code == 403


async def test_a_port_that_is_taken_is_said_so(service: WebService) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen"):
        await serve(service.app, "127.0.0.1", service.app.state.port, asyncio.Event())


def test_a_route_without_a_scope_stops_the_service_from_being_made(tmp_path: Path, service: WebService) -> None:
    router = APIRouter()

    @router.get("/v1/open")
    async def forgotten() -> None:
        return None

    async def readiness() -> None:
        return None

    path = tmp_path / "clients.yaml"
    path.write_text("clients: []")
    with pytest.raises(ConfigurationError, match="/v1/open declares no scope"):
        create_app(
            service="x",
            title="x",
            routers=[router],
            registry=ClientRegistry(path, clock=system_clock),
            settings=HttpSettings(),
            readiness=readiness,
        )
    assert dict(declared_scopes(service.app))["/v1/reports"] == "encounters:write"
