"""What the gate promises of a request: its sender is known, its body is vouched for, and every refusal says why."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from fastapi import APIRouter

from kernel.errors import ConfigurationError, Malformed
from kernel.http.app import create_app, declared_scopes
from kernel.http.gate import check_json
from kernel.identity import ClientRegistry
from kernel.settings import HttpSettings
from tests.support.wait import until
from tests.support.webservice import BODY, NOON, POST, WebService, in_process


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebService]:
    with in_process(tmp_path_factory.mktemp("gate"), body_limit=100_000) as started:
        yield started


async def test_a_signed_report_arrives_whole(service: WebService) -> None:
    service.seen.clear()
    answer = await service.send(*POST, BODY)
    assert answer.status_code == 202
    assert answer.json()["client"] == "rms"
    assert service.seen[0].encounter.incident_number == "26-1"


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


async def test_the_open_paths_need_no_token(service: WebService) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/metrics"):
        assert (await service.send("GET", path, headers={})).status_code == 200


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


async def test_each_request_leaves_one_log_line_without_what_the_path_or_query_said(tmp_path: Path) -> None:
    with in_process(tmp_path) as service:
        await service.send("GET", "/v1/reports/Jane-Doe?limit=4711")
        await service.send("GET", "/v1/Jane-Doe")
    lines = [orjson.loads(line) for line in service.log.getvalue().splitlines()]
    assert [(line["route"], line["status"]) for line in lines] == [("/v1/reports/{report_id}", 404), ("none", 404)]
    assert lines[0]["client_id"] == "rms"
    assert "Jane" not in service.log.getvalue()
    assert "4711" not in service.log.getvalue()


async def test_too_many_at_once_are_sent_away_and_work_goes_on(tmp_path: Path) -> None:
    with in_process(tmp_path, max_in_flight=2) as service:
        held = [asyncio.create_task(service.send("GET", "/v1/wait")) for _ in range(2)]
        await until(lambda: service.seen.count("waiting"), lambda count: count == 2)
        refused = await service.send(*POST, BODY)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert (await service.send("GET", "/healthz", headers={})).status_code == 200
        service.release.set()
        assert [(await task).status_code for task in held] == [200, 200]
        assert (await service.send(*POST, BODY)).status_code == 202


async def test_metrics_can_be_closed(tmp_path: Path) -> None:
    with in_process(tmp_path, metrics_open=False) as service:
        assert (await service.send("GET", "/metrics", headers={})).status_code == 401
        assert (await service.send("GET", "/metrics")).status_code == 403


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
            registry=ClientRegistry(path, clock=lambda: NOON),
            settings=HttpSettings(),
            readiness=readiness,
        )
    assert dict(declared_scopes(service.app))["/v1/reports"] == "encounters:write"
