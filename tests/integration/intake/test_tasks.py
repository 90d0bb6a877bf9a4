"""What only a person can do is told once, by the agency that reported; no table says which duty it was."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from contracts.events import TaskCompleted
from kernel.database import Database
from kernel.sealing import unseal
from kernel.subject_keys import SubjectKeys
from tests.integration.intake.world import World, a_report, in_minutes, subject_ids

HOTLINE = "MO.210_1500.HOTLINE"


def a_task(**changes: Any) -> dict[str, Any]:
    task = {
        "duty_id": HOTLINE,
        "subject_number": 1,
        "completed_at": "2026-11-20T12:20:00Z",
        "reference": "CALL-canary-4711",
    }
    return task | changes


async def complete(world: World, encounter: str, task: dict[str, Any], **how: Any) -> Any:
    return await world.send("POST", f"/v1/encounters/{encounter}/tasks", task, **how)


async def test_a_completed_task_is_told_with_its_duty_and_reference_sealed(world: World) -> None:
    accepted = await world.accepted(a_report())
    encounter, subject = accepted["encounter_id"], subject_ids(accepted)[1]
    answer = await complete(world, encounter, a_task())
    assert answer.status_code == 202
    assert answer.json() == {
        "encounter_id": encounter,
        "subject_number": 1,
        "subject_id": str(subject),
        "completed_at": "2026-11-20T12:20:00+00:00",
    }
    reported, completed = await world.events(encounter)
    assert isinstance(completed.data, TaskCompleted)
    assert (completed.subject_id, completed.causation_id) == (subject, reported.id)
    database = Database(world.dsn, schema="router", role="fn_router", pool_size=1)
    keys = SubjectKeys(world.keyset, service="router", clock=world.clock)
    async with database.transaction() as tx:
        granted = await keys.load_grants(tx)
        key = (await keys.by_id(tx, [completed.key_id]))[completed.key_id]  # type: ignore[list-item, index]
    await database.close()
    assert unseal(key, completed.id, completed.sealed, granted) == {
        "acknowledgement": {"duty_id": HOTLINE, "reference": "CALL-canary-4711"}
    }
    for table in ("task", "request", "outbox"):
        for (row,) in await world.rows(f"SELECT t::text FROM {table} AS t"):
            for canary in ("canary", "HOTLINE"):
                assert canary not in row
                assert canary.encode().hex() not in row


async def test_the_same_task_is_told_once_and_another_account_of_it_is_a_conflict(world: World) -> None:
    encounter = (await world.accepted(a_report()))["encounter_id"]
    answers = await asyncio.gather(*(complete(world, encounter, a_task(), key="once") for _ in range(5)))
    answers += [await complete(world, encounter, a_task()), await complete(world, encounter, a_task(), key="again")]
    assert {one.status_code for one in answers} == {202}
    assert len({one.content for one in answers}) == 1
    assert (await complete(world, encounter, a_task(reference="other"))).status_code == 409
    assert (await complete(world, encounter, a_task(duty_id="MO.210_115.ORAL"), key="once")).status_code == 409
    assert (await complete(world, encounter, a_task(duty_id="MO.210_115.ORAL"))).status_code == 202
    assert len(await world.events(encounter)) == 3


async def test_every_wrong_member_is_named_and_no_value_repeated(world: World) -> None:
    encounter = (await world.accepted(a_report()))["encounter_id"]
    answer = await complete(world, encounter, a_task(duty_id="x-canary", subject_number=7, completed_at=in_minutes(60)))
    assert answer.status_code == 422
    assert {one["pointer"] for one in answer.json()["errors"]} == {"/duty_id", "/subject_number", "/completed_at"}
    assert "canary" not in answer.text
    for duty in ("MO.566_223.DSS", "US.CAPTA.DEF"):
        assert (await complete(world, encounter, a_task(duty_id=duty))).status_code == 422
    assert len(await world.events(encounter)) == 1


async def test_another_agency_and_an_erased_subject_complete_nothing(world: World) -> None:
    accepted = await world.accepted(a_report())
    encounter, subject = accepted["encounter_id"], subject_ids(accepted)[1]
    foreign = await complete(world, encounter, a_task(), client="joplin")
    unknown = await complete(world, str(uuid4()), a_task(), client="joplin")
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json()["detail"] == unknown.json()["detail"]
    assert isinstance(subject, UUID)
    await world.execute(f"DELETE FROM keys.subject_key WHERE subject_id = '{subject}'")
    erased = await complete(world, encounter, a_task())
    assert erased.status_code == 410
