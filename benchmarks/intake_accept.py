"""Durable accepts of intake beside the same application when it stores nothing: requests/s and CPU per accept.

`python -m benchmarks.intake_accept` prints one JSON object. Requests are signed beforehand and sent by this process
over 64 connections; the service is a process of its own. Three ways in one run, each twice, in turn:
`nothing` answers without storing, `durable` stores, `published` also carries the events to the embedded log.
"""

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httptools
import orjson
import psutil
import uvloop

from benchmarks.measuring import percentile
from contracts.facts import EncounterReport
from kernel.bus.embedded import EmbeddedBus
from kernel.database import Database
from kernel.identity import client_entry, generate_key, load_key, save_key, sign_request, write_clients
from kernel.keyset import Keyset
from kernel.migrations import BUS, KEYS, migrate
from kernel.settings import load_settings
from kernel.telemetry import configure_logging
from launcher.postgres import EmbeddedPostgres
from launcher.processes import LeashedProcess, reserve_loopback_ports
from services.intake.adapters.store import PostgresStore
from services.intake.bootstrap import build
from services.intake.edge import Edge
from services.intake.migrations import SCHEMA
from services.intake.settings import IntakeSettings

PATH = "/v1/encounters"
AGENCY, CLIENT = "MOKPD0000", "kansas-city"
WAYS = ("nothing", "durable", "published")
CONNECTIONS = 64
REQUESTS = 4000
WARM_UP = 500


def store_nothing() -> None:
    """Takes the database out: everything before it and after it stays as it is."""

    async def commit(self: Edge, work: Any) -> Any:
        return await work(None)

    async def no_answers(*_: Any) -> dict[bytes, Any]:
        return {}

    async def nothing_known(*_: Any) -> set[bytes]:
        return set()

    async def write(*_: Any) -> None:
        return None

    Edge.commit = commit  # type: ignore[method-assign]
    PostgresStore.answered = no_answers  # type: ignore[method-assign]
    PostgresStore.known = nothing_known  # type: ignore[method-assign]
    PostgresStore.write = write  # type: ignore[method-assign]


async def serve(way: str, port: int, dsn: str, home: Path) -> None:
    configure_logging("warning", output="json")
    if way == "nothing":
        store_nothing()
    settings = load_settings(
        IntakeSettings,
        database_dsn=dsn,
        keyset_file=home / "keyset.json",
        clients_file=home / "clients.json",
        port=port,
    )
    service = await build(settings, EmbeddedBus(Database(dsn, schema="bus", pool_size=2)))
    if way != "published":
        service.loops = [loop for loop in service.loops if loop.name == "writer"]
    await service.run(asyncio.Event())


def requests(home: Path, way: str, count: int) -> list[bytes]:
    """Signed requests of different incidents, as bytes."""
    key = load_key(home / "client.jwk")
    now = datetime.now(UTC)
    made = []
    for number in range(count):
        body = orjson.dumps(
            {
                "agency_ori": AGENCY,
                "encounter_at": "2026-11-20T12:00:00Z",
                "encounter": {
                    "incident_number": f"{way}-{now.timestamp():.0f}-{number}",
                    "kind": "call_for_service",
                    "location": {"county_fips": "29095", "city": "Raytown"},
                },
                "subjects": [
                    {
                        "subject_number": 1,
                        "age": {"years": 16, "apparent_minor": True},
                        "circumstances": {
                            "appears_victim": True,
                            "trafficking": {"type": "sex", "force_fraud_coercion": "indicated"},
                            "needs": {"shelter": True},
                        },
                        "identity": {"given_name": "Example", "family_name": "Person", "sex": "F"},
                    }
                ],
            }
        )
        token = sign_request(key, CLIENT, method="POST", path=PATH, body=body, now=now)
        head = (
            f"POST {PATH} HTTP/1.1\r\nhost: intake\r\nauthorization: Bearer {token}\r\n"
            f"idempotency-key: {way}-{now.timestamp():.0f}-{number}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    EncounterReport.model_validate_json(body)
    return made


class Agency(asyncio.Protocol):
    """One connection: sends the next request when the last one is answered."""

    def __init__(self, left: list[bytes], seconds: list[float], done: "asyncio.Future[None]") -> None:
        self._left = left
        self._seconds = seconds
        self._done = done
        self._parser: Any = None
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._next()

    def _next(self) -> None:
        if not self._left:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._parser = httptools.HttpResponseParser(self)
        self._sent = time.perf_counter()
        self._transport.write(self._left.pop())

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() != 202:
            self._done.set_exception(RuntimeError(f"answered {self._parser.get_status_code()}"))
            return
        self._seconds.append(time.perf_counter() - self._sent)
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(RuntimeError("the connection was closed"))


async def send(port: int, prepared: list[bytes], connections: int) -> tuple[float, list[float]]:
    """Seconds for all of them, and of each."""
    loop = asyncio.get_running_loop()
    seconds: list[float] = []
    ends = [loop.create_future() for _ in range(connections)]
    started = time.perf_counter()
    for end in ends:
        await loop.create_connection(lambda end=end: Agency(prepared, seconds, end), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*ends)
    return time.perf_counter() - started, seconds


def _cpu(pid: int) -> float:
    """CPU seconds of a process and all it ever started; those of PostgreSQL's dead children stay counted."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(one.cpu_times().user + one.cpu_times().system for one in family)


async def measure(way: str, dsn: str, home: Path, postmaster: int) -> dict[str, float]:
    port = reserve_loopback_ports(1)[0]
    arguments = [sys.executable, "-m", "benchmarks.intake_accept", way, str(port), dsn, str(home)]
    server = LeashedProcess(arguments, output=home / f"{way}.log")
    try:
        for _ in range(200):
            try:
                await send(port, requests(home, f"{way}-warm", WARM_UP), CONNECTIONS)
                break
            except OSError:
                await asyncio.sleep(0.1)
        prepared = requests(home, way, REQUESTS)
        service, database = _cpu(server.pid), _cpu(postmaster)
        elapsed, seconds = await send(port, prepared, CONNECTIONS)
        service, database = _cpu(server.pid) - service, _cpu(postmaster) - database
    finally:
        await asyncio.to_thread(server.terminate, 20)
    return {
        "requests_per_s": round(REQUESTS / elapsed),
        "p50_ms": round(percentile(seconds, 0.5) * 1000, 2),
        "p99_ms": round(percentile(seconds, 0.99) * 1000, 2),
        "service_cpu_ms": round(service / REQUESTS * 1000, 3),
        "postgresql_cpu_ms": round(database / REQUESTS * 1000, 3),
    }


async def main() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "postgres") as server:
        home = Path(folder) / "home"
        home.mkdir()
        key = generate_key()
        save_key(key, home / "client.jwk")
        Keyset.create(home / "keyset.json")
        write_clients(
            home / "clients.json",
            [client_entry(CLIENT, "agency", key, scopes={"encounters:write"}, agencies={AGENCY})],
        )
        await migrate(server.dsn, [KEYS, BUS, SCHEMA])
        postmaster = int((Path(folder) / "postgres" / "cluster" / "postmaster.pid").read_text().split("\n")[0])
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(2):
            for way in WAYS:
                runs[way].append(await measure(way, server.dsn, home, postmaster))
    best = {way: max(found, key=lambda one: one["requests_per_s"]) for way, found in runs.items()}
    durable = best["durable"]
    return {
        "best": best,
        "runs": runs,
        "durable_share_of_nothing": round(durable["requests_per_s"] / best["nothing"]["requests_per_s"], 3),
        "durable_cpu_ms_per_accept": round(durable["service_cpu_ms"] + durable["postgresql_cpu_ms"], 3),
        "to_reach": {"durable_share_of_nothing": 0.5, "durable_cpu_ms_per_accept": 1.0},
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        uvloop.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])))
    else:
        print(orjson.dumps(uvloop.run(main()), option=orjson.OPT_INDENT_2).decode())
