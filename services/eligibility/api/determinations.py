"""GET /v1/encounters/{encounter_id}/determinations."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from kernel.database import Database
from kernel.http.gate import require
from kernel.identity import Caller
from rulebook.loader import Law
from services.eligibility.application.reading import OpenedDetermination, Reading

SCOPE = "determinations:read"


class MissingFact(BaseModel):
    fact: str = Field(description="Id in the law's fact catalogue.")
    question: str | None = Field(description="What to ask; null when the catalogue no longer holds the fact.")


class Reason(BaseModel):
    """A comparison that decided the answer. Its operator is the name of one more member, which holds the threshold."""

    model_config = ConfigDict(extra="allow")

    fact: str
    value: Any = Field(description="What was known of the fact on that day; null if nothing.")
    holds: bool | None = Field(description="Null when it is not known.")


class ProgramAnswer(BaseModel):
    program: str
    name: str | None = None
    outcome: str = Field(description="eligible, potentially_eligible or not_eligible.")
    supply: str = Field(description="Whether the service is there, apart from the person's own eligibility.")
    reasons: list[Reason]
    missing: list[MissingFact]
    citations: list[str]
    services: list[str]
    documents: list[str]
    next_step: dict[str, str]
    version_from: date | None = Field(description="First day of the version of the rule that was applied.")
    confidence: str
    note: str | None = None


class SubjectDetermination(BaseModel):
    subject_id: UUID
    determination_id: UUID
    as_of: date = Field(description="The day, in the jurisdiction, for which the answers hold.")
    made_at: datetime
    law_version: str
    next_change_on: date | None = Field(description="First later day on which an answer may change by itself.")
    not_answered: dict[str, str] = Field(description="Facts that were asked for: `unknown` or `refused`.")
    programs: list[ProgramAnswer]


class Determinations(BaseModel):
    encounter_id: UUID
    subjects: list[SubjectDetermination]


def router(database: Database, reading: Reading, law: Law) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["determinations"])
    present = _presenter(law)

    @routes.get("/encounters/{encounter_id}/determinations")
    async def read_determinations(
        encounter_id: UUID, caller: Annotated[Caller, Depends(require(SCOPE))]
    ) -> Determinations:
        """The latest answers for every person of an encounter: for whom the state's social services are responsible.

        404 for everybody else, and while the encounter has not been evaluated yet.
        """
        async with database.transaction() as tx:
            opened = await reading.of_encounter(tx, encounter_id, caller)
        return Determinations(encounter_id=encounter_id, subjects=[present(one) for one in opened])

    return routes


def _presenter(law: Law) -> Callable[[OpenedDetermination], SubjectDetermination]:
    """Adds to what was determined the words of today's law: names of programs, and the questions to ask."""
    names = {program.spec.id: program.spec.name for program in law.programs}

    def question(fact: str) -> MissingFact:
        spec = law.facts.get(fact)
        return MissingFact(fact=fact, question=spec.question if spec else None)

    def present(opened: OpenedDetermination) -> SubjectDetermination:
        content = opened.content
        return SubjectDetermination.model_validate(
            {
                "subject_id": opened.subject_id,
                "determination_id": opened.evaluation.determination_id,
                "as_of": content["as_of"],
                "made_at": opened.evaluation.made_at,
                "law_version": content["law_version"],
                "next_change_on": content["next_change_on"],
                "not_answered": content["not_answered"],
                "programs": [
                    answer
                    | {
                        "name": names.get(answer["program"]),
                        "missing": [question(fact) for fact in answer["missing"]],
                    }
                    for answer in content["programs"]
                ],
            }
        )

    return present
