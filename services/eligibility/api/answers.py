"""How a determination is told over HTTP: the same for one that is stored and for one that is not."""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from rulebook.loader import Law
from rulebook.programs import Determination
from rulebook.remarks import remarks


class MissingFact(BaseModel):
    fact: str = Field(description="Id in the law's fact catalogue.")
    question: str = Field(description="What to ask.")


class Source(BaseModel):
    """Where a fact comes from."""

    how: Literal["reported", "derived"] = Field(description="Derived: worked out from facts that were reported.")
    event: UUID | None = Field(None, description="Encounter event that told it first, and unchanged ever since.")
    at: datetime | None = Field(None, description="When that event was accepted.")


class Reason(BaseModel):
    """A comparison that decided the answer. Its operator is the name of one more member, which holds the threshold."""

    model_config = ConfigDict(extra="allow")

    fact: str
    value: Any = Field(description="What was known of the fact on that day; null if nothing.")
    holds: bool | None = Field(description="Null when it is not known.")
    source: Source | None = Field(None, description="Null for a screening, and for what is not known.")


class Gaps(BaseModel):
    """Sets of facts by their ids, the smallest first."""

    to_settle: list[list[str]]
    to_qualify: list[list[str]]
    needed: list[str] = Field(description="Without these the answer never becomes yes.")


class Presumed(BaseModel):
    presuming: list[str]
    outcome: str


class Disputed(BaseModel):
    issue: str
    case: str
    as_applied: str
    other_reading: str


class Contradiction(BaseModel):
    fact: str = Field(description="What is not known, because facts that were told exclude each other.")
    between: list[str] = Field(
        description="The facts that were told of which one is wrong; `fact` itself may be one. Correcting it settles "
        "this; telling another fact does not."
    )


class ProgramAnswer(BaseModel):
    program: str
    name: str
    outcome: str = Field(description="eligible, potentially_eligible, not_eligible or disputed.")
    supply: str = Field(description="Whether the service is there, apart from the person's own eligibility.")
    reasons: list[Reason]
    missing: list[MissingFact]
    citations: list[str]
    services: list[str]
    documents: list[str]
    next_step: dict[str, str]
    version_from: date | None = Field(description="First day of the version of the rule that was applied.")
    version_notes: list[str] = Field(
        description="The law's notes on the version that was applied; while it is not known which, on all of them."
    )
    time_limits: str | None = Field(
        description="In words, such as the months for which help may be had. The answer takes them into account only "
        "where a reason says so."
    )
    citation_verified: bool = Field(
        description="False if any part of the rule stands on general knowledge and was seen in no source: verify it "
        "before it is relied on."
    )
    found_in: list[str] = Field(description="Pages in which the rule was found. The citations are the authority.")
    confidence: str
    note: str | None = None
    gaps: Gaps | None = Field(None, description="Of an open answer: which few of the missing facts could settle it.")
    would_change: list[list[str]] = Field(
        [], description="Of a no: known facts that, were they otherwise, could change it."
    )
    presumed: Presumed | None = Field(None, description="What a presumption of the law would make of it.")
    disputed: Disputed | None = Field(None, description="Both readings, where a court has yet to choose.")
    contradicted: list[str] = Field(
        [], description="Contradicted facts that leave it open, see `contradictions`: only a correction settles these."
    )


class Answers(BaseModel):
    """All programs for one person on one day."""

    as_of: date = Field(description="The day, in the jurisdiction, for which the answers hold.")
    law_version: str
    law_digest: str = Field(description="SHA-256, in hex, of the whole content of the release that was applied.")
    next_change_on: date | None = Field(description="First later day on which an answer may change by itself.")
    not_answered: dict[str, str] = Field(description="Facts that were asked for: `unknown` or `refused`.")
    contradictions: list[Contradiction] = Field(
        [], description="All of the person, whether or not an answer rests on them."
    )
    programs: list[ProgramAnswer]


def present(determination: Determination, law: Law) -> dict[str, Any]:
    """The members of `Answers`, with remarks and questions in the words of `law`: the release of the determination."""
    specs = {program.spec.id: program.spec for program in law.programs}
    content = determination.to_json()
    programs = [
        told
        | remarks(answer, specs[answer.program_id], law).to_json()
        | {"missing": [{"fact": fact, "question": law.facts[fact].question} for fact in answer.missing]}
        for answer, told in zip(determination.programs, content["programs"], strict=True)
    ]
    return {**content, "programs": programs}
