"""Programs: conditions by version, what each gives and asks for, and where it was found."""

from datetime import date
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from rulebook.conditions import Condition, Node
from rulebook.schema.parts import Cited, FactId, Id, Line, Lines, Period, follow_on

Kind = Literal[
    "benefit", "compensation", "contract_service", "immigration_relief", "protection", "service_grant", "status_letter"
]
Service = Literal[
    "case_management",
    "emergency_temporary_housing",
    "health_care",
    "mental_health_counseling",
    "substance_use_screening_treatment",
    "language_interpretation_translation",
    "english_language_instruction",
    "job_training",
    "placement_assistance",
]
"""The nine that s. 566.223 RSMo names; what else a program gives are its `tags`."""
TagName = Literal[
    "address_confidentiality",
    "cash",
    "child_care",
    "child_protection",
    "compensation",
    "education",
    "energy",
    "food",
    "forensic_exam",
    "immigration",
    "legal",
    "long_term_housing",
    "records_relief",
    "resource_referral",
    "status_letter",
    "telecom",
]
_TAGS: tuple[str, ...] = get_args(TagName)


def _known(tag: Any) -> Any:
    if tag in _TAGS:
        return tag
    near = get_close_matches(str(tag), _TAGS, n=1, cutoff=0)
    raise ValueError(f"there is no tag {tag}; write {near[0]}, or another of {', '.join(_TAGS)}")


Tag = Annotated[TagName, BeforeValidator(_known)]
"""What a program gives beside the nine services: a closed list, so that a search by tag misses none by its spelling."""
Cooperation = Literal[
    "expected",
    "not_required",
    "not_required_but_potential_witness",
    "not_required_to_start",
    "not_stated",
    "required_helpfulness",
    "required_unless_trauma",
    "required_unless_under_18_or_trauma",
]
"""With law enforcement, as the program asks for it."""


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
    kind: Kind
    services: tuple[Service, ...] = Field(strict=False)
    tags: tuple[Tag, ...] = Field(strict=False)
    gives: Line
    victim_status_min: Literal["none", "suspected", "presumed", "confirmed"]
    le_cooperation: Cooperation
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
