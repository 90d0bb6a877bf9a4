"""Persons as the eligibility service stores them: sealed, evaluated and written by its own code."""

import random
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contracts.envelope import Event
from contracts.events import EncounterReported
from contracts.facts import SubjectFacts
from kernel.clock import system_clock, system_ids
from kernel.database import Database
from kernel.events.outbox import Outbox
from kernel.keyset import Keyset
from kernel.sealing import seal
from kernel.subject_keys import SubjectKeys
from launcher.postgres import EmbeddedPostgres
from rulebook.loader import Law
from services.eligibility.adapters.reruns import PostgresReruns
from services.eligibility.adapters.store import PostgresStore
from services.eligibility.application.matching import Matching
from services.eligibility.application.rerunning import Rerunning

CHANGED = 0.03
_LOADED_AT_ONCE = 500


def somebody(law: Law, dice: random.Random) -> SubjectFacts:
    """About twenty facts known; of `CHANGED` of all persons the income is between the old limit and the new one."""
    groups: dict[str, dict[str, Any]] = {"circumstances": {}, "status": {}}
    values: dict[str, list[Any]] = {
        "bool": [True, False],
        "int": [1, 2, 4],
        "decimal": [0, 100],
        "date": ["2026-06-01"],
    }
    for fact, spec in law.facts.items():
        if not spec.computed and spec.from_ is None and dice.random() < 0.12:
            group = groups["status" if spec.group == "status" else "circumstances"]
            group[fact] = dice.choice([*(spec.values or values[spec.type]), "unknown"])
    facts = groups["circumstances"]
    facts["household_size"] = dice.choice([1, 2, 4])
    facts["household_income_monthly_cents"] = dice.choice([0, 100_000, 160_000, 290_000, 530_000])
    if dice.random() < CHANGED:
        facts |= {"household_size": 1, "household_income_monthly_cents": 186_200}
        facts |= {"countable_resources_cents": 10_000, "state_of_residence": "MO"}
        facts |= {"household_with_elderly_or_disabled": False, "household_all_on_cash_aid": False}
        groups["status"] = {}
    born = f"{dice.randint(1960, 2012)}-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}"
    return SubjectFacts.model_validate(
        {
            "encounter": {"incident_number": "A-1", "location": {"county_fips": "29095"}},
            "age": dice.choice([{"birth_date": born, "verified_by": "document"}, {"apparent_minor": True}]),
            "circumstances": {"appears_victim": True, "residence_county_fips": "29095", "facts": facts},
            "status": {"citizenship": "us_citizen", "citizenship_verified": True, "facts": groups["status"]},
        }
    )


async def load(server: EmbeddedPostgres, database: Database, keyset: Keyset, law: Law, count: int) -> dict[str, Any]:
    """Reports everybody to the service's own handler; what that costs is the service's part of an encounter."""
    dice = random.Random(566223)
    intake = Database(server.dsn, schema="keys", role="fn_intake", pool_size=1)
    intake_keys = SubjectKeys(keyset, service="intake", clock=system_clock)
    keys = SubjectKeys(keyset, service="eligibility", clock=system_clock)
    matching = Matching(law, PostgresStore(), keys, Outbox("eligibility"), system_clock)
    async with database.transaction() as tx:
        await rerunning_of(law, matching).begin(tx)
    spent = wall = sealed = 0.0
    sizes: dict[str, int] = {}
    for start in range(0, count, _LOADED_AT_ONCE):
        people = {system_ids(): somebody(law, dice) for _ in range(min(_LOADED_AT_ONCE, count - start))}
        async with intake.transaction() as tx:
            secrets = await intake_keys.create(tx, list(people))
        events = [_reported(subject, facts, secrets[subject]) for subject, facts in people.items()]
        sealed += sum(len(part.ciphertext) for event in events for part in event.sealed.values())
        cpu, clock = time.process_time(), time.perf_counter()
        async with database.transaction() as tx:
            await matching.encounters(tx, events)
        spent, wall = spent + time.process_time() - cpu, wall + time.perf_counter() - clock
        sizes = sizes or await _event_sizes(database)
        await publish_all(database)
    await intake.close()
    return {
        "handler_cpu_ms_per_person": round(spent / count * 1e3, 3),
        "handler_wall_ms_per_person": round(wall / count * 1e3, 3),
        "sealed_facts_bytes": round(sealed / count),
        **sizes,
    }


def _reported(subject: UUID, facts: SubjectFacts, key: Any) -> Event:
    event_id, encounter = system_ids(), system_ids()
    sealed = seal(key, event_id, facts.by_group())
    now = datetime.now(UTC)
    return Event(
        id=event_id,
        time=now,
        source="/firstnotice/intake",
        data=EncounterReported(
            subject_number=1, record_version=1, encounter_at=now, discovered_at=now, accepted_at=now
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


async def _event_sizes(database: Database) -> dict[str, int]:
    async with database.transaction() as tx:
        row = await tx.driver.fetchrow(
            """
            SELECT avg(length(headers) + length(value))::integer AS mean, max(length(headers) + length(value)) AS most,
                   (SELECT avg(length(sealed))::integer FROM determination) AS stored
            FROM outbox
            """
        )
    return {"event_bytes": row["mean"], "largest_event_bytes": row["most"], "stored_bytes": row["stored"]}


async def publish_all(database: Database) -> None:
    """In the relay's place: with what waits to be published a re-run would wait, too."""
    async with database.transaction() as tx:
        await tx.driver.execute("DELETE FROM outbox")


def rerunning_of(law: Law, matching: Matching) -> Rerunning:
    return Rerunning(law, PostgresStore(), PostgresReruns(), matching, system_clock)
