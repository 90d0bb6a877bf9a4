"""Amendments: what is given is merged, everything else stays, and events of one subject follow each other."""

import asyncio
from typing import Any
from uuid import uuid4

from contracts.events import EncounterAmended, EncounterReported
from contracts.facts import FieldGroup
from tests.integration.intake.world import World, a_report, a_subject, in_minutes


async def an_encounter(world: World, **groups: Any) -> str:
    answer = await world.accepted(a_report(subjects=[a_subject(1, **groups)]))
    return str(answer["encounter_id"])


async def last_facts(world: World, encounter: str) -> dict[FieldGroup, Any]:
    *_, last = await world.events(encounter)
    return await world.facts(last)


async def test_given_members_replace_null_takes_away_and_the_rest_stays(world: World) -> None:
    encounter = await an_encounter(
        world, age={"years": 16, "apparent_minor": True}, identity={"given_name": "A", "phone": "1"}, narrative="n"
    )
    patch = {"age": {"years": 15, "verified_by": "document", "apparent_minor": None}, "identity": {"phone": "2"}}
    answer = await world.amend(encounter, {"record_version": 2, "subjects": [{"subject_number": 1, **patch}]})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/encounters/{encounter}"
    assert answer.json()["record_version"] == 2
    reported, amended = await world.events(encounter)
    assert isinstance(amended.data, EncounterAmended)
    assert amended.data.changed_groups == ("identity", "age")
    assert (amended.causation_id, amended.correlation_id) == (reported.id, reported.correlation_id)
    facts = await world.facts(amended)
    assert facts[FieldGroup.AGE] == {"years": 15, "verified_by": "document"}
    assert facts[FieldGroup.IDENTITY] == {"given_name": "A", "phone": "2"}
    assert facts[FieldGroup.NARRATIVE] == "n"


async def test_a_group_can_be_taken_away_but_not_age_or_circumstances(world: World) -> None:
    encounter = await an_encounter(world, status={"citizenship": "unknown"})
    assert (await world.amend(encounter, {"subjects": [{"subject_number": 1, "status": None}]})).status_code == 202
    assert FieldGroup.STATUS not in await last_facts(world, encounter)
    for group in ("age", "circumstances"):
        answer = await world.amend(encounter, {"subjects": [{"subject_number": 1, group: None}]})
        assert (answer.status_code, answer.json()["errors"]) == (
            422,
            [{"pointer": f"/subjects/0/{group}", "detail": "is required"}],
        )


async def test_an_age_can_become_unknown_again(world: World) -> None:
    encounter = await an_encounter(world)
    await world.amend(encounter, {"subjects": [{"subject_number": 1, "age": "unknown"}]})
    assert (await last_facts(world, encounter))[FieldGroup.AGE] == {}


async def test_a_new_subject_number_adds_a_subject_who_needs_age_and_circumstances(world: World) -> None:
    encounter = await an_encounter(world)
    answer = await world.amend(encounter, {"subjects": [{"subject_number": 2, "narrative": "another"}]})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/subjects/0/age", "/subjects/0/circumstances"]
    answer = await world.amend(encounter, {"subjects": [a_subject(2)]})
    assert [one["subject_number"] for one in answer.json()["subjects"]] == [1, 2]
    first, second = await world.events(encounter)
    assert isinstance(second.data, EncounterReported)
    assert second.correlation_id == first.correlation_id
    facts = await world.facts(second)
    assert facts[FieldGroup.ENCOUNTER] == (await world.facts(first))[FieldGroup.ENCOUNTER]


async def test_what_is_true_of_the_encounter_is_amended_for_every_subject(world: World) -> None:
    answer = await world.accepted(a_report(subjects=[a_subject(1), a_subject(2)]))
    encounter = answer["encounter_id"]
    moment = in_minutes(-1)
    await world.amend(encounter, {"encounter": {"location": {"city": "Raytown"}}, "discovered_at": moment})
    events = (await world.events(encounter))[2:]
    assert len(events) == 2
    for event in events:
        assert isinstance(event.data, EncounterAmended)
        assert event.data.discovered_at.isoformat() == moment
        assert event.data.changed_groups == ("encounter",)
        assert (await world.facts(event))[FieldGroup.ENCOUNTER]["location"] == {
            "county_fips": "29095",
            "city": "Raytown",
        }


async def test_a_moment_of_discovery_can_be_taken_away(world: World) -> None:
    answer = await world.accepted(a_report(discovered_at="2026-11-20T12:30:00Z"))
    await world.amend(answer["encounter_id"], {"discovered_at": None})
    *_, last = await world.events(answer["encounter_id"])
    assert isinstance(last.data, EncounterAmended)
    assert (last.data.discovered_at, last.data.changed_groups) == (last.data.encounter_at, ())


async def test_the_result_is_checked_as_a_whole(world: World) -> None:
    encounter = await an_encounter(world, age={"years": 16, "verified_by": "document"})
    answer = await world.amend(encounter, {"subjects": [{"subject_number": 1, "age": {"years": None}}]})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"pointer": "/subjects/0/age", "detail": "verified_by needs birth_date or years"}
    ]
    assert len(await world.events(encounter)) == 1


async def test_every_wrong_member_is_named_with_its_place_in_the_amendment(world: World) -> None:
    encounter = await an_encounter(world)
    answer = await world.amend(
        encounter,
        {
            "discovered_at": in_minutes(60),
            "encounter": {"location": {"county_fips": "x-canary"}, "nonsense": 1},
            "subjects": [
                a_subject(2, circumstances={"appears_victim": True, "facts": {"no_such_fact": 1}}),
                {"subject_number": 1, "age": {"years": "x-canary"}, "identity": {"sex": "x-canary"}},
                {"subject_number": 3, "age": {}, "circumstances": {"appears_victim": True, "screening": [{}]}},
            ],
        },
    )
    assert answer.status_code == 422
    assert "x-canary" not in answer.text
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "/discovered_at",
        "/encounter/location/county_fips",
        "/encounter/nonsense",
        "/subjects/0/circumstances/facts/no_such_fact",
        "/subjects/1/age/years",
        "/subjects/1/identity/sex",
        "/subjects/2/circumstances/screening/0/protocol_id",
        "/subjects/2/circumstances/screening/0/protocol_version",
        "/subjects/2/circumstances/screening/0/outcome",
    }


async def test_the_incident_number_names_the_record_and_stays(world: World) -> None:
    encounter = await an_encounter(world)
    for number in ("26-other", None):
        answer = await world.amend(encounter, {"encounter": {"incident_number": number}})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/encounter/incident_number")


async def test_a_record_version_must_grow_and_the_same_amendment_again_is_no_conflict(world: World) -> None:
    encounter = await an_encounter(world)
    patch = {"record_version": 3, "subjects": [{"subject_number": 1, "narrative": "three"}]}
    assert (await world.amend(encounter, patch)).status_code == 202
    assert (await world.amend(encounter, patch)).status_code == 202, "the answer was lost and it is sent again"
    for version in (3, 2):
        patch = {"record_version": version, "subjects": [{"subject_number": 1, "narrative": "other"}]}
        assert (await world.amend(encounter, patch)).status_code == 409
    assert len(await world.events(encounter)) == 2


async def test_an_amendment_that_changes_nothing_tells_nobody(world: World) -> None:
    encounter = await an_encounter(world, narrative="n")
    for patch in ({}, {"subjects": [{"subject_number": 1, "narrative": "n"}]}):
        assert (await world.amend(encounter, patch)).status_code == 202
    assert len(await world.events(encounter)) == 1


async def test_the_same_key_is_one_amendment_and_other_content_a_conflict(world: World) -> None:
    encounter = await an_encounter(world)
    patch = {"subjects": [{"subject_number": 1, "narrative": "once"}]}
    answers = await asyncio.gather(*(world.amend(encounter, patch, key="a-once") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len(await world.events(encounter)) == 2
    assert (await world.amend(encounter, {"subjects": []}, key="a-once")).status_code == 409
    other = await an_encounter(world)
    assert (await world.amend(other, patch, key="a-once")).status_code == 409


async def test_amendments_at_once_lose_nothing_and_follow_each_other(world: World) -> None:
    encounter = await an_encounter(world)
    aliases = [f"alias {number}" for number in range(12)]
    members = ("given_name", "family_name", "phone", "address")
    patches = [{"identity": {members[n % 4]: alias}} for n, alias in enumerate(aliases)]
    answers = await asyncio.gather(
        *(world.amend(encounter, {"subjects": [{"subject_number": 1, **patch}]}) for patch in patches)
    )
    assert {answer.status_code for answer in answers} == {202}
    events = await world.events(encounter)
    assert [event.causation_id for event in events[1:]] == [event.id for event in events[:-1]]
    assert set((await last_facts(world, encounter))[FieldGroup.IDENTITY]) == set(members)


async def test_another_agencys_encounter_is_not_there(world: World) -> None:
    encounter = await an_encounter(world)
    patch = {"subjects": [{"subject_number": 1, "narrative": "mine now"}]}
    foreign = await world.amend(encounter, patch, client="joplin")
    unknown = await world.amend(str(uuid4()), patch, client="joplin")
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json()["detail"] == unknown.json()["detail"]
    assert len(await world.events(encounter)) == 1
