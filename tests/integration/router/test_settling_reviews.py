"""Who has to settle a review reads at the route what would settle it, and does so with an amendment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from msgspec.structs import replace

from contracts.facts import FieldGroup
from kernel.bus.embedded import EmbeddedBus
from kernel.database import Database
from kernel.identity import client_entry, generate_key, sign_request, write_clients
from kernel.migrations import BUS, migrate
from kernel.sealing import Sealed
from services.router.bootstrap import build
from services.router.settings import RouterSettings
from tests.integration.router.house import House, Worker, a_house, adult, endpoint, minor, of_unknown_age

pytestmark = pytest.mark.postgres
DSS, JUVENILE = "MO.566_223.DSS", "MO.566_223.JJ"
HOTLINE, CHILD_SEEN = "MO.210_1500.HOTLINE", "MO.210_145.SEE_CHILD"
CHILD_AT_THE_TIME = "MO.567_020_5.CD"
KEY = generate_key()


class Route:
    """The route of the service as `bootstrap.build` makes it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def get(self, encounter: UUID, client: str = "rms") -> httpx.Response:
        path = f"/v1/encounters/{encounter}/obligations"
        token = sign_request(KEY, client, method="GET", path=path, body=b"", now=datetime.now(UTC))
        return await self._http.get(path, headers={"authorization": f"Bearer {token}"})

    async def read(self, encounter: UUID) -> dict[str, dict[str, Any]]:
        """What the agency reads of its one subject, by duty."""
        answer = await self.get(encounter)
        assert answer.status_code == 200, answer.text
        (subject,) = answer.json()["subjects"]
        return {one["duty_id"]: one for one in subject["obligations"]}


@asynccontextmanager
async def a_route(house: House, dsn: str, folder: Path) -> AsyncIterator[Route]:
    await migrate(dsn, [BUS])
    rights: dict[str, Any] = {"scopes": {"encounters:read"}}
    write_clients(
        folder / "clients.json",
        [
            client_entry("rms", "agency", KEY, agencies={"MO0480100"}, **rights),
            client_entry("other", "agency", KEY, agencies={"MO0490100"}, **rights),
        ],
    )
    house.keyset.save(folder / "keyset.json")
    house.register({})
    settings = RouterSettings(
        database_dsn=dsn,
        keyset_file=folder / "keyset.json",
        clients_file=folder / "clients.json",
        endpoints_file=house.endpoints_file,
    )
    bus = EmbeddedBus(Database(dsn, schema="bus", pool_size=1))
    service = await build(settings, bus)
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://router") as http:
            yield Route(http)
    finally:
        assert service.close is not None
        await service.close()
        await bus.close()


def silent(house: House) -> Worker:
    """A router whose recipients never answer."""
    return house.worker(house.register({"mo-dss": endpoint(1)}))


def without_county(facts: dict[str, Any]) -> dict[str, Any]:
    return facts | {"encounter": {"incident_number": "T-1"}}


async def test_what_would_settle_a_review_is_told_and_settles_it(
    house: House, database_dsn: str, tmp_path: Path
) -> None:
    worker = silent(house)
    report = await house.report(without_county(of_unknown_age()))
    await house.handle(worker, report)
    async with a_route(house, database_dsn, tmp_path) as route:
        found = await route.read(report.key)
        for one in found.values():
            assert (one["gaps"] is not None) == (one["state"] == "review"), one["duty_id"]
        gaps = found[JUVENILE]["gaps"]
        assert ["age_years"] in gaps["to_settle"]
        assert ["age_years"] in gaps["to_qualify"]
        assert gaps["standings"]["age_years"] == "not_asked"
        assert gaps["next_question"]["fact"] == "age_years"
        assert gaps["next_question"]["question"] == house.law.facts["age_years"].question
        assert gaps["next_question"]["could_settle"] > 6
        assert gaps["county_missing"]
        assert not found[HOTLINE]["gaps"]["county_missing"]
        assert gaps["law_version"] == house.law.version
        await house.handle(worker, await house.amendment(report, without_county(minor())))
        found = await route.read(report.key)
        assert (found[HOTLINE]["outcome"], found[HOTLINE]["gaps"]) == ("due", None)
        gaps = found[JUVENILE]["gaps"]
        assert (gaps["to_settle"], gaps["next_question"], gaps["county_missing"]) == ([], None, True)
        await house.handle(worker, await house.amendment(report, minor()))
        found = await route.read(report.key)
        assert (found[JUVENILE]["outcome"], found[JUVENILE]["gaps"]) == ("due", None)
        await house.handle(worker, house.retraction(report))
        assert {one["gaps"] is None for one in (await route.read(report.key)).values()} == {True}


async def test_what_contradicts_itself_is_told_as_such_until_an_amendment_corrects_it(
    house: House, database_dsn: str, tmp_path: Path
) -> None:
    def alleged(under_18: bool) -> dict[str, Any]:
        facts = adult(age={"birth_date": "2005-06-01", "verified_by": "document"})
        custody = {"conduct_alleged_on": "2022-05-01", "conduct_alleged_under_18": under_18}
        return facts | {"circumstances": facts["circumstances"] | {"custody": custody}}

    worker, fact = silent(house), "age_at_alleged_offence_under_18"
    report = await house.report(alleged(False))
    await house.handle(worker, report)
    async with a_route(house, database_dsn, tmp_path) as route:
        found = await route.read(report.key)
        between = ["age_at_alleged_conduct", fact]
        assert found[CHILD_AT_THE_TIME]["gaps"]["contradictions"] == [{"fact": fact, "between": between}]
        assert [fact] not in found[CHILD_AT_THE_TIME]["gaps"]["to_settle"]
        assert found[CHILD_AT_THE_TIME]["contradicted"] == found[JUVENILE]["contradicted"] == [fact]
        assert found[HOTLINE]["contradicted"] == []
        await house.handle(worker, await house.amendment(report, alleged(True)))
        found = await route.read(report.key)
        assert (found[CHILD_AT_THE_TIME]["outcome"], found[JUVENILE]["outcome"]) == ("due", "due")
        assert {tuple(one["contradicted"]) for one in found.values()} == {()}


async def test_a_report_that_contradicts_itself_cancels_nothing_before_a_person_has_looked(
    house: House, database_dsn: str, tmp_path: Path
) -> None:
    def seen(appears_victim: bool) -> dict[str, Any]:
        facts = adult()
        told = {"appears_victim": appears_victim, "trafficking": {"victim_status": "confirmed"}}
        return facts | {"circumstances": facts["circumstances"] | told}

    worker, between = silent(house), ["appears_victim", "victim_status"]
    report = await house.report(seen(False))
    await house.handle(worker, report)
    async with a_route(house, database_dsn, tmp_path) as route:
        found = await route.read(report.key)
        assert (found[DSS]["outcome"], found[DSS]["review_at"]) == ("review", None)
        assert found[DSS]["because"] == ["does_not_appear_a_victim", "facts_contradict"]
        assert found[DSS]["gaps"]["contradictions"] == [{"fact": "victim_status", "between": between}]
        assert found[DSS]["gaps"]["to_settle"] == []
        assert found[JUVENILE]["outcome"] == "not_due", "an adult, whichever of the two is wrong"
        assert await house.deliveries() == {}
        await house.handle(worker, await house.amendment(report, seen(True)))
        found = await route.read(report.key)
        assert (found[DSS]["outcome"], found[DSS]["gaps"]) == ("due", None)
        assert list(await house.deliveries()) == ["mo-dss"]
        await house.handle(worker, await house.amendment(report, seen(False)))
        assert (await route.read(report.key))[DSS]["outcome"] == "review"
        live = await house.rows("SELECT kind FROM notice JOIN delivery USING (notice_id, recipient_id) WHERE live")
        assert [row["kind"] for row in live] == ["notice"], "what was told stands until somebody has settled it"


async def test_a_refusal_decides_nothing_and_is_not_asked_for_again(
    house: House, database_dsn: str, tmp_path: Path
) -> None:
    worker = silent(house)
    report = await house.report(minor())
    await house.handle(worker, report)
    async with a_route(house, database_dsn, tmp_path) as route:
        before = (await route.read(report.key))[CHILD_SEEN]["gaps"]
        assert before["next_question"]["fact"] == "danger_of_serious_harm"
        facts = minor()
        refused = {**facts["circumstances"], "facts": {"danger_of_serious_harm": "refused"}}
        await house.handle(worker, await house.amendment(report, facts | {"circumstances": refused}))
        assert len(await house.events("obligation.decided")) == 1, "nothing was decided anew"
        after = (await route.read(report.key))[CHILD_SEEN]["gaps"]
        assert after["to_settle"] == before["to_settle"] == [["danger_of_serious_harm"]]
        assert after["standings"] == {"danger_of_serious_harm": "refused"}
        assert after["next_question"] is None


async def test_a_review_that_ran_out_asks_only_for_the_county(database_dsn: str, tmp_path: Path) -> None:
    async with a_house(database_dsn, tmp_path, review=timedelta(milliseconds=1)) as house:
        worker = silent(house)
        report = await house.report(without_county(of_unknown_age()))
        await house.handle(worker, report)
        async with house.database.transaction() as tx:
            assert await worker.deciding.expire_reviews(tx, 10) == 1
        async with a_route(house, database_dsn, tmp_path) as route:
            found = await route.read(report.key)
        assert (found[HOTLINE]["outcome"], found[HOTLINE]["gaps"]) == ("due", None)
        gaps = found[JUVENILE]["gaps"]
        assert (found[JUVENILE]["outcome"], gaps["to_settle"], gaps["county_missing"]) == ("review", [], True)


async def test_other_agencies_learn_nothing_of_what_is_missing(house: House, database_dsn: str, tmp_path: Path) -> None:
    report = await house.report(of_unknown_age())
    await house.handle(silent(house), report)
    async with a_route(house, database_dsn, tmp_path) as route:
        answer = await route.get(report.key, "other")
        assert answer.status_code == 404
        assert "gaps" not in answer.text
        assert await house.events("record.read") == []
        await route.read(report.key)
    assert [one["reader"] for one in await house.events("record.read")] == ["rms"]


async def test_the_name_stays_closed_while_gaps_are_looked_for(house: House, database_dsn: str, tmp_path: Path) -> None:
    report = await house.report(of_unknown_age())
    await house.handle(silent(house), report)
    (row,) = await house.rows("SELECT sealed FROM subject")
    sealed = Sealed.decode(row["sealed"])
    broken = replace(sealed.groups[FieldGroup.IDENTITY], ciphertext=bytes(64))
    altered = replace(sealed, groups=sealed.groups | {FieldGroup.IDENTITY.value: broken})
    async with house.database.transaction() as tx:
        await tx.driver.execute("UPDATE subject SET sealed = $1", altered.encode())
    async with a_route(house, database_dsn, tmp_path) as route:
        assert (await route.read(report.key))[JUVENILE]["gaps"] is not None
