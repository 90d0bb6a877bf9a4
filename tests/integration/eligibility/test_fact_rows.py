"""What a re-run reads of a person's facts in one piece is what was reported, under whichever fact catalogue."""

from collections.abc import Mapping
from datetime import date
from decimal import Overflow
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from kernel.database import Database
from kernel.sealing import Sealed
from kernel.subject_keys import SubjectKeys
from rulebook.loader import Law, load_law
from rulebook.release import archive
from rulebook.rows import RowFormat
from services.eligibility.application.rows import FactRows
from tests.integration.eligibility.builders import Eligibility
from tests.integration.eligibility.releases import GAINS, STAYS, applied_before, apply, changes, ids, people

_MORE = """  keeps_a_diary:
    type: bool
    group: circumstances
    sensitivity: personal
    question: "Is there a diary?"
"""
_ROWS = "SELECT subject_id, facts_id, fact_row FROM subject ORDER BY subject_id"


@pytest.fixture
def longer(wider: Law, folder: Path) -> Law:
    """`wider` with one more fact in its catalogue."""
    for file, old, new in [
        ("facts.yaml", "facts:\n", f"facts:\n{_MORE}"),
        ("release.yaml", wider.version, "2026.12.1"),
    ]:
        text = (folder / file).read_text("utf-8")
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1), "utf-8")
    archive(folder)
    return load_law(folder)


ODD = GAINS | {"age": GAINS["age"] | {"birth_date": "1996-03-04"}}


async def readable(eligibility: Eligibility, law: Law) -> list[bool]:
    """Of each person, whether there is a row that this release reads."""
    keys = SubjectKeys(eligibility.keyset, service="eligibility", clock=lambda: eligibility.now)
    found = []
    for subject, facts_id, stored in await eligibility.rows(_ROWS):
        async with eligibility.database.transaction() as tx:
            key = (await keys.of_subjects(tx, [subject]))[subject]
        row = FactRows(law).opened(Sealed.decode(stored), key, facts_id) if stored else None
        found.append(row is not None)
    return found


async def stored(eligibility: Eligibility) -> dict[UUID, bytes | None]:
    return {subject: row for subject, _, row in await eligibility.rows(_ROWS)}


async def test_each_report_and_amendment_makes_the_row_and_a_rerun_leaves_it(
    eligibility: Eligibility, wider: Law
) -> None:
    await applied_before(eligibility)
    (first,) = await people(eligibility, 1, STAYS)
    before = await stored(eligibility)
    await eligibility.handle(await eligibility.amend(first, GAINS))
    amended = await stored(eligibility)
    assert amended != before
    assert (await apply(eligibility, wider)).changed == 1
    assert await stored(eligibility) == amended
    assert await readable(eligibility, wider) == [True]


async def test_under_another_fact_catalogue_rows_are_made_anew_and_nobody_is_missed(
    eligibility: Eligibility, longer: Law
) -> None:
    await applied_before(eligibility)
    gaining, _ = await people(eligibility, 3, GAINS), await people(eligibility, 4, STAYS)
    assert await readable(eligibility, longer) == [False] * 7
    assert (await apply(eligibility, longer)).changed == 3
    assert ids(await changes(eligibility)) == ids(gaining)
    assert await readable(eligibility, longer) == [True] * 7


async def test_a_row_that_does_not_open_or_is_not_there_is_made_from_what_was_reported(
    eligibility: Eligibility, wider: Law
) -> None:
    await applied_before(eligibility)
    gaining, _ = await people(eligibility, 2, GAINS), await people(eligibility, 2, STAYS)
    async with eligibility.database.transaction() as tx:
        await tx.driver.execute("UPDATE subject SET fact_row = NULL WHERE subject_id = $1", gaining[0].subject_id)
        await tx.driver.execute(
            "UPDATE subject SET fact_row = overlay(fact_row placing '\\x0000'::bytea from length(fact_row) - 40)"
            " WHERE subject_id <> $1",
            gaining[0].subject_id,
        )
    done = await apply(eligibility, wider)
    assert (done.changed, done.failed) == (2, 0)
    assert ids(await changes(eligibility)) == ids(gaining)
    assert await readable(eligibility, wider) == [True] * 4


async def test_facts_of_which_no_row_can_be_made_stop_nobody_elses(
    eligibility: Eligibility, wider: Law, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = RowFormat.row

    def unless_odd(form: RowFormat, groups: Mapping[str, Any], encounter_on: date) -> bytes:
        if groups["age"]["birth_date"] == ODD["age"]["birth_date"]:
            raise Overflow
        return made(form, groups, encounter_on)

    monkeypatch.setattr(RowFormat, "row", unless_odd)
    await applied_before(eligibility)
    gaining = [await eligibility.report(facts) for facts in (ODD, GAINS)]
    await eligibility.handle(*gaining)
    assert sorted(await readable(eligibility, wider)) == [False, True]
    done = await apply(eligibility, wider)
    assert (done.changed, done.failed) == (2, 0)
    assert ids(await changes(eligibility)) == ids(gaining)


async def test_without_the_grant_for_one_of_its_parts_there_is_no_row(eligibility: Eligibility, wider: Law) -> None:
    revoked = "DELETE FROM keys.service_grant WHERE service = 'eligibility' AND field_group = 'status'"
    owner = Database(eligibility.dsn, schema="keys", pool_size=1)
    async with owner.transaction() as tx:
        await tx.driver.execute(revoked)
    await owner.close()
    await applied_before(eligibility)
    await people(eligibility, 2, GAINS)
    assert list((await stored(eligibility)).values()) == [None, None]
    assert (await apply(eligibility, wider)).finished
    assert list((await stored(eligibility)).values()) == [None, None]
