"""A whole installation whose every process may be killed, and what must hold when it has healed."""

import asyncio
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson

from kernel.settings import PREFIX
from launcher import catalogue, ledger
from launcher.client import Signed
from launcher.home import Home, prepare, program_bases, write_endpoints
from launcher.processes import LeashedProcess, reserve_loopback_ports
from launcher.programs import PROGRAMS
from launcher.stack import ON_THE_WAY
from tests.support.wait import until

AGENCY = "MO0390100"


@dataclass
class Process:
    """One process of the installation, started again by `World.heal` whenever it is found dead."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    log: Path
    points: list[str] = field(default_factory=list)
    """Crash points that it has to die at, one per start."""
    armed: str | None = None
    deaths: int = 0
    running: LeashedProcess | None = None

    def start(self) -> None:
        self.armed = self.points[0] if self.points else None
        environment = self.environment | {"FIRSTNOTICE_CRASH_AT": self.armed or ""}
        self.running = LeashedProcess(self.arguments, output=self.log, keep_output=True, environment=environment)

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.running

    def found_dead(self) -> str | None:
        """Notes a death; returns the crash point that it died at, if any was armed."""
        self.deaths += 1
        self.running = None
        died_at, self.armed = self.armed, None
        if died_at is not None:
            self.points.remove(died_at)
        return died_at

    def kill(self) -> None:
        if self.running is not None and self.running.running:
            # A kill from outside says nothing about the crash point, which stays to be hit.
            self.armed = None
            self.running.kill()


class World:
    """Services and example recipients on given servers, in the processes that the launcher gives them."""

    def __init__(self, directory: Path, dsn: str, *, kafka: str | None, sabotage: str | None = None) -> None:
        self.dsn = dsn
        self.home = Home(directory)
        prepare(self.home)
        names = [*catalogue.SERVICES, *PROGRAMS]
        self.ports = dict(zip(names, reserve_loopback_ports(len(names)), strict=True))
        write_endpoints(self.home, program_bases(self.ports))
        self.processes: dict[str, Process] = {}
        alone = [service for service in catalogue.SERVICES if kafka or service not in ON_THE_WAY]
        groups = [[service] for service in alone] if kafka else [list(ON_THE_WAY), *([service] for service in alone)]
        for services in groups:
            self._add(
                "+".join(services),
                [sys.executable, "-m", "tests.faults.services", *services],
                {
                    PREFIX + "DATABASE_DSN": dsn,
                    PREFIX + "BUS": "kafka" if kafka else "embedded",
                    PREFIX + "KAFKA_BOOTSTRAP_SERVERS": kafka or "",
                    PREFIX + "KEYSET_FILE": str(self.home.keyset),
                    PREFIX + "CLIENTS_FILE": str(self.home.clients),
                    PREFIX + "ENDPOINTS_FILE": str(self.home.endpoints),
                    PREFIX + "POLICY_OVERRIDES": '{"juvenile_review_after": "PT1S"}',
                    "TEST_PORTS": orjson.dumps(self.ports).decode(),
                    "TEST_SABOTAGE": sabotage or "",
                },
            )
        for name in PROGRAMS:
            self._add(
                name,
                [
                    *(sys.executable, "-m", "launcher", "recipients", name, "--port", str(self.ports[name])),
                    *("--router", self.url("router"), "--secrets", str(self.home.recipient_secrets(name))),
                    *("--ledger", str(self.home.ledger(name))),
                ],
                {},
            )

    def _add(self, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        self.processes[name] = Process(name, arguments, environment, self.home.logs / f"{name}.log")

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    async def up(self) -> None:
        """Starts what is down and waits until all of it works."""
        async with httpx.AsyncClient(timeout=2) as http:

            async def works() -> bool:
                self.heal()
                return all([await _ready(http, self.url(name) + "/readyz") for name in catalogue.SERVICES])

            await until(works, bool, seconds=180)

    def heal(self) -> list[str]:
        """Starts again what is dead, as a process supervisor would; returns the crash points that were hit."""
        hit = []
        for process in self.processes.values():
            if not process.alive:
                if process.running is not None and (point := process.found_dead()) is not None:
                    hit.append(point)
                process.start()
        return hit

    @property
    def listens(self) -> bool:
        """Whether every address that is served can be reached."""
        for port in self.ports.values():
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) != 0:
                    return False
        return True

    def down(self) -> None:
        for process in self.processes.values():
            if process.alive and process.running is not None:
                process.running.kill()

    @property
    def deaths(self) -> int:
        return sum(process.deaths for process in self.processes.values())

    @property
    def has_points_left(self) -> bool:
        """Whether some process has still to die at a crash point."""
        return any(process.points for process in self.processes.values())

    def logs(self) -> str:
        return "\n".join(
            f"--- {process.name}\n" + "\n".join(process.log.read_text(errors="replace").splitlines()[-15:])
            for process in self.processes.values()
            if process.log.exists()
        )


async def _ready(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).is_success
    except httpx.HTTPError:
        return False


_numbers = count(1)


def an_encounter(kind: int) -> tuple[dict[str, Any], set[str]]:
    """A report, and the recipients who must be told: three kinds, the third after a review timer."""
    number = next(_numbers)
    age, recipients = (
        ({"years": 34, "verified_by": "document"}, {"mo-dss"}),
        ({"years": 16, "verified_by": "document"}, {"mo-dss", "mo-jo-16", "us-hhs-otip"}),
        ("unknown", {"mo-dss", "mo-jo-16", "us-hhs-otip"}),
    )[kind % 3]
    report = {
        "agency_ori": AGENCY,
        "encounter_at": "2026-11-01T12:00:00Z",
        "encounter": {"incident_number": f"26-{number:06d}", "location": {"county_fips": "29095"}},
        "subjects": [
            {"subject_number": 1, "age": age, "circumstances": {"appears_victim": True, "trafficking": {"type": "sex"}}}
        ],
    }
    return report, recipients


class Poster:
    """Posts reports until each is accepted, whatever dies meanwhile."""

    def __init__(self, world: World) -> None:
        self._world = world
        client = world.home.client_of(AGENCY)
        self._auth = Signed.from_file(client, world.home.key_of(client))
        self.accepted: dict[str, set[str]] = {}
        """Encounter id to the recipients who must be told."""

    async def post_all(self, reports: Iterator[tuple[dict[str, Any], set[str]]], *, workers: int = 4) -> None:
        async with httpx.AsyncClient(timeout=10, base_url=self._world.url("intake"), auth=self._auth) as http:

            async def work() -> None:
                for report, recipients in reports:
                    self.accepted[await self._post(http, report)] = recipients

            await asyncio.gather(*(work() for _ in range(workers)))

    async def _post(self, http: httpx.AsyncClient, report: Mapping[str, Any]) -> str:
        while True:
            with suppress(httpx.HTTPError):
                answer = await http.post("/v1/encounters", json=report)
                if answer.status_code == 202:
                    return str(answer.json()["encounter_id"])
                assert answer.status_code in (429, 503), answer.text
            await asyncio.sleep(0.1)


@dataclass(frozen=True)
class Findings:
    """What is wrong with an installation; empty when every promise was kept."""

    undelivered: Sequence[str] = ()
    unexpected: Sequence[str] = ()
    applied_twice: Sequence[str] = ()
    unacknowledged: int = 0
    pending: int = 0
    parked: int = 0
    trail: Sequence[str] = ()

    @property
    def nothing(self) -> bool:
        return self == Findings()


async def examine(world: World, accepted: Mapping[str, set[str]]) -> Findings:
    """Compares what was accepted with the recipients' own ledgers, the tables and the trail."""
    books = {name: ledger.read(world.home.ledger(name)) for name in PROGRAMS}
    told: dict[str, list[str]] = {}
    for book in books.values():
        for one in book.received.values():
            if one.kind == "notice":
                told.setdefault(one.encounter_id, []).append(one.recipient_id)
    connection = await asyncpg.connect(world.dsn)
    try:
        pending = parked = 0
        trail = []
        for service in catalogue.SERVICES:
            pending += await connection.fetchval(f"SELECT count(*) FROM {service}.outbox WHERE published_at IS NULL")
            parked += await connection.fetchval(f"SELECT count(*) FROM {service}.parked")
            numbered = await connection.fetchval(f"SELECT sum(next) FROM {service}.outbox_shard")
            row = await connection.fetchrow(
                "SELECT count(*) AS entries, count(DISTINCT event_id) AS events FROM audit.entry"
                " WHERE convert_from(content, 'UTF8')::jsonb->'event'->>'source' = $1",
                f"/firstnotice/{service}",
            )
            if not row["entries"] == row["events"] == numbered:
                trail.append(f"{service}: {numbered} events, {row['events']} in the trail, {row['entries']} entries")
        undelivered = [
            await _whereabouts(connection, encounter, recipient)
            for encounter, recipients in accepted.items()
            for recipient in sorted(recipients - set(told.get(encounter, ())))
        ]
    finally:
        await connection.close()
    return Findings(
        undelivered=tuple(undelivered),
        unexpected=tuple(
            f"{encounter} {recipient}"
            for encounter, recipients in told.items()
            for recipient in recipients
            if recipient not in accepted.get(encounter, set()) or recipients.count(recipient) > 1
        ),
        applied_twice=tuple(notice for book in books.values() for notice in book.applied_twice),
        unacknowledged=sum(len(book.open) for book in books.values()),
        pending=pending,
        parked=parked,
        trail=tuple(trail),
    )


async def _whereabouts(connection: asyncpg.Connection, encounter_id: str, recipient_id: str) -> str:
    """Where a notice is that its recipient does not have: not decided, for review, or how far its delivery came."""
    decided = await connection.fetch(
        "SELECT duty_id, outcome, review_at - now() AS review_in FROM router.obligation"
        " WHERE encounter_id = $1 AND (recipient_id = $2 OR recipient_id IS NULL)",
        UUID(encounter_id),
        recipient_id,
    )
    sent = await connection.fetch(
        "SELECT kind, live, state, attempts, next_attempt_at - now() AS next_in, lease_owner IS NOT NULL AS leased,"
        " reason FROM router.notice JOIN router.delivery USING (notice_id)"
        " WHERE encounter_id = $1 AND notice.recipient_id = $2",
        UUID(encounter_id),
        recipient_id,
    )
    return f"{encounter_id} {recipient_id}: decided {[*map(dict, decided)]}, sent {[*map(dict, sent)]}"


async def healed(world: World, accepted: Mapping[str, set[str]], *, seconds: float) -> Findings:
    """Waits until nothing is wrong any more, or the time is over; returns the last findings."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        world.heal()
        findings = await examine(world, accepted)
        if findings.nothing or loop.time() > deadline:
            return findings
        await asyncio.sleep(0.5)
