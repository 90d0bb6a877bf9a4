"""GET /v1/encounters/{encounter_id}/determinations."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from kernel.database import Database
from kernel.http.gate import require
from kernel.identity import Caller
from services.eligibility.api.answers import Answers, present
from services.eligibility.application.reading import OpenedDetermination, Reading

SCOPE = "determinations:read"


class MadeFrom(BaseModel):
    """The encounter event whose facts were evaluated."""

    event: UUID
    at: datetime = Field(description="When it was accepted.")
    facts_commitment: str = Field(
        description="The event's salted commitment to those facts, in hex: the trail holds the same one."
    )


class SubjectDetermination(Answers):
    subject_id: UUID
    determination_id: UUID
    made_at: datetime
    made_from: MadeFrom


class Determinations(BaseModel):
    encounter_id: UUID
    subjects: list[SubjectDetermination]


def router(database: Database, reading: Reading) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["determinations"])

    @routes.get("/encounters/{encounter_id}/determinations")
    async def read_determinations(
        encounter_id: UUID, caller: Annotated[Caller, Depends(require(SCOPE))]
    ) -> Determinations:
        """The latest answers for every person of an encounter: for whom the state's social services are responsible.

        404 for everybody else, and while the encounter has not been evaluated yet.
        """
        async with database.transaction() as tx:
            opened = await reading.of_encounter(tx, encounter_id, caller)
        return Determinations(encounter_id=encounter_id, subjects=[_told(one) for one in opened])

    return routes


def _told(opened: OpenedDetermination) -> SubjectDetermination:
    return SubjectDetermination.model_validate(
        {
            **present(opened.determination, opened.law),
            "subject_id": opened.subject_id,
            "determination_id": opened.evaluation.determination_id,
            "made_at": opened.evaluation.made_at,
            "made_from": MadeFrom(
                event=opened.facts.event_id,
                at=opened.facts.accepted_at,
                facts_commitment=opened.facts.sealed.commitment.hex(),
            ),
        }
    )
