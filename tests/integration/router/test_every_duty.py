"""Every duty has one recorded decision, tasks and what others owe among them; nothing of it is told in the open."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kernel.clock import system_clock
from kernel.errors import NotFound, PoisonEvent
from kernel.subject_keys import SubjectKeys
from rulebook.duties import reported_duties
from rulebook.generated import engine
from rulebook.loader import load_law
from rulebook.release import archive
from rulebook.releases import Releases
from services.router.adapters.store import RouterStore
from services.router.application.acknowledging import Answer
from services.router.timers import ReviewTimer
from tests.integration.router.house import House, Worker, a_house, adult, endpoint, minor, of_unknown_age
from tests.support.loops import running
from tests.support.wait import until
from tests.unit.rulebook.builders import release_copy

pytestmark = pytest.mark.postgres
HOTLINE, STATEMENT, NCIC = "MO.210_1500.HOTLINE", "MO.210_125.STATEMENT", "US.41307.NCIC"


def silent(house: House) -> Worker:
    """A router whose recipients never answer."""
    return house.worker(house.register({"mo-dss": endpoint(1)}))


def in_custody() -> dict[str, object]:
    facts = minor()
    circumstances = {**facts["circumstances"], "facts": {"protective_custody_taken": True}}
    return facts | {"circumstances": circumstances}


async def test_every_duty_of_the_law_is_on_record_once_with_its_reasons(house: House) -> None:
    worker = silent(house)
    duties = {duty.spec.id for duty in engine(house.law).plan("MO").duties}
    for facts in (minor(), adult(), of_unknown_age()):
        report = await house.report(facts)
        await house.handle(worker, report)
        found = await house.read(report.key)
        assert set(found) == duties
        for one in found.values():
            assert one.record["basis"], "due, for review or not due: because of something"
            assert one.record["owner"]
    assert {one["duties"] for one in await house.events("obligation.decided")} == {len(duties)}
    assert len(await house.events("obligation.decided")) == 3, "one event for all duties of a subject"


async def test_a_duty_that_is_not_due_says_why(house: House) -> None:
    report = await house.report(adult())
    await house.handle(silent(house), report)
    hotline = (await house.read(report.key))[HOTLINE]
    assert (hotline.state, hotline.record["basis"], hotline.record["channel"]) == ("not_due", ["adult"], "task")
    assert any(reason.startswith("age_years") for reason in hotline.record["reasons"])


async def test_what_was_not_verified_is_told_as_the_release_has_it_that_decided(house: House, tmp_path: Path) -> None:
    report = await house.report(minor())
    await house.handle(silent(house), report)
    found = await house.read(report.key)
    assert {one: found[one].citation_verified for one in (HOTLINE, NCIC)} == {HOTLINE: True, NCIC: False}
    folder = release_copy(tmp_path)
    for file, old, new in [
        ("duties/us_others.yaml", "    citation_verified: false\n", ""),
        ("release.yaml", f'"{house.law.version}"', '"2099.1.0"'),
    ]:
        text = (folder / file).read_text("utf-8")
        assert old in text
        (folder / file).write_text(text.replace(old, new), "utf-8")
    archive(folder)
    newer = load_law(folder)
    assert all(duty.spec.citation_verified for duty in newer.duties if duty.spec.id == NCIC)
    found = await house.read(report.key, releases=Releases(newer, folder))
    assert found[NCIC].citation_verified is False


async def test_duties_are_read_also_where_the_release_that_decided_is_gone(house: House) -> None:
    report = await house.report(minor())
    await house.handle(silent(house), report)
    await house.rows("UPDATE decision SET law_version = '1999.1.0' RETURNING 1")
    found = await house.read(report.key)
    assert found[HOTLINE].state == "open"
    assert found[HOTLINE].citation_verified is None


async def test_tasks_get_no_notice_and_their_outcomes_are_nowhere_in_the_open(house: House) -> None:
    await house.handle(silent(house), await house.report(in_custody()))
    noticed = set(reported_duties(house.law, "MO"))
    assert {one["duty_id"] for one in await house.decided()} == noticed
    assert {one["duty_id"] for one in await house.events("notice.issued")} <= noticed
    tables = await house.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'router'::regnamespace AND relkind = 'r'"
    )
    for table in tables:
        for row in await house.rows(f"SELECT t::text AS row FROM {table['relname']} AS t"):
            for task in ("HOTLINE", "210_125", "567_020_5"):
                assert task not in row["row"]
                assert task.encode().hex() not in row["row"]


async def test_a_task_is_open_until_somebody_did_it_and_stays_done(house: House) -> None:
    worker = silent(house)
    report = await house.report(minor())
    await house.handle(worker, report)
    assert (await house.read(report.key))[HOTLINE].state == "open"
    done = datetime.now(UTC)
    completion = await house.completion(report, HOTLINE, done, "CALL-4711")
    await house.handle(worker, completion)
    hotline = (await house.read(report.key))[HOTLINE]
    assert (hotline.state, hotline.done_at, hotline.reference) == ("done", done, "CALL-4711")
    await house.handle(worker, await house.amendment(report, minor(identity={"given_name": "Other"})))
    assert (await house.read(report.key))[HOTLINE].state == "done"
    for row in await house.rows("SELECT t::text AS row FROM completion AS t"):
        assert "4711" not in row["row"]


async def test_lateness_counts_from_discovery_also_when_an_amendment_makes_a_duty_due(house: House) -> None:
    worker = silent(house)
    report = await house.report(adult())
    await house.handle(worker, report)
    assert (await house.read(report.key))[HOTLINE].late is None, "what is not due is not late"
    await house.handle(worker, await house.amendment(report, in_custody()))
    found = await house.read(report.key)
    hotline, statement = found[HOTLINE], found[STATEMENT]
    assert hotline.state == "open"
    # Discovered 20 minutes ago: 30 minutes for the call are not over, 15 for the notice of 566.223 are.
    assert hotline.late is None
    juvenile = found["MO.566_223.JJ"]
    assert juvenile.late is not None
    assert juvenile.late.against == "policy"
    assert timedelta(minutes=4) < juvenile.late.by < timedelta(minutes=7)
    data = report.data
    assert datetime.fromisoformat(statement.record["due_at"]) == data.encounter_at + timedelta(hours=12)  # type: ignore[attr-defined]
    await house.handle(worker, await house.completion(report, HOTLINE, datetime.now(UTC) + timedelta(minutes=15)))
    late = (await house.read(report.key))[HOTLINE].late
    assert late is not None
    assert late.by < timedelta(minutes=7)


async def test_what_the_notice_to_the_same_recipient_contains_is_done_with_it(house: House) -> None:
    worker = silent(house)
    facts = minor()
    facts["circumstances"] = {**facts["circumstances"], "facts": {"age_at_alleged_offence_under_18": True}}
    report = await house.report(facts)
    await house.handle(worker, report)
    found = await house.read(report.key)
    officer, division = found["MO.567_020_5.JO"], found["MO.567_020_5.CD"]
    assert (officer.state, officer.fulfilled_with) == ("open", "MO.566_223.JJ")
    assert (division.state, division.fulfilled_with) == ("open", None)
    (notice,) = await house.rows("SELECT notice_id FROM notice WHERE recipient_id = 'mo-jo-16'")
    async with house.database.transaction() as tx:
        await worker.acknowledging.acknowledge(tx, notice["notice_id"], "mo-jo-16", Answer(status="accepted"))
    found = await house.read(report.key)
    assert (found["MO.567_020_5.JO"].state, found["MO.567_020_5.CD"].state) == ("done", "open")


async def test_only_what_changed_is_decided_anew(house: House) -> None:
    worker = silent(house)
    report = await house.report(minor())
    await house.handle(worker, report)
    before = await house.read(report.key)
    await house.handle(worker, await house.amendment(report, minor()))
    assert len(await house.events("obligation.decided")) == 1, "nothing changed, nothing is told"
    await house.handle(worker, await house.amendment(report, in_custody()))
    after = await house.read(report.key)
    changed = {name for name in after if after[name].record["revision"] > before[name].record["revision"]}
    assert STATEMENT in changed
    assert HOTLINE not in changed
    assert after[STATEMENT].record["outcome"] == "due"


async def test_a_retraction_takes_every_duty_back(house: House) -> None:
    worker = silent(house)
    report = await house.report(in_custody())
    await house.handle(worker, report)
    await house.handle(worker, house.retraction(report))
    found = await house.read(report.key)
    assert {one.state for one in found.values()} == {"not_due"}
    assert {tuple(one.record["basis"]) for one in found.values()} == {("retracted",)}
    rounds = len(await house.events("obligation.decided"))
    await house.handle(worker, house.retraction(report))
    assert len(await house.events("obligation.decided")) == rounds
    await house.handle(worker, await house.amendment(report, in_custody()))
    assert (await house.read(report.key))[STATEMENT].state == "open"


async def test_a_review_of_a_task_runs_out_too(database_dsn: str, tmp_path: Path) -> None:
    async with a_house(database_dsn, tmp_path, review=timedelta(milliseconds=300)) as house:
        worker = silent(house)
        # Without a county the juvenile notice waits for a person; the call to the hotline does not.
        report = await house.report(of_unknown_age() | {"encounter": {"incident_number": "T-1"}})
        await house.handle(worker, report)
        assert (await house.read(report.key))[HOTLINE].state == "review"
        timer = ReviewTimer(house.database, worker.deciding, RouterStore(), system_clock)
        async with running(timer.run):
            await until(lambda: house.read(report.key), lambda seen: seen[HOTLINE].state == "open")
        found = await house.read(report.key)
        assert found[HOTLINE].record["decided_by"] == "timer"
        assert found["MO.566_223.JJ"].state == "review"
        assert [row["number"] for row in await house.rows("SELECT number FROM decision ORDER BY number")] == [1, 2]
        assert (await house.rows("SELECT review_at FROM subject"))[0]["review_at"] is None


async def test_other_agencies_learn_nothing_and_every_look_is_told(house: House) -> None:
    report = await house.report(minor())
    await house.handle(silent(house), report)
    with pytest.raises(NotFound):
        await house.read(report.key, agency="MO0490100")
    assert await house.events("record.read") == []
    await house.read(report.key)
    (read,) = await house.events("record.read")
    assert (read["object_kind"], read["object_id"], read["reader"]) == ("obligations", str(report.key), "rms")


async def test_a_completed_task_of_nobody_is_parked_and_not_dropped(house: House) -> None:
    report = await house.report(minor())
    with pytest.raises(PoisonEvent):
        await house.handle(silent(house), await house.completion(report, HOTLINE, datetime.now(UTC)))


async def test_an_erased_persons_decisions_cannot_be_read_and_their_timer_does_not_come_up_for_ever(
    database_dsn: str, tmp_path: Path
) -> None:
    async with a_house(database_dsn, tmp_path, review=timedelta(milliseconds=1)) as house:
        report = await house.report(of_unknown_age())
        await house.handle(silent(house), report)
        assert report.subject_id is not None
        async with house.intake.transaction() as tx:
            await house.intake_keys.erase(tx, report.subject_id)
        house.keys = SubjectKeys(house.keyset, service="router", clock=system_clock)  # another process: nothing cached
        worker = silent(house)
        async with house.database.transaction() as tx:
            assert await worker.deciding.expire_reviews(tx, 10) == 1
        async with house.database.transaction() as tx:
            assert await worker.deciding.expire_reviews(tx, 10) == 0
        assert await house.read(report.key) == {}
