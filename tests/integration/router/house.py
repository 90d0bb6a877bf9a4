"""The router's parts on a real database, put together as `bootstrap` does, with every dial in the test's hand."""

import json
import random
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from msgspec import structs

from contracts.envelope import Event
from contracts.events import EncounterAmended, EncounterReported, EncounterRetracted, TaskCompleted
from contracts.facts import FieldGroup, SubjectFacts
from kernel.clock import system_clock, system_ids
from kernel.database import Database
from kernel.events.outbox import Outbox
from kernel.identity import Caller
from kernel.keyset import Keyset
from kernel.migrations import BUS, KEYS, migrate
from kernel.sealing import DataKey, seal
from kernel.subject_keys import SubjectKeys
from rulebook.loader import Law, load_law
from rulebook.releases import Releases
from services.router.adapters.endpoints import Endpoints
from services.router.adapters.records import RecordStore
from services.router.adapters.store import RouterStore
from services.router.application.acknowledging import Acknowledging
from services.router.application.deciding import Deciding
from services.router.application.reading import OpenedObligation, Reading
from services.router.courier.addresses import Addresses, Resolver, system_resolver
from services.router.courier.engine import Courier, Policy
from services.router.courier.lanes import BreakerPolicy
from services.router.courier.store import CourierStore
from services.router.courier.transport import PyreqwestTransport
from services.router.domain.backoff import Backoff
from services.router.migrations import SCHEMA
from tests.support.messaging import TOLD

SECRET = "whsec_" + b64encode(b"a secret of thirty-two bytes len").decode()
LOOPBACK = ["127.0.0.0/8"]
RECIPIENTS = ("mo-dss", "mo-jo-16", "us-hhs-otip")

SWIFT = Policy(
    deadline=2.0,
    lease=8.0,
    poll=0.05,
    backoff=Backoff(base=0.05, cap=0.2),
    breaker=BreakerPolicy(failures=5, rest=0.1, longest=0.3),
)


def endpoint(port: int, **more: Any) -> dict[str, Any]:
    return {"url": f"http://127.0.0.1:{port}/hook", "secrets": [SECRET], "allowed_cidrs": LOOPBACK} | more


@dataclass
class Worker:
    """One router process's parts."""

    courier: Courier
    deciding: Deciding
    acknowledging: Acknowledging
    store: CourierStore


@dataclass
class House:
    database: Database
    intake: Database
    keyset: Keyset
    keys: SubjectKeys
    intake_keys: SubjectKeys
    law: Law
    endpoints_file: Path

    def register(self, entries: Mapping[str, Mapping[str, Any]]) -> Endpoints:
        self.endpoints_file.touch(mode=0o600)
        self.endpoints_file.write_text(json.dumps({"endpoints": entries}))
        return Endpoints.load(self.endpoints_file)

    def worker(self, endpoints: Endpoints, *, policy: Policy = SWIFT, resolver: Resolver = system_resolver) -> Worker:
        outbox = Outbox("router")
        store = CourierStore(
            self.database, outbox, self.keys, worker=uuid4(), owner="operator", clock=system_clock, ids=system_ids
        )
        courier = Courier(
            store,
            PyreqwestTransport(Addresses(resolver), monotonic=time.monotonic, deadline=policy.deadline),
            endpoints,
            clock=system_clock,
            monotonic=time.monotonic,
            policy=policy,
            uniform=random.uniform,
        )
        rest: dict[str, Any] = {
            "store": RouterStore(),
            "keys": self.keys,
            "outbox": outbox,
            "clock": system_clock,
            "ids": system_ids,
        }
        return Worker(courier, Deciding(law=self.law, departures=courier, **rest), Acknowledging(**rest), store)

    async def key_of(self, subject_id: UUID) -> DataKey:
        async with self.intake.transaction() as tx:
            return (await self.intake_keys.create(tx, [subject_id]))[subject_id]

    async def report(
        self, facts: Mapping[str, Any], *, encounter: UUID | None = None, subject: UUID | None = None, version: int = 1
    ) -> Event:
        """An event of intake: the first report, or an amendment when `version` is above 1."""
        subject_id = subject or uuid4()
        key = await self.key_of(subject_id)
        event_id, now = uuid4(), datetime.now(UTC)
        sealed = seal(key, event_id, SubjectFacts.model_validate(facts).by_group())
        data = (EncounterReported if version == 1 else EncounterAmended)(
            subject_number=1,
            record_version=version,
            encounter_at=now - timedelta(minutes=30),
            discovered_at=now - timedelta(minutes=20),
            accepted_at=now,
        )
        return Event(
            id=event_id,
            time=now,
            source="/firstnotice/intake",
            data=data,
            key=encounter or uuid4(),
            jurisdiction="MO",
            correlation_id=uuid4(),
            encounter_id=encounter,
            subject_id=subject_id,
            agency="MO0480100",
            key_id=key.key_id,
            commitment=sealed.commitment,
            sealed=sealed.groups,
        )

    async def amendment(self, of: Event, facts: Mapping[str, Any]) -> Event:
        """Changed facts, unchanged times."""
        event = await self.report(facts, encounter=of.key, subject=of.subject_id, version=2)
        assert isinstance(of.data, EncounterReported)
        times = {"encounter_at": of.data.encounter_at, "discovered_at": of.data.discovered_at}
        return replace(event, data=structs.replace(event.data, **times))

    def retraction(self, of: Event) -> Event:
        return Event(
            id=uuid4(),
            time=datetime.now(UTC),
            source="/firstnotice/intake",
            data=EncounterRetracted(record_version=9, reason_code="error"),
            key=of.key,
            jurisdiction="MO",
            correlation_id=of.correlation_id,
        )

    async def completion(self, of: Event, duty_id: str, at: datetime, reference: str = "H-1") -> Event:
        """Somebody did what a duty about the subject of a report asks."""
        assert of.subject_id is not None
        key = await self.key_of(of.subject_id)
        event_id = uuid4()
        sealed = seal(key, event_id, {FieldGroup.ACKNOWLEDGEMENT: {"duty_id": duty_id, "reference": reference}})
        return replace(
            of,
            id=event_id,
            time=at,
            data=TaskCompleted(completed_at=at),
            key_id=key.key_id,
            commitment=sealed.commitment,
            sealed=sealed.groups,
        )

    async def handle(self, worker: Worker, *events: Event) -> None:
        async with self.database.transaction() as tx:
            await worker.deciding.handle(tx, events)

    async def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        async with self.database.transaction() as tx:
            return [dict(row) for row in await tx.driver.fetch(query, *values)]

    async def deliveries(self) -> dict[str, str]:
        """Newest state by recipient."""
        found = await self.rows(
            "SELECT recipient_id, delivery.state FROM notice JOIN delivery USING (notice_id, recipient_id)"
            " ORDER BY issued_at, revision"
        )
        return {row["recipient_id"]: row["state"] for row in found}

    async def decided(self) -> list[dict[str, Any]]:
        """What events of decisions tell everybody, in order."""
        return [one for event in await self.events("obligation.decided") for one in event["obligations"]]

    async def read(
        self, encounter: UUID, *, agency: str = "MO0480100", releases: Releases | None = None
    ) -> dict[str, OpenedObligation]:
        """What the agency reads of its one subject, by duty; nothing once that was erased."""
        reading = Reading(
            law=self.law,
            releases=releases or Releases(self.law, None),
            store=RecordStore(),
            keys=self.keys,
            outbox=Outbox("router"),
            clock=system_clock,
            ids=system_ids,
        )
        caller = Caller("rms", "agency", frozenset({agency}), None, frozenset({"encounters:read"}), "t")
        async with self.database.transaction() as tx:
            subjects = await reading.of_encounter(tx, encounter, caller)
        assert len(subjects) < 2
        return {one.duty_id: one for subject in subjects for one in subject.obligations}

    async def events(self, kind: str) -> list[dict[str, Any]]:
        """Public data of what we told of a type, in order."""
        found = await self.rows(TOLD)
        return [json.loads(row["value"])["data"] for row in found if kind.encode() in row["headers"]]


def minor(**changes: Any) -> dict[str, Any]:
    """A verified minor in Jackson County: DSS, the juvenile officer of circuit 16 and HHS are due."""
    facts: dict[str, Any] = {
        "encounter": {"incident_number": "T-1", "location": {"county_fips": "29095"}},
        "age": {"years": 15, "verified_by": "document"},
        "circumstances": {"appears_victim": True, "trafficking": {"type": "sex"}},
        "identity": {"given_name": "Given", "family_name": "Family"},
    }
    return facts | changes


def adult(**changes: Any) -> dict[str, Any]:
    return minor(age={"years": 34, "verified_by": "document"}) | changes


def of_unknown_age() -> dict[str, Any]:
    facts = minor()
    del facts["age"]
    return facts


@asynccontextmanager
async def a_house(dsn: str, folder: Path, *, review: timedelta = timedelta(hours=1)) -> AsyncIterator[House]:
    await migrate(dsn, [KEYS, BUS, SCHEMA])
    keyset = Keyset.generate()
    database = Database(dsn, schema="router", role="fn_router", pool_size=6)
    intake = Database(dsn, schema="keys", role="fn_intake", pool_size=2)
    keys = SubjectKeys(keyset, service="router", clock=system_clock)
    house = House(
        database,
        intake,
        keyset,
        keys,
        SubjectKeys(keyset, service="intake", clock=system_clock),
        load_law(overrides={"juvenile_review_after": review}),
        folder / "endpoints.json",
    )
    try:
        async with database.transaction() as tx:
            await keys.load_grants(tx)
        yield house
    finally:
        await database.close()
        await intake.close()
