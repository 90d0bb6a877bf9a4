"""The fact catalog, what follows from facts, and conditions that several entries share."""

from typing import Literal

from pydantic import Field, model_validator

from rulebook.conditions import Condition, Node, Scalar
from rulebook.schema.parts import Cited, FactId, Id, Line, Lines

FactType = Literal["bool", "int", "decimal", "date", "enum"]
FactGroup = Literal["age", "encounter", "circumstances", "status", "supply", "record"]


class FactSpec(Node):
    """One entry of the fact catalogue.

    `group` is the sealed group that holds it; `supply` is about services rather than the person, `record` about the
    record itself. `from` is the field of the report that holds it; facts without it travel in the group's `facts` map.
    """

    type: FactType
    group: FactGroup
    sensitivity: Literal["low", "personal", "high"]
    question: Line
    from_: Line | None = Field(default=None, alias="from")
    computed: bool = False
    """Set by `rulebook.person`, never reported."""
    ask: FactId | None = None
    """The fact to ask for instead, where this one follows from it."""
    values: Lines = ()
    ordered: bool = False
    """The values of the enumeration are listed from least to most."""
    note: Line | None = None

    @model_validator(mode="after")
    def _enumeration(self) -> "FactSpec":
        if (self.type == "enum") != bool(self.values):
            raise ValueError("an enum lists its values, any other type has none")
        return self


class OneOf(Node):
    one_of: Cited


class Derivation(Node):
    """Adds a fact when the condition is certainly true; never overwrites a recorded one. Applied in order."""

    when: Condition
    then: dict[FactId, OneOf | Scalar]
    cite: Lines = ()
    presumption: bool = False
    """Not known but presumed: answers that stand on it are reported apart from those that do not."""


class FactsFile(Node):
    facts: dict[FactId, FactSpec]
    derivations: tuple[Derivation, ...] = Field(default=(), strict=False)


class BlocksFile(Node):
    blocks: dict[Id, Condition]
