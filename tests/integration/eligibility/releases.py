"""A release of the law that gives some persons another answer, and everybody evaluated under it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from contracts.envelope import Event
from contracts.events import DeterminationChanged
from rulebook.loader import Law
from rulebook.release import archive
from services.eligibility.adapters.reruns import PostgresReruns
from services.eligibility.adapters.store import PostgresStore
from services.eligibility.application.rerunning import Progress, Rerunning
from services.eligibility.rerun import rerun
from tests.integration.eligibility.builders import Eligibility
from tests.unit.rulebook.builders import release_copy

FOOD = "programs/food_cash_energy_child_care.yaml"


def income(monthly_cents: int) -> dict[str, Any]:
    known: dict[str, Any] = {"countable_resources_cents": 10_000}
    known |= {"household_size": 1, "household_income_monthly_cents": monthly_cents}
    return {
        "age": {"birth_date": "1996-03-03", "verified_by": "document"},
        "circumstances": {"appears_victim": True, "facts": known},
        "status": {"citizenship": "us_citizen", "citizenship_verified": True},
    }


GAINS, STAYS = income(186_200), income(159_600)
"""Under `wider` the first one may get food assistance; nothing changes for the second one."""


def wider_release(target: Path, law: Law) -> Path:
    """A folder with a release that has a higher income limit, and a longer time limit."""
    made = release_copy(target)
    for file, old, new in [
        (FOOD, "percent: 130,", "percent: 150,"),
        (FOOD, "time_limits: ABAWD 3 months in 36 without", "time_limits: ABAWD 6 months in 36 without"),
        ("release.yaml", f'"{law.version}"', '"2026.12.0"'),
    ]:
        text = (made / file).read_text("utf-8")
        assert old in text
        (made / file).write_text(text.replace(old, new), "utf-8")
    archive(made)
    return made


async def people(eligibility: Eligibility, count: int, facts: dict[str, Any]) -> list[Event]:
    events = [await eligibility.report(facts) for _ in range(count)]
    await eligibility.handle(*events)
    return events


def rerunning(eligibility: Eligibility, law: Law) -> Rerunning:
    eligibility.law = law
    return Rerunning(law, PostgresStore(), PostgresReruns(), eligibility.matching(), lambda: eligibility.now)


async def apply(eligibility: Eligibility, law: Law) -> Progress:
    """Evaluates everybody under this release."""
    told: list[Progress] = []
    await rerun(eligibility.database, rerunning(eligibility, law), asyncio.Event(), told.append)
    return told[-1]


async def applied_before(eligibility: Eligibility) -> None:
    """The release under which the service started first."""
    async with eligibility.database.transaction() as tx:
        await rerunning(eligibility, eligibility.law).begin(tx)


async def changes(eligibility: Eligibility) -> list[Event]:
    return [event for event in await eligibility.published() if isinstance(event.data, DeterminationChanged)]


def ids(events: Sequence[Event]) -> set[UUID | None]:
    return {event.subject_id for event in events}
