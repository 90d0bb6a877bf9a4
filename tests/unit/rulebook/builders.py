"""Builders of facts and of changed law releases, so that tests say only what they are about."""

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from contracts.facts import SubjectFacts
from rulebook.duties import Decision, DutyFacts, decide
from rulebook.loader import LAW, Law

ENCOUNTER = datetime.fromisoformat("2026-10-10T21:00:00-05:00")


def person(age: dict[str, Any] | None = None, county: str | None = "29095", **circumstances: Any) -> SubjectFacts:
    """A subject who appears a victim in Jackson County; `status` is a group of its own."""
    status = circumstances.pop("status", None)
    location = {"county_fips": county} if county else {}
    return SubjectFacts.model_validate(
        {
            "encounter": {"incident_number": "A-1", "location": location},
            "age": age or {},
            "circumstances": {"appears_victim": True} | circumstances,
            "status": status,
        }
    )


def decided(law: Law, subject: SubjectFacts, *, at: datetime = ENCOUNTER, **more: Any) -> dict[str, Decision]:
    facts = DutyFacts(
        subject=subject,
        encounter_at=at,
        discovered_at=more.pop("discovered_at", at),
        as_of=at,
        jurisdiction=more.pop("jurisdiction", "MO"),
        **more,
    )
    return {decision.duty_id: decision for decision in decide(facts, law)}


def release_copy(target: Path) -> Path:
    """A release that a test may change."""
    return Path(shutil.copytree(LAW, target / "law"))
