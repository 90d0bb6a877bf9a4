"""Who may read determinations, what they are told, and that it is noted: over HTTP, with the wired application."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest

from contracts.events import EncounterRetracted, RecordRead
from kernel.identity import sign_request
from kernel.service import Service
from tests.integration.eligibility.builders import CLIENTS, Eligibility, about
from tests.support.messaging import NOON


def written(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


class Api:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def read(self, encounter: UUID | None, *, as_: str) -> httpx.Response:
        path = f"/v1/encounters/{encounter}/determinations"
        token = sign_request(CLIENTS[as_]["key"], as_, method="GET", path=path, body=b"", now=NOON)
        return await self._client.get(path, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
async def api(service: Service) -> AsyncIterator[Api]:
    transport = httpx.ASGITransport(app=service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://eligibility") as client:
        yield Api(client)


@pytest.mark.parametrize("reader", ["dss", "operator"])
async def test_social_services_and_operators_read_all_answers_of_each_person(
    eligibility: Eligibility, api: Api, reader: str
) -> None:
    encounter = uuid4()
    siblings = [await eligibility.report({}, encounter=encounter) for _ in range(2)]
    await eligibility.handle(*siblings)
    response = await api.read(encounter, as_=reader)
    assert response.status_code == 200
    subjects = response.json()["subjects"]
    assert {subject["subject_id"] for subject in subjects} == {str(sibling.subject_id) for sibling in siblings}
    for subject in subjects:
        assert subject["law_version"] == eligibility.law.version
        answers = {answer["program"]: answer for answer in subject["programs"]}
        assert answers.keys() == {program.spec.id for program in eligibility.law.programs}
        t_visa = answers["t_visa"]
        assert t_visa["outcome"] == "potentially_eligible"
        assert t_visa["name"]
        assert t_visa["reasons"]
        assert t_visa["citations"]
        assert t_visa["documents"]
        assert t_visa["next_step"]
        assert all(missing["question"] for missing in t_visa["missing"])
        assert t_visa["missing"]


@pytest.mark.parametrize("reader", ["agency", "hhs", "auditor"])
async def test_nobody_else_learns_that_there_are_any(eligibility: Eligibility, api: Api, reader: str) -> None:
    reported = await eligibility.report({})
    await eligibility.handle(reported)
    there = await api.read(reported.encounter_id, as_=reader)
    nowhere = await api.read(uuid4(), as_=reader)
    assert there.status_code == nowhere.status_code == 404
    assert there.json()["detail"] == nowhere.json()["detail"]
    assert len(await eligibility.published()) == 1  # the determination, and no read


async def test_without_the_scope_it_is_forbidden(eligibility: Eligibility, api: Api) -> None:
    assert (await api.read(uuid4(), as_="dss-without-scope")).status_code == 403


async def test_each_read_is_told_to_the_trail(eligibility: Eligibility, api: Api) -> None:
    reported = await eligibility.report({})
    await eligibility.handle(reported)
    await api.read(reported.encounter_id, as_="dss")
    _, read = await eligibility.published()
    assert read.data == RecordRead(
        object_kind="determinations", object_id=reported.encounter_id or uuid4(), reader="dss"
    )


async def test_the_latest_evaluation_is_read(eligibility: Eligibility, api: Api) -> None:
    first = await eligibility.report({})
    await eligibility.handle(first, await eligibility.amend(first, {"status": {"citizenship": "us_citizen"}}))
    (subject,) = (await api.read(first.encounter_id, as_="dss")).json()["subjects"]
    answers = {answer["program"]: answer["outcome"] for answer in subject["programs"]}
    assert answers["t_visa"] == "not_eligible"


async def test_time_limits_notes_and_what_was_not_verified_are_told_with_each_answer(
    eligibility: Eligibility, api: Api
) -> None:
    reported = await eligibility.report({"status": {"citizenship": "lpr"}})
    await eligibility.handle(reported)
    (subject,) = (await api.read(reported.encounter_id, as_="dss")).json()["subjects"]
    answers = {answer["program"]: answer for answer in subject["programs"]}
    assert "7 years from status; LPRs usually need 40 work quarters" in answers["ssi"]["time_limits"]
    assert "ABAWD" in answers["snap"]["time_limits"]
    (note,) = answers["snap"]["version_notes"]
    assert note.startswith("Missouri has no broad-based categorical eligibility")
    assert answers["snap"]["citation_verified"] is True
    assert answers["u_visa"]["citation_verified"] is False
    assert any("found in no source" in page for page in answers["u_visa"]["found_in"])


async def test_an_answer_names_its_release_and_the_event_it_was_made_from_by_their_digests(
    eligibility: Eligibility, api: Api
) -> None:
    reported = await eligibility.report({})
    await eligibility.handle(reported)
    (published,) = await eligibility.published()
    stored = await eligibility.record(published)
    (subject,) = (await api.read(reported.encounter_id, as_="dss")).json()["subjects"]
    assert subject["law_digest"] == stored["law_digest"] == eligibility.law.digest
    assert subject["made_from"] == {
        "event": str(reported.id),
        "at": written(NOON),
        "facts_commitment": stored["facts_commitment"],
    }
    assert reported.commitment is not None
    assert stored["facts_commitment"] == reported.commitment.hex()


async def test_a_reason_says_which_event_told_the_fact_first_and_unchanged_since(
    eligibility: Eligibility, api: Api
) -> None:
    facts = {
        "age": {"birth_date": "1996-03-03", "verified_by": "document"},
        "circumstances": {"appears_victim": True, "facts": {"disabled_or_blind": False}},
    }
    eligibility.now = earlier = NOON - timedelta(minutes=30)
    first = await eligibility.report(facts | {"status": {"citizenship": "lpr"}})
    eligibility.now = NOON
    second = await eligibility.amend(first, facts | {"status": {"citizenship": "us_citizen"}})
    await eligibility.handle(first, second)
    (subject,) = (await api.read(first.encounter_id, as_="dss")).json()["subjects"]
    reasons = {
        (one["fact"], one["value"]): one["source"]
        for answer in subject["programs"]
        for one in answer["reasons"]
        if one["value"] is None or isinstance(one["value"], (bool, str))
    }
    told_first = {"how": "reported", "event": str(first.id), "at": written(earlier)}
    told_later = {"how": "reported", "event": str(second.id), "at": written(NOON)}
    assert reasons["disabled_or_blind", False] == told_first
    assert reasons["citizenship_status", "us_citizen"] == told_later
    assert reasons["hhs_certification_letter", False] == {"how": "derived", "event": None, "at": None}
    not_known = [source for (_, value), source in reasons.items() if value is None]
    assert not_known
    assert not any(not_known)


async def test_an_erased_person_is_not_read_any_more(eligibility: Eligibility, api: Api) -> None:
    encounter = uuid4()
    erased, other = [await eligibility.report({}, encounter=encounter) for _ in range(2)]
    await eligibility.handle(erased, other)
    assert len((await api.read(encounter, as_="dss")).json()["subjects"]) == 2
    await eligibility.erase(erased.subject_id)
    subjects = (await api.read(encounter, as_="dss")).json()["subjects"]
    assert [subject["subject_id"] for subject in subjects] == [str(other.subject_id)]


async def test_a_retracted_encounter_is_not_read_any_more(eligibility: Eligibility, api: Api) -> None:
    reported = await eligibility.report({})
    await eligibility.handle(reported, about(reported, EncounterRetracted(record_version=2, reason_code="error")))
    assert (await api.read(reported.encounter_id, as_="dss")).status_code == 404
