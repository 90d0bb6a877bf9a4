"""The routes of intake. A 202 leaves only after the commit."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Response
from pydantic import BaseModel

from contracts.facts import EncounterReport
from kernel.clock import Clock, Ids
from kernel.database import Database
from kernel.http.gate import require
from kernel.identity import Caller
from kernel.telemetry import current_traceparent, hop
from services.intake.api.direct import LONGEST_KEY, DirectRoute
from services.intake.application import states
from services.intake.application.accept import Report
from services.intake.application.amend import Amendment
from services.intake.application.batcher import Batcher
from services.intake.application.intake import Answer, Intake, Known
from services.intake.application.states import EncounterState, States
from services.intake.application.tasks import Task
from services.intake.edge import Edge

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=LONGEST_KEY,
        description="Any text of your own, new for each change: the same content under it is stored once and answered "
        "the same; other content is a 409.",
    ),
]
Writer = Annotated[Caller, Depends(require("encounters:write"))]
Reader = Annotated[Caller, Depends(require("encounters:read"))]


class AcceptedSubject(BaseModel):
    subject_number: int
    subject_id: UUID


class Accepted(BaseModel):
    """What was taken is durable, and everyone whom the law names will be told."""

    encounter_id: UUID
    accepted_at: datetime
    record_version: int
    subjects: list[AcceptedSubject]


class CompletedTask(BaseModel):
    """What was noted. Which duty it was is not repeated."""

    encounter_id: UUID
    subject_number: int
    subject_id: UUID
    completed_at: datetime


def router(
    intake: Intake,
    writer: Batcher[Report, Answer | Known],
    edge: Edge,
    database: Database,
    views: States,
    *,
    clock: Clock,
    ids: Ids,
) -> APIRouter:
    """Intake's routes on these parts."""
    routes = APIRouter(prefix="/v1/encounters", tags=["encounters"])

    async def report(report: EncounterReport, caller: Writer, idempotency_key: IdempotencyKey = None) -> Response:
        """Report a first encounter. Thin is valid: what is not known yet comes by amendment.

        The same record again is answered as before; with a newer `record_version` and other content it amends.
        """
        began = clock().timestamp()
        checked = intake.check(report, caller, idempotency_key, current_traceparent())
        outcome = await writer.submit(checked)
        if isinstance(outcome, Known):
            outcome = await edge.commit(lambda tx: intake.report_again(tx, checked))
        hop("intake", "accept", began)
        return _accepted(outcome)

    routes.add_api_route(
        "", report, methods=["POST"], status_code=202, response_model=Accepted, route_class_override=DirectRoute
    )

    @routes.post("/{encounter_id}/amendments", status_code=202, response_model=Accepted)
    async def amend(
        encounter_id: UUID, amendment: Amendment, caller: Writer, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Add to or correct what was reported. Each given group is a JSON merge patch (RFC 7396): null takes away."""
        trace = current_traceparent()
        answer = await edge.commit(
            lambda tx: intake.amend(tx, caller, encounter_id, amendment, key=idempotency_key, traceparent=trace)
        )
        return _accepted(answer)

    @routes.post("/{encounter_id}/tasks", status_code=202, response_model=CompletedTask)
    async def complete(
        encounter_id: UUID, task: Task, caller: Writer, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """A person did what a duty asks: the oral hotline report, the written statement. The same again is one."""
        trace = current_traceparent()
        answer = await edge.commit(
            lambda tx: intake.complete(tx, caller, encounter_id, task, key=idempotency_key, traceparent=trace)
        )
        return _accepted(answer)

    @routes.get("/{encounter_id}")
    async def read(encounter_id: UUID, caller: Reader) -> EncounterState:
        """Who has to be told of an encounter, and how far that is. Says nothing about persons.

        Tasks and reasons tell about persons: the router's `GET /v1/encounters/{encounter_id}/obligations` has them.
        """
        async with database.transaction() as tx:
            return await states.read(tx, views, caller, encounter_id, clock=clock, ids=ids, trace=current_traceparent())

    return routes


def _accepted(answer: Answer) -> Response:
    location = f"/v1/encounters/{answer.encounter_id}"
    return Response(answer.body, 202, {"location": location}, "application/json")
