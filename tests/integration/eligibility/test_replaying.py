"""A stored determination is worked out again to the same bytes, until its subject is erased."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.events import SubjectErased
from kernel.errors import NotFound
from kernel.errors import SubjectErased as Erased
from kernel.subject_keys import SubjectKeys
from rulebook.errors import LawError
from rulebook.release import load_release
from rulebook.releases import Releases
from services.eligibility.adapters.store import PostgresStore
from services.eligibility.application.replaying import Replayed, Replaying
from tests.integration.eligibility.builders import Eligibility, about
from tests.support.messaging import NOON

TURNS_18: dict[str, Any] = {"age": {"birth_date": "2008-12-16", "verified_by": "document"}}
BIRTHDAY = datetime(2026, 12, 16, 15, 0, tzinfo=UTC)


async def replay(eligibility: Eligibility, determination: UUID) -> Replayed:
    keys = SubjectKeys(eligibility.keyset, service="eligibility", clock=lambda: eligibility.now)
    async with eligibility.database.transaction() as tx:
        return await Replaying(Releases(eligibility.law, None), PostgresStore(), keys).replay(tx, determination)


async def test_what_events_and_the_calendar_caused_gives_the_same_bytes_again(eligibility: Eligibility) -> None:
    first = await eligibility.report(TURNS_18)
    await eligibility.handle(first, await eligibility.amend(first, TURNS_18 | {"status": {"citizenship": "lpr"}}))
    assert await eligibility.look_again(BIRTHDAY) == 1
    rows = await eligibility.rows("SELECT determination_id FROM determination")
    assert len(rows) == 3
    for (determination,) in rows:
        assert (await replay(eligibility, determination)).same


async def test_bytes_that_differ_are_said_to(eligibility: Eligibility) -> None:
    reported = await eligibility.report(TURNS_18)
    await eligibility.handle(reported)
    async with eligibility.database.transaction() as tx:
        await tx.driver.execute("UPDATE determination SET as_of = as_of - interval '9 years'")
    (event,) = await eligibility.published()
    assert not (await replay(eligibility, event.id)).same


async def test_the_archived_release_is_the_one_that_answers_were_given_under(eligibility: Eligibility) -> None:
    assert load_release(eligibility.law.version).digest == eligibility.law.digest


async def test_a_release_that_is_not_archived_is_refused_and_nothing_stands_in(eligibility: Eligibility) -> None:
    reported = await eligibility.report(TURNS_18)
    await eligibility.handle(reported)
    async with eligibility.database.transaction() as tx:
        await tx.driver.execute("UPDATE determination SET law_digest = 'another'")
    (event,) = await eligibility.published()
    with pytest.raises(LawError):
        await replay(eligibility, event.id)


async def test_an_erased_subject_cannot_be_worked_out_again(eligibility: Eligibility) -> None:
    reported = await eligibility.report(TURNS_18)
    await eligibility.handle(reported)
    (event,) = await eligibility.published()
    await eligibility.erase(reported.subject_id)
    with pytest.raises(Erased):
        await replay(eligibility, event.id)
    await eligibility.handle(about(reported, SubjectErased(erased_at=NOON)))
    for gone in (event.id, uuid4()):
        with pytest.raises(NotFound):
            await replay(eligibility, gone)
