"""From an accepted encounter to the recipients, on real PostgreSQL and real HTTP."""

import pytest
from standardwebhooks import Webhook

from rulebook.duties import reported_duties
from tests.integration.router.house import SECRET, House, adult, endpoint, minor
from tests.integration.router.receiver import answer, receipt, receiving
from tests.support.loops import running
from tests.support.wait import until

pytestmark = pytest.mark.postgres
ALL_CONFIRMED = {"mo-dss": "confirmed", "mo-jo-16": "confirmed", "us-hhs-otip": "confirmed"}


async def test_everyone_the_law_names_is_told_once_and_nobody_else(house: House) -> None:
    async with receiving() as receiver:
        worker = house.worker(house.register({name: endpoint(receiver.port) for name in ALL_CONFIRMED}))
        async with running(worker.courier.run):
            await until(lambda: worker.courier.room("mo-dss", "first_notice"), bool)
            await house.handle(worker, await house.report(minor()), await house.report(adult()))
            await until(house.deliveries, lambda seen: seen == ALL_CONFIRMED)
            await until(lambda: house.events("notice.confirmed"), lambda seen: len(seen) == 4)
        assert sorted(receiver.ids()) == sorted(set(receiver.ids()))
        assert len(receiver.requests) == 4
        for request in receiver.requests:
            Webhook(SECRET).verify(request.body, request.headers)
            assert request.headers["content-type"] == "application/cloudevents+json"
            assert request.event["id"] == request.webhook_id
    decided = await house.decided()
    assert len(decided) == len(reported_duties(house.law, "MO")) * 2, "every duty has a decision for each subject"
    issued = {one["notice_id"] for one in await house.events("notice.issued")}
    assert issued == set(receiver.ids())


async def test_a_notice_tells_only_what_the_policy_names(house: House) -> None:
    async with receiving() as receiver:
        worker = house.worker(house.register({name: endpoint(receiver.port) for name in ALL_CONFIRMED}))
        async with running(worker.courier.run):
            await house.handle(worker, await house.report(minor(narrative="a secret narrative")))
            await until(house.deliveries, lambda seen: seen == ALL_CONFIRMED)
        told = {str(r.event["data"]["notice"]["duty_id"]): r.event["data"] for r in receiver.requests}  # type: ignore[index]
    assert all(b"a secret narrative" not in request.body for request in receiver.requests)
    assert told["MO.566_223.JJ"]["disclosed"]["identity"] == {"given_name": "Given", "family_name": "Family"}
    assert "status" not in told["MO.566_223.DSS"]["disclosed"]
    assert told["MO.566_223.DSS"]["redisclosure"]


async def test_a_corrected_age_withdraws_from_who_should_not_have_been_told(house: House) -> None:
    async with receiving() as receiver:
        worker = house.worker(house.register({name: endpoint(receiver.port) for name in ALL_CONFIRMED}))
        async with running(worker.courier.run):
            first = await house.report(minor())
            await house.handle(worker, first)
            await until(house.deliveries, lambda seen: seen == ALL_CONFIRMED)
            amended = await house.amendment(first, adult())
            await house.handle(worker, amended)
            await until(lambda: house.events("notice.confirmed"), lambda seen: len(seen) == 6)
    last = {r.path + str(r.event["data"]["notice"]["duty_id"]): r.event["data"] for r in receiver.requests}  # type: ignore[index]
    kinds = {key.removeprefix("/hook"): data["notice"]["kind"] for key, data in last.items()}
    assert kinds == {
        "MO.566_223.DSS": "correction",
        "MO.566_223.JJ": "withdrawal",
        "US.7105.HHS24": "withdrawal",
    }
    assert "disclosed" not in last["/hookMO.566_223.JJ"]
    corrected = await house.events("notice.corrected")
    assert sorted(one["how"] for one in corrected) == ["corrected", "withdrawn", "withdrawn"]


async def test_an_amendment_that_changes_nothing_disclosed_sends_nothing(house: House) -> None:
    async with receiving() as receiver:
        worker = house.worker(house.register({name: endpoint(receiver.port) for name in ALL_CONFIRMED}))
        async with running(worker.courier.run):
            first = await house.report(minor())
            await house.handle(worker, first)
            await until(house.deliveries, lambda seen: seen == ALL_CONFIRMED)
            again = minor(narrative="more of it")
            await house.handle(worker, await house.amendment(first, again))
    assert len(receiver.requests) == 3
    assert len(await house.events("notice.issued")) == 3


async def test_what_was_never_sent_is_superseded_and_the_newer_one_stays_urgent(house: House) -> None:
    async with receiving() as receiver:
        worker = house.worker(house.register({name: endpoint(receiver.port) for name in ALL_CONFIRMED}))
        first = await house.report(minor())
        await house.handle(worker, first)
        changed = minor(identity={"given_name": "Other", "family_name": "Family"})
        await house.handle(worker, await house.amendment(first, changed))
        async with running(worker.courier.run):
            await until(house.deliveries, lambda seen: seen == ALL_CONFIRMED)
    assert len(receiver.requests) == 3
    assert all(b"Given" not in request.body for request in receiver.requests)
    issued = await house.events("notice.issued")
    assert {(one["kind"], one["priority"]) for one in issued} == {("notice", "first_notice")}
    assert {one["how"] for one in await house.events("notice.corrected")} == {"superseded_unsent"}


async def test_a_retraction_withdraws_everything(house: House) -> None:
    async with receiving() as receiver:
        worker = house.worker(house.register({name: endpoint(receiver.port) for name in ALL_CONFIRMED}))
        async with running(worker.courier.run):
            first = await house.report(minor())
            await house.handle(worker, first)
            await until(house.deliveries, lambda seen: seen == ALL_CONFIRMED)
            await house.handle(worker, house.retraction(first))
            await until(lambda: house.events("notice.confirmed"), lambda seen: len(seen) == 6)
    assert [r.event["data"]["notice"]["kind"] for r in receiver.requests[3:]] == ["withdrawal"] * 3  # type: ignore[index]


async def test_a_page_of_a_captive_portal_is_no_confirmation(house: House) -> None:
    async with receiving(answer(200, b"<html>Welcome to the hotel</html>")) as receiver:
        worker = house.worker(house.register({"mo-dss": endpoint(receiver.port)}))
        async with running(worker.courier.run):
            await house.handle(worker, await house.report(adult()))
            await until(lambda: len(receiver.requests), lambda seen: seen >= 3)
            assert await house.deliveries() == {"mo-dss": "pending"}
            receiver.behaviour = receipt
            await until(house.deliveries, lambda seen: seen == {"mo-dss": "confirmed"})
    assert len(set(receiver.ids())) == 1, "all attempts carry the same id"
    assert len({request.body for request in receiver.requests}) == 1, "and the same bytes"


async def test_an_endpoint_whose_contract_says_so_confirms_with_any_2xx(house: House) -> None:
    async with receiving(answer(204)) as receiver:
        worker = house.worker(house.register({"mo-dss": endpoint(receiver.port, confirmation="any_2xx")}))
        async with running(worker.courier.run):
            await house.handle(worker, await house.report(adult()))
            await until(house.deliveries, lambda seen: seen == {"mo-dss": "confirmed"})
