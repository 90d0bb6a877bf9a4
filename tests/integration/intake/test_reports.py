"""Reports: what is accepted is durable and told, the same twice is stored once, and nothing is lost or mixed up."""

import asyncio
from uuid import UUID

from contracts.events import EncounterAmended, EncounterReported
from contracts.facts import FieldGroup
from tests.integration.intake.world import JOPLIN, World, a_report, a_subject, again, in_minutes, subject_ids


async def test_an_accepted_report_is_stored_with_one_event_per_subject(world: World) -> None:
    report = a_report(
        subjects=[a_subject(1), a_subject(2, age="unknown", narrative="seen")], discovered_at=in_minutes(-3)
    )
    answer = await world.report(report)
    assert answer.status_code == 202
    body = answer.json()
    assert answer.headers["location"] == f"/v1/encounters/{body['encounter_id']}"
    assert body["record_version"] == 1
    events = await world.events(body["encounter_id"])
    assert [type(event.data) for event in events] == [EncounterReported, EncounterReported]
    assert {event.subject_id for event in events} == set(subject_ids(body).values())
    assert {event.correlation_id for event in events} == {events[0].id}
    assert {event.causation_id for event in events} == {None}
    assert {event.agency for event in events} == {report["agency_ori"]}
    assert all(event.jurisdiction == "MO" and event.traceparent for event in events)
    facts = await world.facts(events[1])
    assert facts == {
        FieldGroup.ENCOUNTER: report["encounter"],
        FieldGroup.AGE: {},
        FieldGroup.CIRCUMSTANCES: {"appears_victim": True},
        FieldGroup.NARRATIVE: "seen",
    }


async def test_the_trace_of_the_request_goes_on_in_the_events(world: World) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await world.accepted(a_report(), headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    (event,) = await world.events(answer["encounter_id"])
    assert trace in str(event.traceparent)


async def test_a_report_without_county_time_of_discovery_or_age_is_accepted(world: World) -> None:
    report = a_report(subjects=[a_subject(1, age="unknown")])
    del report["encounter"]["location"], report["record_version"]
    answer = await world.accepted(report)
    (event,) = await world.events(answer["encounter_id"])
    assert isinstance(event.data, EncounterReported)
    assert event.data.discovered_at == event.data.encounter_at


async def test_the_same_report_again_gets_the_same_answer_and_stores_nothing(world: World) -> None:
    report = a_report()
    first = await world.report(report)
    before = await world.counts()
    second = await world.report(report)
    assert (second.status_code, second.json()) == (202, first.json())
    assert await world.counts() == before


async def test_the_same_moment_in_another_time_zone_is_the_same_content(world: World) -> None:
    report = a_report(encounter_at="2026-11-20T12:00:00Z")
    first = await world.accepted(report)
    assert await world.accepted(again(report, encounter_at="2026-11-20T06:00:00-06:00")) == first
    assert len(await world.events(first["encounter_id"])) == 1


async def test_the_same_key_with_the_same_content_gets_the_stored_answer(world: World) -> None:
    report = a_report()
    first = await world.report(report, key="k-same")
    await world.amend(
        first.json()["encounter_id"], {"record_version": 7, "subjects": [{"subject_number": 1, "narrative": "x"}]}
    )
    before = await world.counts()
    second = await world.report(report, key="k-same")
    assert second.content == first.content
    assert await world.counts() == before


async def test_the_same_key_with_other_content_is_a_conflict_and_stores_nothing(world: World) -> None:
    await world.accepted(a_report(), key="k-other")
    before = await world.counts()
    assert (await world.report(a_report(), key="k-other")).status_code == 409
    assert await world.counts() == before


async def test_a_key_that_came_with_a_known_record_is_taken_too(world: World) -> None:
    report = a_report()
    await world.accepted(report)
    await world.accepted(report, key="k-late")
    assert (await world.report(a_report(), key="k-late")).status_code == 409


async def test_keys_of_two_clients_do_not_meet(world: World) -> None:
    first = await world.accepted(a_report(), key="k-shared")
    second = await world.accepted(a_report(agency_ori=JOPLIN), key="k-shared", client="joplin")
    assert first["encounter_id"] != second["encounter_id"]


async def test_fifty_at_once_with_one_key_store_one_encounter(world: World) -> None:
    report = a_report()
    answers = await asyncio.gather(*(world.report(report, key="k-fifty") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len(await world.events(answers[0].json()["encounter_id"])) == 1


async def test_fifty_at_once_of_one_record_store_one_encounter(world: World) -> None:
    report = a_report()
    answers = await asyncio.gather(*(world.report(report) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["encounter_id"] for answer in answers}) == 1
    assert len(await world.events(answers[0].json()["encounter_id"])) == 1


async def test_a_hundred_different_reports_at_once_are_all_stored(world: World) -> None:
    reports = [a_report(subjects=[a_subject(1), a_subject(2)]) for _ in range(100)]
    answers = await asyncio.gather(*(world.report(report, key=f"k-many-{n}") for n, report in enumerate(reports)))
    assert {answer.status_code for answer in answers} == {202}
    stored = {row[0] for row in await world.rows("SELECT encounter_id FROM subject")}
    assert {UUID(answer.json()["encounter_id"]) for answer in answers} <= stored


async def test_of_a_batch_the_bad_ones_fail_alone(world: World) -> None:
    """A conflict, a repetition and new reports that wait at the same moment."""
    known = a_report()
    first = await world.accepted(known, key="k-batch")
    answers = await asyncio.gather(
        world.report(a_report()),
        world.report(a_report(), key="k-batch"),
        world.report(known),
        world.report(a_report()),
    )
    assert [answer.status_code for answer in answers] == [202, 409, 202, 202]
    assert answers[2].json() == first


async def test_a_newer_version_with_other_content_amends(world: World) -> None:
    report = a_report(subjects=[a_subject(1, identity={"given_name": "Ada"})])
    first = await world.accepted(report)
    newer = again(report, record_version=2, subjects=[a_subject(1, age={"years": 17})])
    second = await world.accepted(newer)
    assert second["encounter_id"] == first["encounter_id"]
    assert second["record_version"] == 2
    reported, amended = await world.events(first["encounter_id"])
    assert isinstance(amended.data, EncounterAmended)
    assert amended.data.changed_groups == ("age",)
    assert (amended.causation_id, amended.correlation_id) == (reported.id, reported.correlation_id)
    facts = await world.facts(amended)
    assert facts[FieldGroup.AGE] == {"years": 17}
    assert facts[FieldGroup.IDENTITY] == {"given_name": "Ada"}, "a group that is left out stays"


async def test_the_same_version_with_other_content_says_to_raise_it(world: World) -> None:
    report = a_report()
    first = await world.accepted(report)
    before = await world.counts()
    answer = await world.report(again(report, subjects=[a_subject(1, age={"years": 17})]))
    assert answer.status_code == 409
    assert "raise record_version" in answer.json()["detail"]
    assert answer.json()["errors"][0]["pointer"] == "/subjects/0"
    assert await world.counts() == before
    assert len(await world.events(first["encounter_id"])) == 1


async def test_an_older_version_is_answered_with_the_current_state_and_stores_nothing(world: World) -> None:
    report = a_report(record_version=5)
    first = await world.accepted(report)
    before = await world.counts()
    late = await world.accepted(again(report, record_version=4, subjects=[a_subject(1, age={"years": 12})]))
    assert late == first
    assert await world.counts() == before


async def test_a_late_version_does_not_undo_what_was_said_again_under_a_newer_one(world: World) -> None:
    report = a_report()
    first = await world.accepted(report)
    await world.accepted(again(report, record_version=3))
    await world.accepted(again(report, record_version=2, subjects=[a_subject(1, age={"years": 12})]))
    assert len(await world.events(first["encounter_id"])) == 1


async def test_a_report_exported_again_after_an_amendment_is_known_and_undoes_nothing(world: World) -> None:
    report = a_report()
    first = await world.accepted(report)
    await world.amend(first["encounter_id"], {"subjects": [{"subject_number": 1, "age": {"years": 15}}]})
    before = await world.counts()
    await world.accepted(report)
    assert await world.counts() == before


async def test_a_report_of_a_known_incident_adds_its_subjects(world: World) -> None:
    report = a_report()
    first = await world.accepted(report)
    second = await world.accepted(again(report, subjects=[a_subject(2)]))
    assert second["encounter_id"] == first["encounter_id"]
    assert list(subject_ids(second)) == [2]
    one, two = await world.events(first["encounter_id"])
    assert isinstance(two.data, EncounterReported)
    assert two.data.subject_number == 2
    assert two.correlation_id == one.correlation_id


async def test_subjects_of_one_incident_have_versions_of_their_own(world: World) -> None:
    report = a_report()
    first = await world.accepted(report)
    await world.accepted(again(report, record_version=4, subjects=[a_subject(1, age={"years": 15})]))
    await world.accepted(again(report, record_version=1, subjects=[a_subject(2)]))
    await world.accepted(again(report, record_version=2, subjects=[a_subject(2, age={"years": 9})]))
    *_, last = await world.events(first["encounter_id"])
    assert isinstance(last.data, EncounterAmended)
    assert (await world.facts(last))[FieldGroup.AGE] == {"years": 9}


async def test_new_facts_of_the_encounter_are_told_for_every_subject(world: World) -> None:
    report = a_report(subjects=[a_subject(1), a_subject(2)])
    first = await world.accepted(report)
    moved = again(report, record_version=2, subjects=[a_subject(1)])
    moved["encounter"]["location"] = {"county_fips": "29097"}
    await world.accepted(moved)
    amended = (await world.events(first["encounter_id"]))[2:]
    assert {event.subject_id for event in amended} == set(subject_ids(first).values())
    for event in amended:
        assert (await world.facts(event))[FieldGroup.ENCOUNTER]["location"] == {"county_fips": "29097"}


async def test_incidents_of_two_agencies_with_one_number_are_two(world: World) -> None:
    report = a_report()
    first = await world.accepted(report)
    second = await world.accepted(again(report, agency_ori=JOPLIN), client="joplin")
    assert first["encounter_id"] != second["encounter_id"]


async def test_a_token_changes_something_once(world: World) -> None:
    """Whoever caught a request can only repeat it, and gets what was answered."""
    report = a_report()
    first = await world.accepted(report)
    path = f"/v1/encounters/{first['encounter_id']}/amendments"
    patch = b'{"subjects": [{"subject_number": 1, "narrative": "first"}]}'
    token = world.token("POST", path, patch)
    answer = await world.send("POST", path, patch, token=token)
    await world.amend(first["encounter_id"], {"subjects": [{"subject_number": 1, "narrative": "second"}]})
    replay = await world.send("POST", path, patch, token=token, key="another")
    assert replay.content == answer.content
    *_, last = await world.events(first["encounter_id"])
    assert (await world.facts(last))[FieldGroup.NARRATIVE] == "second"
    (found,) = await world.rows(
        "SELECT count(DISTINCT token_id) FROM request WHERE encounter_id = $1", first["encounter_id"]
    )
    assert found == (3,)
