"""Programs: conditions by version, what each gives and asks for, and where it was found."""

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from rulebook.conditions import Condition, Node
from rulebook.schema.parts import Cited, FactId, Id, Line, Lines, Period, follow_on


class Dispute(Node):
    """Two readings of a version that are before a court: both are answered."""

    issue: Line
    case: Line
    other_reading: Id
    """A block of law/blocks.yaml that stands in for the version's `when`."""


class ProgramVersion(Node):
    effective: Period
    cite: Cited
    when: Condition
    dispute: Dispute | None = None
    supply: tuple[FactId, ...] = Field(default=(), strict=False)
    """Facts about the service rather than the person, reported apart."""
    known_from: date | None = None
    note: Line | None = None


class NextStep(Node):
    agency: Line | None = None
    dss: Line | None = None


class Program(Node):
    id: Id
    name: Line
    jurisdiction: Id
    level: Literal["federal", "state", "federal_state"]
    agency: Line
    kind: Id
    services: tuple[Id, ...] = Field(strict=False)
    tags: tuple[Id, ...] = Field(strict=False)
    gives: Line
    victim_status_min: Literal["none", "suspected", "presumed", "confirmed"]
    le_cooperation: Id
    version_key: FactId | None = None
    """A date fact that chooses the version instead of the evaluation date."""
    versions: tuple[ProgramVersion, ...] = Field(strict=False, min_length=1)
    time_limits: Line | None = None
    documents: Lines
    next_step: NextStep
    common_unknowns: tuple[FactId, ...] = Field(strict=False)
    sources: Lines
    confidence: Literal["high", "medium", "low"]

    @model_validator(mode="after")
    def _continuous(self) -> "Program":
        follow_on([version.effective for version in self.versions])
        return self


class SourcesFile(Node):
    sources: dict[Id, Line]
    """Pages in which encoded rules were found, by the key that programs use."""


class ProgramsFile(Node):
    programs: tuple[Program, ...] = Field(strict=False)
