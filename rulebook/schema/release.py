"""The release as a whole: its version and people, jurisdictions, and choices of the operator."""

from datetime import date, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, StringConstraints, TypeAdapter, model_validator

from rulebook.conditions import Node
from rulebook.schema.parts import FactId, Id, Line, Lines

_DURATION = TypeAdapter(timedelta)
_LONGEST = timedelta(days=31)
"""What an operator lets pass is minutes, hours or days; what is longer would be silence."""


class Release(Node):
    """The law is released as a whole."""

    version: Annotated[str, StringConstraints(pattern=r"^\d{4}\.\d{1,2}\.\d+$")]
    in_force_from: date
    author: Line
    approver: Line
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Seal of what was approved; written by `firstnotice law archive`."""

    @model_validator(mode="after")
    def _two_people(self) -> "Release":
        author, approver = (" ".join(name.casefold().split()) for name in (self.author, self.approver))
        if author == approver:
            raise ValueError("approver must be another person than author")
        return self


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        raise ValueError(f"there is no time_zone {name}; write an IANA name such as America/Chicago") from None
    return name


class Jurisdiction(Node):
    name: Line
    within: Id | None = None
    """Whose duties apply as well: a state is within US."""
    state_fips: Annotated[str, StringConstraints(pattern=r"^\d{2}$")] | None = None
    time_zone: Annotated[Line, AfterValidator(_known_zone)]
    """IANA zone in which days are counted."""


class Jurisdictions(Node):
    jurisdictions: dict[Id, Jurisdiction]


class PolicyValue(Node):
    """A choice of the operator. Durations are written as ISO 8601 (PT1H)."""

    type: Literal["duration", "choice"]
    value: str
    choices: Lines = ()
    meaning: Line

    @model_validator(mode="after")
    def _typed(self) -> "PolicyValue":
        if self.type == "choice" and self.value not in self.choices:
            raise ValueError(f"value must be one of: {', '.join(self.choices)}")
        if self.type == "duration":
            try:
                fits = timedelta() < self.duration() <= _LONGEST
            except ValueError:
                fits = False
            if not fits:
                raise ValueError(f"value must be a duration of at most P{_LONGEST.days}D, such as PT1H")
        return self

    def duration(self) -> timedelta:
        return _DURATION.validate_python(self.value)


class PolicyFile(Node):
    version: Line
    values: dict[FactId, PolicyValue]
