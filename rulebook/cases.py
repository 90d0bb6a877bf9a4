"""A person whom a release of the law is tried on: what was reported, and when."""

from dataclasses import dataclass
from datetime import datetime

from contracts.facts import SubjectFacts


@dataclass(frozen=True, slots=True)
class Case:
    """One person. `label` says where it was read, and nothing about the person; times are aware."""

    label: str
    facts: SubjectFacts
    encounter_at: datetime
    discovered_at: datetime
