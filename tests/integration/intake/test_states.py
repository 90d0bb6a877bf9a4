"""The public state of an encounter: fed by `notices`, for the agency that reported it, and every look is told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from contracts.envelope import Event, encode_headers, encode_value, sequence_headers
from contracts.events import (
    DecidedObligation,
    EventData,
    NoticeAcknowledged,
    NoticeAttempted,
    NoticeConfirmed,
    NoticeCorrected,
    NoticeEscalated,
    NoticeHeld,
    NoticeIssued,
    ObligationDecided,
    RecordRead,
)
from kernel.bus import Record
from tests.integration.intake.world import World, a_report, a_world, subject_ids
from tests.support.messaging import write_log
from tests.support.wait import until

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Router:
    """Says on the bus what the router would say of one encounter."""

    def __init__(self, world: World, encounter: str, subject: UUID) -> None:
        self.world = world
        self.encounter = UUID(encounter)
        self.subject = subject
        self.obligation, self.notice = uuid4(), uuid4()
        self.told = 0

    async def tell(self, *told: EventData) -> None:
        await write_log(self.world.dsn, *(self._record(data) for data in told))

    def _record(self, data: EventData) -> Record:
        self.told += 1
        event = Event(
            id=uuid4(),
            time=NOON + timedelta(minutes=self.told),
            source="/firstnotice/router",
            data=data,
            key=self.encounter,
            jurisdiction="MO",
            correlation_id=uuid4(),
            encounter_id=self.encounter,
            subject_id=self.subject,
        )
        headers = encode_headers(event) + sequence_headers(0, self.told)
        return Record(event.topic, event.key, headers, encode_value(event))

    def decided(self, **changes: Any) -> ObligationDecided:
        given: dict[str, Any] = {
            "obligation_id": self.obligation,
            "duty_id": "mo-dss",
            "outcome": "due",
            "revision": 1,
            "recipient_role": "dss",
            "recipient_id": "mo-dss",
            "clock": "asap",
            "due_at": NOON,
        }
        return ObligationDecided(duties=25, obligations=(DecidedObligation(**given | changes),))

    def issued(self, notice: UUID | None = None, revision: int = 1) -> NoticeIssued:
        return NoticeIssued(
            notice_id=notice or self.notice,
            obligation_id=self.obligation,
            duty_id="mo-dss",
            recipient_id="mo-dss",
            revision=revision,
            kind="notice" if revision == 1 else "correction",
            priority="first_notice",
        )

    def attempted(self, attempt: int) -> NoticeAttempted:
        return NoticeAttempted(
            notice_id=self.notice, attempt=attempt, started_at=NOON, finished_at=NOON, outcome="retry", http_status=500
        )

    def confirmed(self) -> NoticeConfirmed:
        return NoticeConfirmed(
            notice_id=self.notice,
            obligation_id=self.obligation,
            duty_id="mo-dss",
            recipient_id="mo-dss",
            attempt=3,
            started_at=NOON,
            confirmed_at=NOON,
        )

    def acknowledged(self, status: Any) -> NoticeAcknowledged:
        return NoticeAcknowledged(
            notice_id=self.notice,
            obligation_id=self.obligation,
            duty_id="mo-dss",
            recipient_id="mo-dss",
            status=status,
            acknowledged_at=NOON,
        )

    async def state(self) -> dict[str, Any]:
        """What the agency sees of the one obligation."""
        answer = await self.world.read(str(self.encounter))
        assert answer.status_code == 200
        obligations = answer.json()["subjects"][0]["obligations"]
        found: dict[str, Any] = obligations[0] if obligations else {"notices": []}
        return found

    async def sees(self, **expected: Any) -> dict[str, Any]:
        return await until(self.state, lambda seen: {name: seen.get(name) for name in expected} == expected)

    async def sees_notice(self, **expected: Any) -> dict[str, Any]:
        def holds(seen: dict[str, Any]) -> bool:
            first = seen["notices"][0] if seen["notices"] else {}
            return {name: first.get(name) for name in expected} == expected

        return await until(self.state, holds)


async def a_router(world: World) -> Router:
    answer = await world.accepted(a_report())
    return Router(world, answer["encounter_id"], subject_ids(answer)[1])


async def test_the_state_follows_a_notice_from_decision_to_acknowledgement(world: World) -> None:
    router = await a_router(world)
    await router.tell(router.decided())
    await router.sees(outcome="due", duty_id="mo-dss", recipient_id="mo-dss", escalation=0, notices=[])
    await router.tell(router.issued())
    await router.sees_notice(state="issued", attempts=0, kind="notice")
    await router.tell(router.attempted(1), router.attempted(2))
    await router.sees_notice(state="sending", attempts=2)
    await router.tell(NoticeHeld(notice_id=router.notice, recipient_id="mo-dss", reason="gone", owner="desk"))
    await router.sees_notice(state="held")
    await router.tell(NoticeEscalated(obligation_id=router.obligation, rung=2, owner="chief", reason="late"))
    await router.sees(escalation=2, owner="chief")
    await router.tell(router.confirmed())
    await router.sees_notice(state="confirmed", confirmed_at="2026-11-20T12:00:00Z")
    await router.tell(router.acknowledged("accepted"))
    await router.sees_notice(state="acknowledged", acknowledgement="accepted")
    await router.sees(acknowledgement="accepted")


async def test_a_corrected_notice_names_the_one_that_replaces_it(world: World) -> None:
    router = await a_router(world)
    newer = uuid4()
    await router.tell(router.decided(), router.issued(), router.decided(revision=2), router.issued(newer, revision=2))
    await router.tell(
        NoticeCorrected(notice_id=router.notice, obligation_id=router.obligation, how="corrected", replaced_by=newer)
    )
    await router.sees_notice(state="corrected", replaced_by=str(newer))
    await router.sees(revision=2)


async def test_of_two_decisions_the_later_counts(world: World) -> None:
    router = await a_router(world)
    await router.tell(router.decided(outcome="review", owner="desk"), router.decided(outcome="not_due", revision=2))
    await router.sees(outcome="not_due", owner=None, revision=2)


async def test_the_state_says_nothing_about_persons(world: World) -> None:
    answer = await world.accepted(a_report())
    state = (await world.read(answer["encounter_id"])).json()
    assert set(state) == {"encounter_id", "agency_ori", "record_version", "accepted_at", "subjects"}
    assert set(state["subjects"][0]) == {"subject_number", "subject_id", "obligations"}


async def test_every_look_at_a_record_is_told(world: World) -> None:
    answer = await world.accepted(a_report())
    assert (await world.read(answer["encounter_id"], client="reader")).status_code == 200
    *_, event = await world.events(answer["encounter_id"])
    assert event.data == RecordRead(object_kind="encounter", object_id=UUID(answer["encounter_id"]), reader="reader")


async def test_another_agencys_state_and_an_unknown_one_are_answered_alike(world: World) -> None:
    encounter = (await world.accepted(a_report()))["encounter_id"]
    foreign = await world.read(encounter, client="joplin")
    unknown = await world.read(str(uuid4()), client="joplin")
    malformed = await world.read("not-an-id", client="joplin")
    assert {answer.status_code for answer in (foreign, unknown, malformed)} == {404}
    assert foreign.json()["detail"] == unknown.json()["detail"]
    assert len(await world.events(encounter)) == 1


async def test_a_column_more_in_every_table_changes_nothing(database_dsn: str, tmp_path: Path) -> None:
    """The next release has migrated already, and this one still runs."""
    async with a_world(database_dsn, tmp_path) as world:
        router, report = await a_router(world), a_report()
        before = await world.accepted(report)
        await router.tell(router.decided(), router.issued())
        await router.sees_notice(state="issued", attempts=0)
        tables = (
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'intake'::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        for (table,) in await world.rows(tables):
            await world.execute(f"ALTER TABLE {table} ADD COLUMN of_the_next_release int")
        await router.tell(router.attempted(1))
        # Plans that were prepared before are stale once, which is a 503: try again.
        await until(lambda: world.read(str(router.encounter)), lambda answer: answer.status_code == 200)
        await router.sees_notice(state="sending", attempts=1)
        again = await until(lambda: world.report(report), lambda answer: answer.status_code != 503)
        assert (again.status_code, again.json()["encounter_id"]) == (202, before["encounter_id"])
        assert await world.rows("SELECT 1 FROM parked") == []
