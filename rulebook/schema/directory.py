"""The directory: who fills a role, where and when; and what a role may be told."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from contracts.codes import CountyFips
from rulebook.conditions import Node
from rulebook.schema.parts import Cited, Id, Line, Lines, Period


class UnitTable(Node):
    """A CSV beside the directory file: one row per county; optional columns effective_from and effective_until."""

    file: Line
    unit: Line
    county: Line


class CountyList(Node):
    """A CSV beside the directory file that names every county of a jurisdiction, so that none can be forgotten."""

    file: Line
    county: Line
    name: Line
    cite: Cited


class CountyOverride(Node):
    county: CountyFips
    recipient: Id
    effective: Period


class RecipientSpec(Node):
    """Who fills a role. With `by_unit`, the recipient depends on the county of the encounter."""

    role: Id
    jurisdiction: Id
    name: Line
    recipient: Annotated[str, StringConstraints(pattern=r"^[a-z0-9\-]+(\{unit\})?$")]
    by_unit: Id | None = None
    delivery: Literal["electronic", "task"] = "electronic"
    """A task: nobody who could take a message, such as a hotline or the victim; a person tells them."""
    effective: Period
    overrides: tuple[CountyOverride, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _unit(self) -> "RecipientSpec":
        if (self.by_unit is not None) != self.recipient.endswith("{unit}"):
            raise ValueError("recipient ends in {unit} exactly when by_unit names a table")
        if self.overrides and self.by_unit is None:
            raise ValueError("only a role that goes by_unit has overrides; remove them, or name a table")
        return self


class DirectoryFile(Node):
    units: dict[Id, UnitTable] = Field(default_factory=dict)
    counties: dict[Id, CountyList] = Field(default_factory=dict)
    """By jurisdiction."""
    recipients: tuple[RecipientSpec, ...] = Field(strict=False)


class DisclosurePolicy(Node):
    """Exactly what a role is told. A field that is not named is not sent."""

    role: Id
    purpose: Id
    redisclosure: Id
    cite: Cited
    fields: Cited
    flags: Lines = ()


class Withhold(Node):
    """Fields that nobody gets while a reported field is true."""

    when_true: Line
    fields: Cited
    cite: Cited


class DisclosureFile(Node):
    texts: dict[Id, Line] = Field(default_factory=dict)
    withhold: tuple[Withhold, ...] = Field(default=(), strict=False)
    policies: dict[Id, DisclosurePolicy] = Field(default_factory=dict)
