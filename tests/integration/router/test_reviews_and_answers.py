"""Review timers across replicas, and what recipients answer."""

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from kernel.clock import system_clock
from kernel.database import Database
from kernel.errors import Conflict, NotFound
from services.router.adapters.store import RouterStore
from services.router.application.acknowledging import Answer
from services.router.application.ports import NoticeState
from services.router.timers import ReviewTimer
from tests.integration.router.house import House, Worker, a_house, adult, endpoint, minor, of_unknown_age
from tests.integration.router.receiver import receiving
from tests.support.loops import running
from tests.support.wait import until

pytestmark = pytest.mark.postgres


def timer_of(house: House, worker: Worker) -> ReviewTimer:
    return ReviewTimer(house.database, worker.deciding, RouterStore(), system_clock)


async def test_a_review_that_nobody_settles_is_presumed_once_whatever_the_number_of_replicas(
    database_dsn: str, tmp_path: Path
) -> None:
    async with a_house(database_dsn, tmp_path, review=timedelta(seconds=1)) as house, receiving() as receiver:
        names = ("mo-dss", "mo-jo-16", "us-hhs-otip")
        endpoints = house.register({name: endpoint(receiver.port) for name in names})
        workers = [house.worker(endpoints) for _ in range(3)]
        timers = [timer_of(house, worker) for worker in workers]
        first = await house.report(of_unknown_age())
        async with running(workers[0].courier.run):
            await house.handle(workers[0], first)
            before = await house.decided()
            assert sorted(one["outcome"] for one in before) == ["due", "review", "review"]
            async with running(*[timer.run for timer in timers]):
                await until(house.deliveries, lambda seen: seen == dict.fromkeys(names, "confirmed"))
        decided = (await house.decided())[len(before) :]
        assert [(one["outcome"], one["decided_by"]) for one in decided] == [("due", "timer")] * 2
        assert len(receiver.requests) == 3
        # An amendment that says nothing of the age does not take the presumption back.
        await house.handle(workers[0], await house.amendment(first, of_unknown_age() | {"narrative": "more"}))
        assert len(await house.decided()) == len(before) + 2
        # A proof of age does.
        await house.handle(workers[0], await house.amendment(first, adult()))
        kinds = await house.rows("SELECT recipient_id FROM notice WHERE kind = 'withdrawal' ORDER BY 1")
        assert [row["recipient_id"] for row in kinds] == ["mo-jo-16", "us-hhs-otip"]


async def test_a_review_without_county_waits_for_a_person(house: House) -> None:
    worker = house.worker(house.register({"mo-dss": endpoint(1)}))
    facts = minor(encounter={"incident_number": "T-1"})
    await house.handle(worker, await house.report(facts))
    decided = {one["duty_id"]: one for one in await house.decided()}
    juvenile = decided["MO.566_223.JJ"]
    assert (juvenile["outcome"], juvenile["review_at"]) == ("review", None)
    assert juvenile["owner"]
    assert decided["MO.566_223.DSS"]["outcome"] == "due"


async def acknowledged(house: House, worker: Worker, notice: UUID, recipient: str, answer: Answer) -> NoticeState:
    async with house.database.transaction() as tx:
        return await worker.acknowledging.acknowledge(tx, notice, recipient, answer)


async def test_an_answer_counts_once_goes_forward_and_ends_the_duty(house: House) -> None:
    worker = house.worker(house.register({"mo-dss": endpoint(1)}))
    await house.handle(worker, await house.report(adult()))
    ((notice,),) = [tuple(row.values()) for row in await house.rows("SELECT notice_id FROM notice")]
    answers = [Answer(status="received"), Answer(status="accepted", case_number="SECRET-CASE-77", comment="we act")]
    for answer in [*answers, *answers]:
        state = await acknowledged(house, worker, notice, "mo-dss", answer)
    assert [one.status for one in state.acknowledgements] == ["received", "accepted"]
    assert [one["status"] for one in await house.events("notice.acknowledged")] == ["received", "accepted"]
    with pytest.raises(Conflict):
        await acknowledged(house, worker, notice, "mo-dss", Answer(status="rejected"))
    met = await house.rows("SELECT met_at FROM obligation WHERE duty_id = 'MO.566_223.DSS'")
    assert met[0]["met_at"] is not None
    stored = await house.rows("SELECT sealed FROM acknowledgement WHERE sealed IS NOT NULL")
    values = await house.rows("SELECT value FROM outbox")
    assert len(stored) == 1
    assert all(b"SECRET-CASE-77" not in row for r in (*stored, *values) for row in r.values())


async def test_strangers_learn_nothing_of_a_notice(house: House) -> None:
    worker = house.worker(house.register({"mo-dss": endpoint(1)}))
    await house.handle(worker, await house.report(adult()))
    ((notice,),) = [tuple(row.values()) for row in await house.rows("SELECT notice_id FROM notice")]
    for notice_id, recipient in ((notice, "mo-jo-16"), (uuid4(), "mo-dss")):
        with pytest.raises(NotFound):
            await acknowledged(house, worker, notice_id, recipient, Answer(status="accepted"))


async def test_fifty_equal_answers_at_once_are_one(house: House) -> None:
    worker = house.worker(house.register({"mo-dss": endpoint(1)}))
    await house.handle(worker, await house.report(adult()))
    ((notice,),) = [tuple(row.values()) for row in await house.rows("SELECT notice_id FROM notice")]
    answer = Answer(status="accepted")
    await asyncio.gather(*[acknowledged(house, worker, notice, "mo-dss", answer) for _ in range(50)])
    assert len(await house.events("notice.acknowledged")) == 1


async def test_an_amendment_and_a_send_that_ends_at_the_same_time_never_lose_a_notice(house: House) -> None:
    async with receiving() as receiver:
        worker = house.worker(house.register({"mo-dss": endpoint(receiver.port)}))
        async with running(worker.courier.run):
            firsts = [await house.report(adult()) for _ in range(20)]
            await house.handle(worker, *firsts)
            changed = adult(identity={"given_name": "Other"})
            amendments = [await house.amendment(one, changed) for one in firsts]
            await house.handle(worker, *amendments)
            await until(lambda: live_states(house), lambda seen: seen == ["confirmed"] * 20)
        last: dict[str, bytes] = {}
        for request in sorted(receiver.requests, key=lambda one: one.event["data"]["notice"]["revision"]):  # type: ignore[index]
            last[str(request.event["subject"])] = request.body
        assert len(last) == 20
        assert all(b"Other" in body for body in last.values())


async def live_states(house: House) -> list[str]:
    found = await house.rows("SELECT state FROM notice JOIN delivery USING (notice_id) WHERE live")
    return [str(row["state"]) for row in found]


async def test_no_plaintext_about_a_person_is_stored(house: House) -> None:
    worker = house.worker(house.register({"mo-dss": endpoint(1)}))
    facts = minor(identity={"given_name": "Zyxwvut", "family_name": "Canaryname"})
    await house.handle(worker, await house.report(facts))
    tables = await house.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'router'::regnamespace AND relkind = 'r'"
    )
    assert len(tables) > 8
    for table in tables:
        content = await house.rows(f"SELECT t::text AS row FROM {table['relname']} AS t")
        for row in content:
            for canary in ("Zyxwvut", "Canaryname"):
                assert canary not in row["row"]
                assert canary.encode().hex() not in row["row"]


async def test_the_schema_belongs_to_the_routers_role(house: House) -> None:
    assert isinstance(house.database, Database)
    owners = await house.rows("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'router'")
    assert [row["tableowner"] for row in owners] == ["fn_router"]
