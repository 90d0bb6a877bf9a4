"""What is stored about a person opens with the person's key only, and the key can be deleted."""

import io
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from kernel.database import Database
from kernel.subject_keys import SubjectKeys
from tests.integration.intake.world import World, a_report, a_subject, subject_ids


def canaries() -> dict[str, str]:
    names = (
        "incident reporting_unit officer place_address city given family alias phone address narrative indicator"
        " offense kind place_type amended late"
    )
    made = {name: f"cnry{name.replace('_', '')}x9q" for name in names.split()}
    return made | {"protocol": "tvit-short"}  # one that the law holds


def forms(token: str) -> Iterator[bytes]:
    """What a token may look like in a dump."""
    raw = token.encode()
    for content in (raw, token.encode("utf-16-le")):
        yield content
        yield content.hex().encode()
        for offset in range(3):
            encoded = b64encode(b"\0" * offset + content)
            yield encoded[-(-offset * 4 // 3) + (1 if offset else 0) : -4]


async def dump(dsn: str) -> bytes:
    """Every row of every table, as a backup would hold it: in text, with bytea in hexadecimal and as it is."""
    connection = await asyncpg.connect(dsn)
    content = io.BytesIO()
    try:
        tables = await connection.fetch(
            "SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
            " WHERE nspname IN ('intake', 'keys', 'bus') AND relkind = 'r'"
        )
        assert len(tables) > 10
        for schema, table in tables:
            await connection.copy_from_table(table, schema_name=schema, output=content, format="text")
            await connection.copy_from_table(table, schema_name=schema, output=content, format="binary")
    finally:
        await connection.close()
    return content.getvalue()


def full_report(token: dict[str, str]) -> dict[str, Any]:
    return a_report(
        encounter={
            "incident_number": token["incident"],
            "kind": token["kind"],
            "reporting_unit": token["reporting_unit"],
            "officer_ref": token["officer"],
            "location": {
                "county_fips": "29095",
                "address": token["place_address"],
                "city": token["city"],
                "place_type": token["place_type"],
            },
        },
        subjects=[
            a_subject(
                1,
                age={"birth_date": "1971-07-17", "verified_by": "document"},
                circumstances={
                    "appears_victim": True,
                    "trafficking": {"indicators": [token["indicator"]], "offense_codes": [token["offense"]]},
                    "screening": [{"protocol_id": token["protocol"], "protocol_version": "1", "outcome": "clear"}],
                },
                status={"citizenship": "vawa_self_petitioner"},
                identity={
                    "given_name": token["given"],
                    "family_name": token["family"],
                    "aliases": [token["alias"]],
                    "phone": token["phone"],
                    "address": token["address"],
                },
                narrative=token["narrative"],
            )
        ],
    )


async def test_no_table_log_or_answer_holds_anything_about_a_person(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    token = canaries()
    report = full_report(token)
    answers = [await world.report(report, key=token["incident"])]
    encounter = answers[0].json()["encounter_id"]
    patch = {"subjects": [{"subject_number": 1, "narrative": token["amended"]}]}
    answers.append(await world.amend(encounter, patch))
    answers.append(
        await world.amend(encounter, {"subjects": [a_subject(2, narrative=token["late"], age={"x": token["late"]})]})
    )
    answers.append(await world.report({**report, "agency_ori": token["kind"]}))
    answers.append(await world.read(encounter))
    assert [answer.status_code for answer in answers] == [202, 202, 422, 422, 200]
    said = capsys.readouterr()
    metrics = await world.http.get("/metrics")
    seen = b"".join([await dump(world.dsn), *(answer.content for answer in answers), metrics.content])
    seen += (said.out + said.err).encode()
    leaks = [name for name, value in token.items() for form in forms(value) if form in seen]
    leaks += [value for value in ("1971-07-17", "vawa_self_petitioner") for form in forms(value) if form in seen]
    assert leaks == []


async def test_a_leak_would_be_found(world: World) -> None:
    """The search itself is worth something: what is planted, in three ways, is found."""
    token = "cnryplantedx9q"
    for planted in (token.encode(), token.encode("utf-16-le"), b64encode(b"ab" + token.encode())):
        await world.rows("CREATE TABLE IF NOT EXISTS planted (content bytea)")
        await world.rows("INSERT INTO planted VALUES ($1)", planted)
        found = await dump(world.dsn)
        await world.rows("DROP TABLE planted")
        assert any(form in found for form in forms(token))


async def test_the_stored_facts_open_for_the_event_that_they_were_sealed_for(world: World) -> None:
    answer = await world.accepted(a_report())
    (event,) = await world.events(answer["encounter_id"])
    (row,) = await world.rows(
        "SELECT event_id, digest FROM subject WHERE encounter_id = $1", UUID(answer["encounter_id"])
    )
    assert row[0] == event.id
    assert row[1] not in (event.commitment, b"")


async def test_an_erased_subject_takes_no_amendment_and_others_do(world: World) -> None:
    answer = await world.accepted(a_report(subjects=[a_subject(1), a_subject(2)]))
    encounter, erased = answer["encounter_id"], subject_ids(answer)[1]
    database = Database(world.dsn, schema="intake", role="fn_intake", pool_size=1)
    async with database.transaction() as tx:
        await SubjectKeys(world.keyset, service="intake", clock=world.clock).erase(tx, erased)
    await database.close()
    patch = {"narrative": "more"}
    assert (await world.amend(encounter, {"subjects": [{"subject_number": 1, **patch}]})).status_code == 410
    assert (await world.amend(encounter, {"subjects": [{"subject_number": 2, **patch}]})).status_code == 202
    assert (await world.amend(encounter, {"encounter": {"reporting_unit": "u"}})).status_code == 202
    assert erased not in {event.subject_id for event in (await world.events(encounter))[2:]}
