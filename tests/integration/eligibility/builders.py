"""The use cases of the eligibility service on a real database, and somebody who reports to them as intake would."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from contracts.envelope import Event, decode, sequence_headers
from contracts.events import EncounterAmended, EncounterReported, EncounterRetracted, SubjectErased, TrailCheckpointed
from contracts.facts import FieldGroup, SubjectFacts
from kernel import identity
from kernel.database import Database
from kernel.events.outbox import Outbox, unpack_headers
from kernel.keyset import Keyset
from kernel.sealing import seal, unseal
from kernel.subject_keys import SubjectKeys
from rulebook.loader import Law
from rulebook.programs import recall
from services.eligibility.adapters.store import PostgresStore
from services.eligibility.application.matching import Matching
from tests.support.messaging import NOON, TOLD
from tests.support.wait import until

_READS = {"determinations:read"}
_SCREENS = _READS | {"eligibility:screen"}
_CLIENTS: dict[str, dict[str, Any]] = {
    "dss": {"kind": "recipient", "recipient_id": "mo-dss", "scopes": _SCREENS},
    "hhs": {"kind": "recipient", "recipient_id": "us-hhs-otip", "scopes": _READS},
    "operator": {"kind": "operator", "scopes": _SCREENS},
    "agency": {"kind": "agency", "agencies": {"MO0480000"}, "scopes": _READS},
    "auditor": {"kind": "auditor", "scopes": _READS},
    "dss-without-scope": {"kind": "recipient", "recipient_id": "mo-dss", "scopes": {"notices:acknowledge"}},
}
CLIENTS = {name: client | {"key": identity.generate_key(f"{name}-1")} for name, client in _CLIENTS.items()}
"""Registered clients by id, with their private keys."""


class Eligibility:
    """The service's use cases with a clock of the test's own; `report` does intake's part."""

    def __init__(self, dsn: str, law: Law) -> None:
        self.dsn = dsn
        self.law = law
        self.now = NOON
        self.keyset = Keyset.generate()
        self.database = Database(dsn, schema="eligibility", role="fn_eligibility", pool_size=4)
        self.intake = Database(dsn, schema="keys", role="fn_intake", pool_size=1)
        self.intake_keys = SubjectKeys(self.keyset, service="intake", clock=lambda: self.now)
        self.outbox = Outbox("eligibility")

    def matching(self) -> Matching:
        """One replica: what it caches is its own."""
        keys = SubjectKeys(self.keyset, service="eligibility", clock=lambda: self.now)
        return Matching(self.law, PostgresStore(), keys, self.outbox, lambda: self.now)

    async def report(
        self,
        facts: Mapping[str, Any],
        *,
        subject: UUID | None = None,
        encounter: UUID | None = None,
        amends: bool = False,
    ) -> Event:
        """The event that intake publishes for a new person, or with `amends` for one who is known."""
        reported = SubjectFacts.model_validate({"circumstances": {"appears_victim": True}} | dict(facts))
        subject = subject or uuid4()
        encounter = encounter or uuid4()
        event_id = uuid4()
        async with self.intake.transaction() as tx:
            key = (await self.intake_keys.create(tx, [subject]))[subject]
        sealed = seal(key, event_id, reported.by_group())
        kind = EncounterAmended if amends else EncounterReported
        return Event(
            id=event_id,
            time=self.now,
            source="/firstnotice/intake",
            data=kind(
                subject_number=1,
                record_version=2 if amends else 1,
                encounter_at=NOON - timedelta(hours=1),
                discovered_at=NOON - timedelta(hours=1),
                accepted_at=self.now,
            ),
            key=encounter,
            encounter_id=encounter,
            subject_id=subject,
            agency="MO0480000",
            jurisdiction="MO",
            correlation_id=event_id,
            key_id=sealed.key_id,
            commitment=sealed.commitment,
            sealed=sealed.groups,
        )

    async def amend(self, event: Event, facts: Mapping[str, Any]) -> Event:
        return await self.report(facts, subject=event.subject_id, encounter=event.encounter_id, amends=True)

    async def handle(self, *events: Event) -> None:
        async with self.database.transaction() as tx:
            await self.matching().encounters(tx, events)

    async def look_again(self, at: datetime, *, matching: Matching | None = None) -> int:
        self.now = at
        async with self.database.transaction() as tx:
            return await (matching or self.matching()).due(tx, 50)

    async def erase(self, subject: UUID | None) -> None:
        assert subject is not None
        async with self.intake.transaction() as tx:
            await self.intake_keys.erase(tx, subject)

    async def published(self) -> list[Event]:
        """What we told, in order."""
        events = [
            decode(
                str(row["key"]).encode(),
                unpack_headers(row["headers"]) + sequence_headers(row["shard"], 0),
                row["value"],
            )
            for row in await self.rows(TOLD)
        ]
        return [event for event in events if event.source == self.outbox.source]

    async def opened(self, event: Event) -> dict[str, Any]:
        """The determination that an event carries, in the words of the law, as JSON."""
        return recall(await self.record(event), self.law).to_json()

    async def record(self, event: Event) -> dict[str, Any]:
        """What is sealed in an event of a determination."""
        assert event.key_id is not None
        async with self.intake.transaction() as tx:
            key = (await self.intake_keys.by_id(tx, [event.key_id]))[event.key_id]
        content: dict[str, Any] = unseal(key, event.id, event.sealed, (FieldGroup.DETERMINATION,))[
            FieldGroup.DETERMINATION
        ]
        return content

    async def rows(self, query: str, *values: Any) -> list[Any]:
        async with self.database.transaction() as tx:
            found: list[Any] = await tx.driver.fetch(query, *values)
            return found

    async def until_rows(self, query: str, count: int) -> list[Any]:
        """Waits until the query gives so many rows."""

        def enough(rows: list[Any]) -> bool:
            return len(rows) >= count

        found: list[Any] = await until(lambda: self.rows(query), enough)
        assert len(found) == count
        return found


def about(reported: Event, data: SubjectErased | EncounterRetracted | TrailCheckpointed) -> Event:
    """An event that tells no facts of the subject of another."""
    return Event(
        id=uuid4(),
        time=NOON,
        source=reported.source,
        data=data,
        key=reported.key,
        encounter_id=reported.encounter_id,
        subject_id=reported.subject_id,
        jurisdiction=reported.jurisdiction,
        correlation_id=reported.correlation_id,
    )
