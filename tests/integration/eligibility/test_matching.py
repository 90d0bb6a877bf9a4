"""What the eligibility service promises about evaluating people, on a real PostgreSQL and as its own role."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from contracts.events import (
    DeterminationChanged,
    DeterminationMade,
    EncounterRetracted,
    SubjectErased,
)
from contracts.facts import FieldGroup
from kernel.bus.embedded import EmbeddedBus
from kernel.database import Database
from kernel.errors import Unavailable
from kernel.events.outbox import Outbox
from kernel.sealing import Sealed
from kernel.service import Service
from tests.integration.eligibility.builders import Eligibility, about
from tests.support.loops import running
from tests.support.messaging import NOON, make_schema

ADULT: dict[str, Any] = {"age": {"years": 30, "verified_by": "document"}}
CITIZEN: dict[str, Any] = ADULT | {"status": {"citizenship": "us_citizen"}}
TURNS_18 = {"age": {"birth_date": "2008-12-16", "verified_by": "document"}}
BIRTHDAY = datetime(2026, 12, 16, 15, 0, tzinfo=UTC)


def outcomes(content: dict[str, Any]) -> dict[str, str]:
    return {answer["program"]: answer["outcome"] for answer in content["programs"]}


async def test_one_event_per_subject_and_evaluation_holds_all_programs(eligibility: Eligibility) -> None:
    encounter = uuid4()
    siblings = [await eligibility.report(ADULT, encounter=encounter) for _ in range(2)]
    await eligibility.handle(*siblings)
    events = await eligibility.published()
    assert [event.subject_id for event in events] == [sibling.subject_id for sibling in siblings]
    for event, cause in zip(events, siblings, strict=True):
        assert isinstance(event.data, DeterminationMade)
        assert event.key == encounter
        assert event.causation_id == cause.id
        assert event.correlation_id == cause.correlation_id
        assert event.law_version == eligibility.law.version
        assert event.agency == cause.agency
        content = await eligibility.opened(event)
        assert len(content["programs"]) == event.data.programs == len(eligibility.law.programs)


async def test_the_same_event_again_does_nothing_even_when_the_inbox_has_forgotten_it(
    eligibility: Eligibility,
) -> None:
    first = await eligibility.report(ADULT)
    amendment = await eligibility.amend(first, CITIZEN)
    await eligibility.handle(first, amendment)
    before = await eligibility.rows("SELECT * FROM subject")
    await eligibility.handle(first, first)
    await eligibility.handle(first)
    assert len(await eligibility.published()) == 2
    assert await eligibility.rows("SELECT * FROM subject") == before


@pytest.mark.parametrize("in_one_batch", [True, False])
async def test_an_amendment_that_changes_an_answer_replaces_the_determination(
    eligibility: Eligibility, in_one_batch: bool
) -> None:
    first = await eligibility.report(ADULT)
    amendment = await eligibility.amend(first, CITIZEN)
    for batch in [[first, amendment]] if in_one_batch else [[first], [amendment]]:
        await eligibility.handle(*batch)
    made, changed = await eligibility.published()
    assert isinstance(made.data, DeterminationMade)
    assert isinstance(changed.data, DeterminationChanged)
    assert changed.data.replaces == made.data.determination_id
    assert changed.causation_id == amendment.id
    assert outcomes(await eligibility.opened(made))["t_visa"] == "potentially_eligible"
    assert outcomes(await eligibility.opened(changed))["t_visa"] == "not_eligible"


async def test_an_amendment_that_changes_no_answer_is_evaluated_and_not_published(eligibility: Eligibility) -> None:
    first = await eligibility.report(ADULT)
    silent = await eligibility.amend(first, ADULT | {"identity": {"given_name": "Ada"}})
    await eligibility.handle(first)
    await eligibility.handle(silent)
    assert len(await eligibility.published()) == 1
    stored = await eligibility.rows("SELECT published FROM determination ORDER BY published")
    assert [row["published"] for row in stored] == [False, True]
    await eligibility.handle(await eligibility.amend(first, CITIZEN))
    made, changed = await eligibility.published()
    assert isinstance(changed.data, DeterminationChanged)
    assert changed.data.replaces == made.id  # what was published, not what was only stored


async def test_every_answer_says_why_or_what_is_missing(eligibility: Eligibility) -> None:
    await eligibility.handle(await eligibility.report({}))
    (event,) = await eligibility.published()
    for answer in (await eligibility.opened(event))["programs"]:
        assert answer["reasons"] or answer.get("note") or answer["outcome"] == "eligible", answer["program"]
        assert answer["citations"], answer["program"]
        if answer["outcome"] == "potentially_eligible":
            assert answer["missing"], answer["program"]


async def test_nothing_about_a_person_is_in_any_table_in_the_clear(eligibility: Eligibility) -> None:
    canaries = ["Canaryname", "canary story", "2008-12-16", "2026-12-16", "29077", "t_pending_prima_facie", "eligible"]
    await eligibility.handle(
        await eligibility.report(
            TURNS_18
            | {
                "encounter": {"incident_number": "A-1", "location": {"county_fips": "29077"}},
                "identity": {"given_name": "Canaryname"},
                "narrative": "canary story",
                "status": {"citizenship": "t_pending_prima_facie"},
            }
        )
    )
    tables = await eligibility.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'eligibility'")
    seen = 0
    for (table,) in tables:
        for row in await eligibility.rows(f"SELECT * FROM {table}"):
            seen += 1
            content = b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in row.values())
            for canary in canaries:
                assert canary.encode() not in content, (table, canary)
    assert seen > 3


async def test_groups_that_we_may_not_open_are_not_even_kept(eligibility: Eligibility) -> None:
    await eligibility.handle(await eligibility.report({"identity": {"given_name": "Ada"}, "narrative": "a story"}))
    ((stored,),) = await eligibility.rows("SELECT sealed FROM subject_facts")
    assert set(Sealed.decode(stored).groups) == {FieldGroup.CIRCUMSTANCES.value}


async def test_an_erased_subject_is_passed_over_and_the_others_are_evaluated(eligibility: Eligibility) -> None:
    erased, other = await eligibility.report(ADULT), await eligibility.report(ADULT)
    await eligibility.erase(erased.subject_id)
    await eligibility.handle(erased, other)
    assert [event.subject_id for event in await eligibility.published()] == [other.subject_id]


async def test_an_erasure_drops_all_that_was_kept_of_the_subject(eligibility: Eligibility) -> None:
    reported = await eligibility.report(ADULT)
    await eligibility.handle(reported)
    await eligibility.erase(reported.subject_id)
    await eligibility.handle(about(reported, SubjectErased(erased_at=NOON)))
    for table in ("subject", "subject_facts", "determination"):
        assert await eligibility.rows(f"SELECT 1 FROM {table}") == []


async def test_a_retracted_encounter_is_not_looked_at_again(eligibility: Eligibility) -> None:
    reported = await eligibility.report(TURNS_18)
    await eligibility.handle(reported, about(reported, EncounterRetracted(record_version=2, reason_code="error")))
    assert await eligibility.look_again(BIRTHDAY) == 0


async def test_an_answer_that_changes_on_a_birthday_is_published_on_that_day(eligibility: Eligibility) -> None:
    reported = await eligibility.report(TURNS_18)
    await eligibility.handle(reported)
    assert await eligibility.look_again(BIRTHDAY - timedelta(days=7)) == 0
    # In the week of the change the person is looked at daily, and nothing is stored or said.
    for days in (2, 1):
        assert await eligibility.look_again(BIRTHDAY - timedelta(days=days)) == 1
        assert await eligibility.look_again(BIRTHDAY - timedelta(days=days)) == 0
    assert len(await eligibility.rows("SELECT 1 FROM determination")) == 1
    # 23:30 of the day before, in Missouri; already the birthday in UTC.
    assert await eligibility.look_again(datetime(2026, 12, 16, 5, 30, tzinfo=UTC)) == 0
    assert await eligibility.look_again(BIRTHDAY) == 1
    made, changed = await eligibility.published()
    assert isinstance(changed.data, DeterminationChanged)
    assert changed.data.replaces == made.id == changed.causation_id
    assert changed.correlation_id == reported.correlation_id
    assert outcomes(await eligibility.opened(made))["mo_child_protection_foster_care"] == "eligible"
    assert outcomes(await eligibility.opened(changed))["mo_child_protection_foster_care"] == "not_eligible"
    ((day,),) = await eligibility.rows("SELECT look_again_on FROM subject")
    assert day > BIRTHDAY.date()


async def test_replicas_share_the_due_persons_and_publish_each_change_once(eligibility: Eligibility) -> None:
    await eligibility.handle(*[await eligibility.report(TURNS_18) for _ in range(30)])
    eligibility.now = BIRTHDAY

    async def replica() -> int:
        matching = eligibility.matching()
        done = 0
        while True:
            async with eligibility.database.transaction() as tx:
                found = await matching.due(tx, 5)
            if not found:
                return done
            done += found

    async with asyncio.TaskGroup() as group:
        replicas = [group.create_task(replica()) for _ in range(3)]
    assert sum(task.result() for task in replicas) == 30
    events = await eligibility.published()
    assert len([event for event in events if isinstance(event.data, DeterminationChanged)]) == 30


async def test_one_person_whose_facts_do_not_open_does_not_stop_the_others(eligibility: Eligibility) -> None:
    broken, sound = await eligibility.report(TURNS_18), await eligibility.report(TURNS_18)
    await eligibility.handle(broken, sound)
    ((other_facts,),) = await eligibility.rows("SELECT sealed FROM subject_facts WHERE event_id = $1", sound.id)
    moved = Sealed.decode(other_facts)
    async with eligibility.database.transaction() as tx:
        await tx.driver.execute(
            "UPDATE subject_facts SET sealed = $2 WHERE event_id = $1",
            broken.id,
            Sealed(broken.key_id or uuid4(), moved.commitment, moved.groups).encode(),
        )
    assert await eligibility.look_again(BIRTHDAY) == 2
    changed = [event for event in await eligibility.published() if isinstance(event.data, DeterminationChanged)]
    assert [event.subject_id for event in changed] == [sound.subject_id]
    ((again,),) = await eligibility.rows("SELECT look_again_on FROM subject WHERE subject_id = $1", broken.subject_id)
    assert again == BIRTHDAY.date() + timedelta(days=1)


async def test_a_person_erased_before_the_due_day_is_not_sought_for_ever(eligibility: Eligibility) -> None:
    reported = await eligibility.report(TURNS_18)
    await eligibility.handle(reported)
    await eligibility.erase(reported.subject_id)
    assert await eligibility.look_again(BIRTHDAY) == 1
    assert await eligibility.look_again(BIRTHDAY) == 0
    assert len(await eligibility.published()) == 1


async def test_without_grants_nothing_is_answered(eligibility: Eligibility) -> None:
    """To a service that may open nothing every fact looks unknown; it has to wait, not to answer."""
    reported = await eligibility.report(ADULT)
    admin = await asyncpg.connect(eligibility.dsn)
    await admin.execute("DELETE FROM keys.service_grant WHERE service = 'eligibility'")
    await admin.close()
    with pytest.raises(Unavailable):
        await eligibility.handle(reported)


async def test_the_service_cannot_make_or_erase_keys(eligibility: Eligibility) -> None:
    for statement in ("DELETE FROM keys.subject_key", "DELETE FROM keys.service_grant", "SELECT * FROM keys.erasure"):
        with pytest.raises(Unavailable, match="InsufficientPrivilegeError"):
            await eligibility.rows(statement)


async def test_the_wired_service_answers_reports_and_the_calendar(
    eligibility: Eligibility, service: Service, bus: EmbeddedBus
) -> None:
    await make_schema(eligibility.dsn, "reporter")
    reporter, reports = Database(eligibility.dsn, schema="reporter", pool_size=4), Outbox("intake", bus)
    sent = (
        "SELECT 1 FROM bus.record JOIN bus.partition ON partition_id = bus.partition.id WHERE topic = 'determinations'"
    )
    events = [await eligibility.report(TURNS_18) for _ in range(5)]
    async with running(service.run):
        async with reporter.transaction() as tx:
            await reports.append(tx, events)
        await eligibility.until_rows(sent, 5)
        eligibility.now = BIRTHDAY
        await eligibility.until_rows(sent, 10)
    assert await eligibility.rows("SELECT 1 FROM parked") == []
    await reporter.close()
