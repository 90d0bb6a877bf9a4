"""Intake as an agency meets it: the whole service on a real database, spoken to over HTTP with signed requests."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from contracts.envelope import Event, decode, sequence_headers
from contracts.events import ENCOUNTERS
from contracts.facts import FieldGroup
from kernel.bus.embedded import EmbeddedBus
from kernel.database import Database
from kernel.events.outbox import Outbox, unpack_headers
from kernel.identity import SigningKey, client_entry, generate_key, sign_request, write_clients
from kernel.keyset import Keyset
from kernel.migrations import BUS, KEYS, migrate
from kernel.sealing import unseal
from kernel.service import Service
from kernel.settings import load_settings
from kernel.subject_keys import SubjectKeys
from services.intake.bootstrap import build
from services.intake.migrations import SCHEMA
from services.intake.settings import IntakeSettings
from tests.support.wait import until

KANSAS_CITY, JOPLIN = "MOKPD0000", "MO0490100"
_incidents = count(1)


def a_report(**changes: Any) -> dict[str, Any]:
    """A thin report of an incident of its own."""
    report: dict[str, Any] = {
        "agency_ori": KANSAS_CITY,
        "encounter_at": "2026-11-20T12:00:00Z",
        "record_version": 1,
        "encounter": {"incident_number": f"26-{next(_incidents):06d}", "location": {"county_fips": "29095"}},
        "subjects": [a_subject(1)],
    }
    return report | changes


def a_subject(number: int, **groups: Any) -> dict[str, Any]:
    subject: dict[str, Any] = {
        "subject_number": number,
        "age": {"years": 16},
        "circumstances": {"appears_victim": True},
    }
    return subject | groups


def again(report: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The same record, exported again with changes."""
    return copy.deepcopy(report) | changes


@dataclass
class World:
    """A running intake, its clients and its database."""

    dsn: str
    home: Path
    service: Service
    keyset: Keyset
    http: httpx.AsyncClient
    keys: dict[str, SigningKey] = field(default_factory=dict)

    @staticmethod
    def clock() -> datetime:
        return datetime.now(UTC)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        client: str = "kansas-city",
        key: str | None = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """`body` is JSON-ready, or the bytes to send as they are."""
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.request(
            method,
            path,
            content=content,
            headers={
                "authorization": "Bearer " + (token or self.token(method, path, content, client)),
                **({"content-type": "application/json"} if content else {}),
                **({"idempotency-key": key} if key is not None else {}),
                **(headers or {}),
            },
        )

    def token(self, method: str, path: str, content: bytes, client: str = "kansas-city") -> str:
        return sign_request(self.keys[client], client, method=method, path=path, body=content, now=self.clock())

    async def report(self, body: Any, **how: Any) -> httpx.Response:
        return await self.send("POST", "/v1/encounters", body, **how)

    async def accepted(self, body: Any, **how: Any) -> dict[str, Any]:
        """The answer to a report that must be accepted."""
        answer = await self.report(body, **how)
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def amend(self, encounter_id: str, body: Any, **how: Any) -> httpx.Response:
        return await self.send("POST", f"/v1/encounters/{encounter_id}/amendments", body, **how)

    async def read(self, encounter_id: str, **how: Any) -> httpx.Response:
        return await self.send("GET", f"/v1/encounters/{encounter_id}", **how)

    async def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.dsn, server_settings={"search_path": "intake"})
        try:
            return [tuple(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    async def execute(self, script: str) -> None:
        """Several statements, such as those that break something on purpose."""
        connection = await asyncpg.connect(self.dsn, server_settings={"search_path": "intake"})
        try:
            await connection.execute(script)
        finally:
            await connection.close()

    async def events(self, encounter_id: str | None = None) -> list[Event]:
        """What intake has told, in order, whether the relay has published it or not."""
        rows = await self.rows(
            """
            SELECT key, headers, value, shard, coalesce(sequence, 1000000 + id) AS sequence FROM outbox
            UNION ALL SELECT key, headers, value, shard, sequence FROM bus.record
            """
        )
        events = [
            decode(
                str(key).encode(),
                unpack_headers(headers) + (() if shard is None else sequence_headers(shard, sequence)),
                value,
            )
            for key, headers, value, shard, sequence in rows
        ]
        events = sorted(
            (one for one in events if one.source == Outbox("intake").source), key=lambda event: event.sequence
        )
        return [one for one in events if encounter_id is None or str(one.key) == encounter_id]

    async def facts(self, event: Event) -> dict[FieldGroup, Any]:
        """What an event tells those who may know everything."""
        database = Database(self.dsn, schema="intake", role="fn_intake", pool_size=1)
        keys = SubjectKeys(self.keyset, service="intake", clock=self.clock)
        assert event.key_id is not None
        try:
            async with database.transaction() as tx:
                granted = await keys.load_grants(tx)
                found = await keys.by_id(tx, [event.key_id])
            return unseal(found[event.key_id], event.id, event.sealed, granted)
        finally:
            await database.close()

    async def counts(self) -> dict[str, int]:
        """Rows per table that a stored report would add to."""
        tables = ("encounter", "subject", "request", "keys.subject_key")
        found = {table: int((await self.rows(f"SELECT count(*) FROM {table}"))[0][0]) for table in tables}
        # What it applies is told by a service that starts, whenever that is.
        return found | {"events": sum(one.topic == ENCOUNTERS for one in await self.events())}


def subject_ids(answer: dict[str, Any]) -> dict[int, UUID]:
    return {one["subject_number"]: UUID(one["subject_id"]) for one in answer["subjects"]}


def in_minutes(minutes: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


@asynccontextmanager
async def a_world(dsn: str, home: Path, *, keep_clients: bool = False, **settings: Any) -> AsyncIterator[World]:
    """A running intake on this database; with `keep_clients` for clients that an earlier one made in `home`."""
    await migrate(dsn, [KEYS, BUS, SCHEMA])
    keys: dict[str, SigningKey] = {name: generate_key() for name in ("kansas-city", "joplin", "reader")}
    scopes = {"encounters:write", "encounters:read"}
    if not keep_clients:
        write_clients(
            home / "clients.json",
            [
                client_entry("kansas-city", "agency", keys["kansas-city"], scopes=scopes, agencies={KANSAS_CITY}),
                client_entry("joplin", "agency", keys["joplin"], scopes=scopes, agencies={JOPLIN}),
                client_entry("reader", "agency", keys["reader"], scopes={"encounters:read"}, agencies={KANSAS_CITY}),
            ],
        )
    keyset = Keyset.create(home / "keyset.json")
    bus = EmbeddedBus(Database(dsn, schema="bus", pool_size=2))
    service = await build(
        load_settings(
            IntakeSettings,
            **{
                "database_dsn": dsn,
                "keyset_file": home / "keyset.json",
                "clients_file": home / "clients.json",
                "port": 0,
                **settings,
            },
        ),
        bus,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(service.run(stop))
    try:
        await until(lambda: getattr(service.app.state, "port", None), lambda port: port is not None or running.done())
        url = f"http://127.0.0.1:{service.app.state.port}"
        transport = httpx.AsyncHTTPTransport(retries=5)
        async with httpx.AsyncClient(base_url=url, timeout=30, transport=transport) as http:
            yield World(dsn, home, service, keyset, http, keys)
    finally:
        stop.set()
        await running
        await bus.close()
