"""A release of the law: everybody is evaluated again, by itself, and each whose answers change is told once."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import pytest

from contracts.events import DeterminationChanged, DeterminationMade, EncounterRetracted
from kernel.bus.embedded import EmbeddedBus
from kernel.identity import sign_request
from kernel.settings import load_settings
from kernel.subject_keys import SubjectKeys
from rulebook.loader import Law
from rulebook.releases import Releases
from services.eligibility.adapters.rerun_process import RerunProcess, environment
from services.eligibility.adapters.store import PostgresStore
from services.eligibility.application.replaying import Replaying
from services.eligibility.application.rerunning import PARTS, Progress
from services.eligibility.bootstrap import build
from services.eligibility.rerun import FINISHED, STOPPED, rerun
from services.eligibility.settings import EligibilitySettings
from tests.integration.eligibility.builders import CLIENTS, Eligibility, about
from tests.integration.eligibility.releases import (
    GAINS,
    STAYS,
    applied_before,
    apply,
    changes,
    ids,
    income,
    people,
    rerunning,
)
from tests.support.loops import running


async def test_whose_answers_change_is_told_and_nobody_else(eligibility: Eligibility, wider: Law) -> None:
    await applied_before(eligibility)
    gaining, staying = await people(eligibility, 7, GAINS), await people(eligibility, 30, STAYS)
    done = await apply(eligibility, wider)
    assert (done.persons, done.changed, done.failed, done.finished) == (37, 7, 0, True)
    told = await changes(eligibility)
    made = {
        event.subject_id: event for event in await eligibility.published() if isinstance(event.data, DeterminationMade)
    }
    assert ids(told) == ids(gaining)
    for event in told:
        assert isinstance(event.data, DeterminationChanged)
        assert event.law_version == "2026.12.0"
        assert event.data.replaces == event.causation_id == made[event.subject_id].id
        assert (await eligibility.record(event))["programs"]["snap"]["outcome"] == "potentially_eligible"
    stored = await eligibility.rows("SELECT subject_id FROM determination")
    assert Counter(row[0] for row in stored) == Counter([*ids(gaining), *ids(gaining), *ids(staying)])


async def test_after_it_each_stored_determination_is_replayed_under_its_own_release(
    eligibility: Eligibility, law: Law, wider: Law, folder: Path
) -> None:
    await people(eligibility, 2, GAINS)
    await apply(eligibility, wider)
    keys = SubjectKeys(eligibility.keyset, service="eligibility", clock=lambda: eligibility.now)
    versions = []
    for (determination,) in await eligibility.rows("SELECT determination_id FROM determination"):
        async with eligibility.database.transaction() as tx:
            found = await Replaying(Releases(wider, folder), PostgresStore(), keys).replay(tx, determination)
        assert found.same
        versions.append(found.law_version)
    assert sorted(versions) == [law.version, law.version, "2026.12.0", "2026.12.0"]


async def test_erased_and_retracted_persons_are_passed_over(eligibility: Eligibility, wider: Law) -> None:
    erased, retracted, other = await people(eligibility, 3, GAINS)
    await eligibility.erase(erased.subject_id)
    await eligibility.handle(about(retracted, EncounterRetracted(record_version=2, reason_code="error")))
    done = await apply(eligibility, wider)
    assert (done.erased, done.changed, done.finished) == (1, 1, True)
    assert ids(await changes(eligibility)) == {other.subject_id}
    assert len(await eligibility.rows("SELECT 1 FROM subject WHERE retracted")) == 1


async def test_one_person_whose_facts_do_not_open_does_not_stop_the_others(
    eligibility: Eligibility, wider: Law
) -> None:
    broken, sound = await people(eligibility, 2, GAINS)
    async with eligibility.database.transaction() as tx:
        await tx.driver.execute(
            "UPDATE subject_facts SET sealed = overlay(sealed placing '\\x0000'::bytea from length(sealed) - 40)"
            " WHERE event_id = $1",
            broken.id,
        )
    done = await apply(eligibility, wider)
    assert (done.failed, done.changed, done.finished) == (1, 1, True)
    assert ids(await changes(eligibility)) == {sound.subject_id}


async def test_an_amendment_under_the_new_release_is_not_evaluated_again(eligibility: Eligibility, wider: Law) -> None:
    amended, other = await people(eligibility, 2, GAINS)
    eligibility.law = wider
    await eligibility.handle(await eligibility.amend(amended, GAINS))
    assert (await apply(eligibility, wider)).persons == 1
    assert Counter(event.subject_id for event in await changes(eligibility)) == Counter(ids([amended, other]))


async def test_workers_share_the_persons_and_tell_each_change_once(eligibility: Eligibility, wider: Law) -> None:
    gaining = await people(eligibility, 60, GAINS)
    told: list[Progress] = []

    async def worker() -> None:
        await rerun(eligibility.database, rerunning(eligibility, wider), asyncio.Event(), told.append)

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(worker())
    assert max(one.changed for one in told) == max(one.persons for one in told) == 60
    # By the minute of their ids: who came together is read together.
    parts = Counter(row[0] for row in await eligibility.rows("SELECT part FROM subject"))
    assert parts == Counter(event.subject_id.bytes[3] % PARTS for event in gaining if event.subject_id is not None)
    assert Counter(event.subject_id for event in await changes(eligibility)) == Counter(ids(gaining))


async def test_the_same_release_again_does_nothing_and_an_earlier_one_again_starts_anew(
    eligibility: Eligibility, law: Law, wider: Law
) -> None:
    await applied_before(eligibility)
    await people(eligibility, 3, GAINS)
    await apply(eligibility, wider)
    assert (await apply(eligibility, wider)).changed == 3
    assert len(await changes(eligibility)) == 3
    back = await apply(eligibility, law)
    assert (back.changed, back.finished) == (3, True)
    outcomes = [
        (await eligibility.record(event))["programs"]["snap"]["outcome"] for event in await changes(eligibility)
    ]
    assert Counter(outcomes) == {"potentially_eligible": 3, "not_eligible": 3}
    assert (await apply(eligibility, wider)).changed == 3, "taken back and adopted again, on one day"
    assert len({event.id for event in await changes(eligibility)}) == 9


async def test_while_our_events_wait_to_be_published_no_batch_is_begun(eligibility: Eligibility, wider: Law) -> None:
    """Or the answers about somebody who is reported now would queue behind the release."""
    await people(eligibility, 3, GAINS)
    async with eligibility.database.transaction() as tx:
        await tx.driver.execute(
            "INSERT INTO outbox (shard, topic, key, event_id, headers, value)"
            " SELECT 0, 'access', gen_random_uuid(), gen_random_uuid(), '', '' FROM generate_series(1, 500)"
        )
    told: list[Progress] = []
    stop = asyncio.Event()
    task = asyncio.create_task(rerun(eligibility.database, rerunning(eligibility, wider), stop, told.append))
    begun = "SELECT 1 FROM rerun"
    await eligibility.until_rows(begun, PARTS)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.5)
    assert told == []
    async with eligibility.database.transaction() as tx:
        await tx.driver.execute("DELETE FROM outbox WHERE topic = 'access'")
    assert await task
    assert told[-1].changed == 3


async def test_with_new_dates_everybody_is_looked_at_again_no_later_than_an_answer_may_change(
    eligibility: Eligibility, wider: Law
) -> None:
    await applied_before(eligibility)
    await people(eligibility, 2, STAYS)
    (expected,) = {row[0] for row in await eligibility.rows("SELECT look_again_on FROM subject")}
    async with eligibility.database.transaction() as tx:
        await tx.driver.execute("UPDATE subject SET look_again_on = $1", date(2040, 1, 2))
    await apply(eligibility, wider)
    assert {row[0] for row in await eligibility.rows("SELECT look_again_on FROM subject")} == {expected}


async def test_after_other_time_limits_everybody_is_evaluated_alone(eligibility: Eligibility, wider: Law) -> None:
    await applied_before(eligibility)
    await people(eligibility, 2, STAYS)
    async with eligibility.database.transaction() as tx:
        await tx.driver.execute("UPDATE rerun SET schedule = 'another'")
        await tx.driver.execute("UPDATE subject SET look_again_on = NULL")
    await apply(eligibility, wider)
    assert await eligibility.rows("SELECT 1 FROM subject WHERE look_again_on IS NULL") == []


async def test_killed_half_way_it_goes_on_where_it_was(
    eligibility: Eligibility, settings: EligibilitySettings, folder: Path
) -> None:
    gaining, staying = await people(eligibility, 40, GAINS), await people(eligibility, 80, STAYS)
    variables = environment(load_settings(EligibilitySettings, **settings.model_dump() | {"law_path": folder}))
    killed = RerunProcess(variables)
    await killed.start()
    assert killed.pid is not None
    async for progress in killed.progress():
        if progress.persons >= 50:
            os.kill(killed.pid, signal.SIGKILL)
            break
    assert await killed.ended() == -signal.SIGKILL
    ((before,),) = await eligibility.rows("SELECT sum(persons)::integer FROM rerun")
    assert 50 <= before < 120
    assert 0 < len(await changes(eligibility)) < 40
    again = RerunProcess(variables)
    await again.start()
    told = [progress async for progress in again.progress()]
    assert await again.ended() == FINISHED
    assert told[0].persons > before
    assert (told[-1].persons, told[-1].changed, told[-1].finished) == (120, 40, True)
    assert Counter(event.subject_id for event in await changes(eligibility)) == Counter(ids(gaining))
    assert not ids(await changes(eligibility)) & ids(staying)


async def test_it_ends_after_a_whole_batch_when_whoever_started_it_is_gone(
    eligibility: Eligibility, settings: EligibilitySettings, folder: Path
) -> None:
    await people(eligibility, 200, GAINS)
    variables = environment(load_settings(EligibilitySettings, **settings.model_dump() | {"law_path": folder}))
    child = RerunProcess(variables)
    await child.start()
    async for _ in child.progress():
        child.let_go()
        break
    assert await child.ended() == STOPPED
    ((done, changed),) = await eligibility.rows("SELECT sum(persons)::integer, sum(changed)::integer FROM rerun")
    assert 0 < done < 200
    assert len(await changes(eligibility)) == changed


async def test_a_service_that_starts_with_a_new_release_evaluates_everybody_by_itself(
    eligibility: Eligibility, settings: EligibilitySettings, bus: EmbeddedBus, folder: Path
) -> None:
    await applied_before(eligibility)
    gaining = await people(eligibility, 5, GAINS)
    await people(eligibility, 5, STAYS)
    newer = load_settings(EligibilitySettings, **settings.model_dump() | {"law_path": folder})
    service = await build(newer, bus, clock=lambda: eligibility.now)
    sent = (
        "SELECT 1 FROM bus.record JOIN bus.partition ON partition_id = bus.partition.id WHERE topic = 'determinations'"
    )
    finished = "SELECT 1 FROM rerun WHERE law_version = '2026.12.0' AND finished_at IS NOT NULL"
    async with running(service.run):
        await eligibility.until_rows(finished, PARTS)
        await eligibility.until_rows(sent, 10 + len(gaining))
    again = await build(newer, bus, clock=lambda: eligibility.now)
    async with running(again.run):
        pass
    assert len(await eligibility.rows("SELECT 1 FROM determination")) == 15


async def test_answers_are_read_in_the_words_of_the_release_that_they_were_given_under(
    eligibility: Eligibility, settings: EligibilitySettings, bus: EmbeddedBus, folder: Path, law: Law, wider: Law
) -> None:
    (gaining,), (staying,) = await people(eligibility, 1, GAINS), await people(eligibility, 1, income(400_000))
    await apply(eligibility, wider)
    newer = load_settings(EligibilitySettings, **settings.model_dump() | {"law_path": folder})
    service = await build(newer, bus, clock=lambda: eligibility.now)
    told = {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=service.app), base_url="http://it") as client:
        for name, event in (("gaining", gaining), ("staying", staying)):
            path = f"/v1/encounters/{event.encounter_id}/determinations"
            token = sign_request(CLIENTS["dss"]["key"], "dss", method="GET", path=path, body=b"", now=eligibility.now)
            response = await client.get(path, headers={"Authorization": f"Bearer {token}"})
            assert response.status_code == 200
            (told[name],) = response.json()["subjects"]
    await service.close()
    versions = {name: one["law_version"] for name, one in told.items()}
    assert versions == {"gaining": wider.version, "staying": law.version}
    snap = {
        name: next(answer for answer in one["programs"] if answer["program"] == "snap") for name, one in told.items()
    }
    assert (snap["gaining"]["outcome"], snap["staying"]["outcome"]) == ("potentially_eligible", "not_eligible")
    (limit,) = (reason["lte"] for reason in snap["staying"]["reasons"] if "lte" in reason)
    assert limit["percent"] == "130", "too much under both: told with the limit of the release that the answer is of"
    months = {name: answer["time_limits"].split(" without")[0] for name, answer in snap.items()}
    assert months == {"gaining": "ABAWD 6 months in 36", "staying": "ABAWD 3 months in 36"}
    assert all(answer["citations"] for answer in snap.values())


async def test_where_nobody_stands_under_another_release_nothing_has_to_be_done(
    eligibility: Eligibility, wider: Law
) -> None:
    await people(eligibility, 1, GAINS)
    await apply(eligibility, wider)
    async with eligibility.database.transaction() as tx:
        await tx.driver.execute("DELETE FROM rerun")
        found = await rerunning(eligibility, wider).begin(tx)
    assert found.finished


async def test_on_report_amendment_due_date_and_release_all_is_evaluated_and_only_changes_are_told(
    eligibility: Eligibility, law: Law, wider: Law
) -> None:
    await applied_before(eligibility)
    minor = GAINS | {"age": {"birth_date": "2008-12-16", "verified_by": "document"}}
    reported = await eligibility.report(minor)
    await eligibility.handle(reported)
    assert [type(event.data) for event in await eligibility.published()] == [DeterminationMade]
    await eligibility.handle(await eligibility.amend(reported, minor | {"identity": {"given_name": "Ada"}}))
    assert len(await eligibility.published()) == 1
    await eligibility.handle(await eligibility.amend(reported, minor | {"status": {"citizenship": "lpr"}}))
    assert len(await eligibility.published()) == 2
    await eligibility.look_again(datetime(2026, 12, 15, 15, 0, tzinfo=UTC))
    assert len(await eligibility.published()) == 2
    await eligibility.look_again(datetime(2026, 12, 16, 15, 0, tzinfo=UTC))
    assert len(await eligibility.published()) == 3
    await people(eligibility, 1, STAYS)
    assert (await apply(eligibility, wider)).changed == 1
    assert len(await eligibility.published()) == 5
    versions = [(await eligibility.record(event))["law_version"] for event in await eligibility.published()]
    assert versions == [law.version] * 4 + ["2026.12.0"]
    assert {len((await eligibility.record(event))["programs"]) for event in await eligibility.published()} == {
        len(wider.programs)
    }


def command(settings: EligibilitySettings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "launcher", "law", *arguments],
        env={**os.environ, **environment(settings)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


async def test_the_commands_apply_a_release_and_prove_what_was_stored(
    eligibility: Eligibility, settings: EligibilitySettings, folder: Path
) -> None:
    await people(eligibility, 2, GAINS)
    await people(eligibility, 3, STAYS)
    done = await asyncio.to_thread(command, settings, "rerun", "--law", str(folder))
    assert done.returncode == 0, done.stderr
    assert "5 persons evaluated again, 2 changed" in done.stdout
    again = await asyncio.to_thread(command, settings, "rerun", "--law", str(folder))
    assert again.returncode == 0
    (stored, *_) = [event.id for event in await eligibility.published()]
    proof = await asyncio.to_thread(command, settings, "replay-stored", str(stored))
    assert proof.returncode == 0, proof.stderr
    assert "the same bytes" in proof.stdout
