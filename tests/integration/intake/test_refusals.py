"""What is refused: clearly, with nothing stored, and without a word of what was sent."""

from typing import Any

import httpx
import pytest

from tests.integration.intake.world import JOPLIN, World, a_report, a_subject, in_minutes

CANARY = "canary-7f3a"


def with_subject(**groups: Any) -> dict[str, Any]:
    return a_report(subjects=[a_subject(1, **groups)])


def with_facts(group: str, facts: dict[str, Any]) -> dict[str, Any]:
    base = {"appears_victim": True} if group == "circumstances" else {}
    return with_subject(**{group: {**base, "facts": facts}})


def with_screening(**members: str) -> dict[str, Any]:
    result = {"protocol_id": "qyit", "protocol_version": "1", "outcome": "possible"} | members
    return with_subject(circumstances={"appears_victim": True, "screening": [result]})


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "malformed agency code": (a_report(agency_ori=CANARY), "/agency_ori"),
    "malformed county": (
        a_report(encounter={"incident_number": "1", "location": {"county_fips": CANARY}}),
        "/encounter/location/county_fips",
    ),
    "malformed incident number": (a_report(encounter={"incident_number": CANARY + "\n"}), "/encounter/incident_number"),
    "unknown member": (a_report(nonsense=CANARY), "/nonsense"),
    "no subjects": (a_report(subjects=[]), "/subjects"),
    "one subject number twice": (a_report(subjects=[a_subject(1), a_subject(1, narrative=CANARY)]), ""),
    "time without zone": (a_report(encounter_at="2026-11-20T12:00:00"), "/encounter_at"),
    "encounter in the future": (a_report(encounter_at="2199-01-01T00:00:00Z"), "/encounter_at"),
    "encounter before all records": (a_report(encounter_at="0001-01-01T00:00:00+14:00"), "/encounter_at"),
    "discovery in the future": (a_report(discovered_at="2199-01-01T00:00:00Z"), "/discovered_at"),
    "birth in the future": (with_subject(age={"birth_date": "2199-01-01"}), "/subjects/0/age/birth_date"),
    "conduct in the future": (
        with_subject(circumstances={"appears_victim": True, "custody": {"conduct_alleged_on": "2199-01-01"}}),
        "/subjects/0/circumstances/custody/conduct_alleged_on",
    ),
    "screening in the future": (
        with_subject(
            circumstances={
                "appears_victim": True,
                "screening": [
                    {
                        "protocol_id": "tvit-short",
                        "protocol_version": "1",
                        "outcome": "clear",
                        "administered_at": "2199-01-01T00:00:00Z",
                    }
                ],
            }
        ),
        "/subjects/0/circumstances/screening/0/administered_at",
    ),
    "incoherent age": (with_subject(age={"estimated_min": 20, "estimated_max": 10}), "/subjects/0/age"),
    "no such code": (with_subject(identity={"sex": CANARY}), "/subjects/0/identity/sex"),
    "no such fact": (
        with_facts("circumstances", {"no_such/fact": CANARY}),
        "/subjects/0/circumstances/facts/no_such~1fact",
    ),
    "fact of another type": (
        with_facts("circumstances", {"homeless_or_fleeing": CANARY}),
        "/subjects/0/circumstances/facts/homeless_or_fleeing",
    ),
    "fact of a number too large": (
        with_facts("circumstances", {"household_size": 10**30}),
        "/subjects/0/circumstances/facts/household_size",
    ),
    "fact of a decimal too large": (
        with_facts("circumstances", {"household_income_pct_ami": "1e400"}),
        "/subjects/0/circumstances/facts/household_income_pct_ami",
    ),
    "range of a number too large": (
        with_facts("circumstances", {"household_size": f"1..{10**30}"}),
        "/subjects/0/circumstances/facts/household_size",
    ),
    "fact in the future": (
        with_facts("status", {"hhs_letter_date": "2199-01-01"}),
        "/subjects/0/status/facts/hhs_letter_date",
    ),
    "fact at the end of the calendar": (
        with_facts("circumstances", {"crime_or_discovery_date": "9999-12-31"}),
        "/subjects/0/circumstances/facts/crime_or_discovery_date",
    ),
    "unknown screening protocol": (
        with_screening(protocol_id=CANARY),
        "/subjects/0/circumstances/screening/0/protocol_id",
    ),
    "unknown version of a screening protocol": (
        with_screening(protocol_version=CANARY),
        "/subjects/0/circumstances/screening/0/protocol_version",
    ),
    "outcome that a screening protocol does not have": (
        with_screening(outcome="clear"),
        "/subjects/0/circumstances/screening/0/outcome",
    ),
    "status fact under circumstances": (
        with_facts("circumstances", {"citizenship_verified": True}),
        "/subjects/0/circumstances/facts/citizenship_verified",
    ),
    "other fact under status": (
        with_facts("status", {"homeless_or_fleeing": True}),
        "/subjects/0/status/facts/homeless_or_fleeing",
    ),
    "computed fact": (with_facts("circumstances", {"is_minor": True}), "/subjects/0/circumstances/facts/is_minor"),
}


@pytest.mark.parametrize("case", INVALID)
async def test_an_invalid_report_names_the_member_and_echoes_nothing(
    world: World, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    body, pointer = INVALID[case]
    before = await world.counts()
    answer = await world.report(body, key=f"invalid-{case}")
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert CANARY not in answer.text
    assert "2199" not in answer.text
    said = capsys.readouterr()
    assert CANARY not in said.out + said.err
    assert await world.counts() == before


@pytest.mark.parametrize("member", ["agency_ori", "encounter_at", "encounter", "subjects"])
async def test_a_missing_member_is_named(world: World, member: str) -> None:
    body = a_report()
    del body[member]
    answer = await world.report(body)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": f"/{member}", "detail": "is required"}]


@pytest.mark.parametrize("member", ["subject_number", "age", "circumstances"])
async def test_a_missing_member_of_a_subject_is_named(world: World, member: str) -> None:
    subject = a_subject(1)
    del subject[member]
    answer = await world.report(a_report(subjects=[subject]))
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": f"/subjects/0/{member}", "detail": "is required"}]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"agency_ori": "canary-7f3a', 400),
        (b'{"agency_ori": "canary-7f3a", "agency_ori": "canary-7f3a"}', 400),
        (b'{"agency_ori": "\xff canary-7f3a"}', 400),
        (b'["canary-7f3a"]', 422),
        (b'"canary-7f3a"', 422),
        (b"[" * 30_000 + b"]" * 30_000, 400),
    ],
    ids=["syntax", "member twice", "encoding", "array", "text", "deep"],
)
async def test_a_body_that_is_no_report_is_refused(world: World, body: bytes, status: int) -> None:
    before = await world.counts()
    answer = await world.report(body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert CANARY not in answer.text
    assert await world.counts() == before


async def test_a_body_over_the_limit_is_refused(world: World) -> None:
    """In process: over a socket the connection may be closed before a client that still sends reads the answer."""
    before = await world.counts()
    body = b'{"agency_ori": "' + CANARY.encode() * 10_000 + b'"}'
    headers = {
        "authorization": "Bearer " + world.token("POST", "/v1/encounters", body),
        "content-type": "application/json",
    }
    transport = httpx.ASGITransport(world.service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://intake") as http:
        answer = await http.post("/v1/encounters", content=body, headers=headers)
    assert answer.status_code == 413
    assert CANARY not in answer.text
    assert await world.counts() == before


async def test_a_deeply_nested_amendment_is_refused(world: World) -> None:
    encounter = (await world.accepted(a_report()))["encounter_id"]
    nested = b'{"encounter": ' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}"
    assert (await world.amend(encounter, nested)).status_code in (400, 422)


async def test_clocks_that_run_a_little_ahead_are_forgiven(world: World) -> None:
    await world.accepted(a_report(encounter_at=in_minutes(4), discovered_at=in_minutes(4)))


async def test_an_idempotency_key_has_a_limit(world: World) -> None:
    answer = await world.report(a_report(), key="k" * 256)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "header/idempotency-key")


async def test_a_token_of_nobody_or_for_another_body_is_refused(world: World) -> None:
    before = await world.counts()
    other_body = world.token("POST", "/v1/encounters", b"{}")
    other_client = world.token("POST", "/v1/encounters", b"{}", "joplin").rsplit(".", 1)[0] + ".AAAA"
    for token in (other_body, other_client, "nonsense"):
        answer = await world.report(a_report(), token=token)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert await world.counts() == before


async def test_a_token_may_report_for_its_own_agency_only(world: World) -> None:
    before = await world.counts()
    assert (await world.report(a_report(agency_ori=JOPLIN))).status_code == 403
    assert await world.counts() == before


async def test_a_token_without_the_scope_may_not_report(world: World) -> None:
    before = await world.counts()
    assert (await world.report(a_report(), client="reader")).status_code == 403
    assert await world.counts() == before
