"""POST /v1/screen answers for facts alone, and leaves nothing behind: over HTTP, with the wired application."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from kernel.identity import sign_request
from kernel.service import Service
from tests.integration.eligibility.builders import CLIENTS, Eligibility
from tests.support.messaging import NOON

PATH = "/v1/screen"
CANARY = "Zq-canary-7731"
POSSIBLE = {"protocol_id": "qyit", "protocol_version": "1", "outcome": "possible"}


def asking(subject: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    person = {"subject_number": 1, "age": "unknown", "circumstances": {"appears_victim": True}} | (subject or {})
    return {"encounter_at": "2026-11-22T09:00:00Z", "subject": person} | members


class Api:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def screen(self, document: dict[str, Any], *, as_: str = "dss") -> httpx.Response:
        body = orjson.dumps(document)
        token = sign_request(CLIENTS[as_]["key"], as_, method="POST", path=PATH, body=body, now=NOON)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return await self._client.post(PATH, content=body, headers=headers)


@pytest.fixture
async def api(service: Service) -> AsyncIterator[Api]:
    transport = httpx.ASGITransport(app=service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://eligibility") as client:
        yield Api(client)


async def rows_of_every_table(dsn: str) -> dict[str, int]:
    """As the database's owner, so that no table of any schema is out of sight."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables"
            " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        return {table["name"]: await connection.fetchval(f"SELECT count(*) FROM {table['name']}") for table in tables}
    finally:
        await connection.close()


@pytest.mark.parametrize("reader", ["dss", "operator"])
async def test_facts_in_answers_out(eligibility: Eligibility, api: Api, reader: str) -> None:
    response = await api.screen(asking(), as_=reader)
    assert response.status_code == 200, response.text
    told = response.json()
    assert told["law_version"] == eligibility.law.version
    assert told["law_digest"] == eligibility.law.digest
    assert told["as_of"] == "2026-11-22"
    answers = {answer["program"]: answer for answer in told["programs"]}
    assert answers.keys() == {program.spec.id for program in eligibility.law.programs}
    t_visa = answers["t_visa"]
    assert t_visa["outcome"] == "potentially_eligible"
    assert all(missing["question"] for missing in t_visa["missing"])
    assert t_visa["gaps"]["to_settle"]
    question = told["next_question"]
    assert question["question"] == eligibility.law.facts[question["fact"]].question
    assert eligibility.law.facts[question["fact"]].group != "status"


async def test_time_limits_and_what_was_not_verified_are_told_with_each_answer(api: Api) -> None:
    told = (await api.screen(asking({"status": {"citizenship": "lpr"}}))).json()
    answers = {answer["program"]: answer for answer in told["programs"]}
    assert "LPRs usually need 40 work quarters" in answers["ssi"]["time_limits"]
    assert answers["snap"]["version_notes"]
    assert (answers["snap"]["citation_verified"], answers["u_visa"]["citation_verified"]) == (True, False)


async def test_the_facts_are_told_by_a_salted_digest_that_is_another_one_each_time(api: Api) -> None:
    one, other = (await api.screen(asking())).json(), (await api.screen(asking())).json()
    assert one["programs"] == other["programs"]
    assert one["facts_salt"] != other["facts_salt"]
    assert one["facts_digest"] != other["facts_digest"]


async def test_facts_that_exclude_each_other_are_named_for_correction(api: Api) -> None:
    status = {"citizenship": "us_citizen", "facts": {"child_eligibility_letter": True}}
    told = (await api.screen(asking({"status": status}))).json()
    between = ["child_eligibility_letter", "citizenship_status"]
    assert told["contradictions"] == [{"fact": "child_eligibility_letter", "between": between}]
    labelled = [one for one in told["programs"] if one["contradicted"]]
    assert labelled
    assert {one["outcome"] for one in labelled} == {"potentially_eligible"}
    told = (await api.screen(asking())).json()
    assert told["contradictions"] == []
    assert not any(one["contradicted"] for one in told["programs"])


async def test_an_answer_changes_with_the_facts(api: Api) -> None:
    told = (await api.screen(asking({"status": {"citizenship": "us_citizen"}}))).json()
    assert {a["program"]: a["outcome"] for a in told["programs"]}["t_visa"] == "not_eligible"


async def test_it_says_what_a_stored_determination_says(eligibility: Eligibility, api: Api) -> None:
    facts = {"age": {"years": 30, "verified_by": "document"}}
    event = await eligibility.report(facts | {"circumstances": {"appears_victim": True}})
    await eligibility.handle(event)
    (published,) = await eligibility.published()
    stored = {a["program"]: a["outcome"] for a in (await eligibility.opened(published))["programs"]}
    told = (await api.screen(asking(facts))).json()
    assert {a["program"]: a["outcome"] for a in told["programs"]} == stored


async def test_nothing_is_stored_and_nothing_published(
    eligibility: Eligibility, api: Api, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    before = await rows_of_every_table(eligibility.dsn)
    assert "eligibility.outbox" in before
    assert "eligibility.subject" in before
    subject = {"identity": {"given_name": CANARY}, "narrative": CANARY, "age": {"years": 15, "verified_by": "document"}}
    response = await api.screen(asking(subject))
    assert response.status_code == 200
    assert await rows_of_every_table(eligibility.dsn) == before
    printed = capfd.readouterr()
    assert CANARY not in response.text + caplog.text + printed.out + printed.err


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        (asking(encounter_at="2026-11-22T13:00:00Z"), "/encounter_at"),
        (asking(encounter_at="1899-01-01T00:00:00Z"), "/encounter_at"),
        (asking({"age": {"birth_date": "2031-01-01"}}), "/subject/age/birth_date"),
        (
            asking({"circumstances": {"appears_victim": True, "custody": {"conduct_alleged_on": "2031-01-01"}}}),
            "/subject/circumstances/custody/conduct_alleged_on",
        ),
        (
            asking({"circumstances": {"appears_victim": True, "facts": {"no_such_fact": CANARY}}}),
            "/subject/circumstances/facts/no_such_fact",
        ),
        (
            asking({"circumstances": {"appears_victim": True, "facts": {"runaway": CANARY}}}),
            "/subject/circumstances/facts/runaway",
        ),
        (
            asking({"circumstances": {"appears_victim": True, "facts": {"household_income_pct_ami": "1e999999999"}}}),
            "/subject/circumstances/facts/household_income_pct_ami",
        ),
        (asking({"status": {"facts": {"hhs_letter_date": "9999-12-31"}}}), "/subject/status/facts/hhs_letter_date"),
        (asking({"status": {"facts": {"hhs_letter_date": "2031-01-01"}}}), "/subject/status/facts/hhs_letter_date"),
        (
            asking({"circumstances": {"appears_victim": True, "screening": [POSSIBLE | {"protocol_id": CANARY}]}}),
            "/subject/circumstances/screening/0/protocol_id",
        ),
        (asking(jurisdiction="ZZ"), "/jurisdiction"),
        (asking({"age": CANARY}), "/subject/age"),
        (asking(agency_ori="MO0480000"), "/agency_ori"),
    ],
)
async def test_what_is_wrong_is_named_and_never_repeated(api: Api, document: dict[str, Any], pointer: str) -> None:
    response = await api.screen(document)
    assert response.status_code == 422
    problem = response.json()
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert CANARY not in response.text
    assert "2031" not in response.text


@pytest.mark.parametrize("client", ["dss-without-scope", "auditor", "agency"])
async def test_without_the_scope_it_is_forbidden(api: Api, client: str) -> None:
    assert (await api.screen(asking(), as_=client)).status_code == 403
