"""`GET /v1/encounters/{id}/lineage` and `GET /v1/trail`."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from contracts.envelope import Event
from contracts.events import RecordRead
from kernel.clock import Clock, Ids
from kernel.database import Database
from kernel.errors import NotFound
from kernel.events.outbox import Outbox
from kernel.http.gate import require
from kernel.identity import Caller
from services.audit.application.ports import Trail
from services.audit.domain.lineage import Step, lineage_of
from services.audit.domain.timing import Timing, timings_of

Reader = Annotated[Caller, Depends(require("trail:read"))]


class LineageStep(BaseModel):
    """One event. `depth` counts the causes between it and the report; `data` says nothing about a person."""

    index: int
    depth: int
    event_id: UUID
    type: str
    time: datetime
    source: str
    sequence: int
    subject_id: UUID | None = None
    causation_id: UUID | None = None
    law_version: str | None = None
    policy_version: str | None = None
    commitment: str | None = None
    data: dict[str, Any]


class LateAnswer(BaseModel):
    """`law`: the legal clock ran out first; `policy`: later than the operator wants."""

    seconds: int
    against: Literal["law", "policy"]


class ObligationTiming(BaseModel):
    """One duty that a notice fulfils, and how late it was or is by now. Clocks start at discovery."""

    subject_id: UUID
    obligation_id: UUID
    duty_id: str
    outcome: str
    discovered_at: datetime | None
    due_at: datetime | None
    target_at: datetime | None
    told_at: datetime | None
    acknowledged_at: datetime | None
    late_by: LateAnswer | None


class LineageAnswer(BaseModel):
    """Report, decisions, notices, attempts, acknowledgements and determinations, causes before effects."""

    encounter_id: UUID
    steps: list[LineageStep]
    obligations: list[ObligationTiming]
    missing_parents: list[UUID]


class SourceAnswer(BaseModel):
    source: str
    received: int
    missing: int


class TrailAnswer(BaseModel):
    """Size of the trail, and per source how many events came and how many are known to be missing."""

    size: int
    conflicts: int
    sources: list[SourceAnswer]


def router(database: Database, outbox: Outbox, trail: Trail, *, clock: Clock, ids: Ids) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["trail"])

    @routes.get("/encounters/{encounter_id}/lineage")
    async def lineage(encounter_id: UUID, caller: Reader) -> LineageAnswer:
        """The history of one encounter in causal order. Reading it is an event too."""
        async with database.transaction() as tx:
            steps = await trail.history(tx, encounter_id)
            if not _may_read(caller, steps):
                raise NotFound("there is no such encounter in the trail, or it is not yours to read")
            await outbox.append(tx, [_read(encounter_id, caller, steps[0])])
        ordered = lineage_of(steps)
        return LineageAnswer(
            encounter_id=encounter_id,
            steps=[LineageStep(index=step.index, depth=depth, **_shown(step)) for step, depth in ordered.steps],
            obligations=[_timing(one) for one in timings_of(steps, clock())],
            missing_parents=list(ordered.missing_parents),
        )

    @routes.get("/trail")
    async def trail_state(caller: Reader) -> TrailAnswer:
        """How much the trail holds of each source; for auditors, not for agencies."""
        if caller.kind == "agency":
            raise NotFound("only auditors may read this")
        async with database.transaction() as tx:
            state = await trail.state(tx)
        return TrailAnswer(
            size=state.size,
            conflicts=state.conflicts,
            sources=[
                SourceAnswer(source=one.source, received=one.received, missing=one.missing) for one in state.sources
            ],
        )

    def _read(encounter_id: UUID, caller: Caller, first: Step) -> Event:
        event_id = ids()
        return Event(
            id=event_id,
            time=clock(),
            source=outbox.source,
            data=RecordRead(object_kind="lineage", object_id=encounter_id, reader=caller.client_id),
            key=encounter_id,
            encounter_id=encounter_id,
            agency=first.told.get("agency"),
            jurisdiction=first.told["jurisdiction"],
            correlation_id=event_id,
        )

    return routes


def _may_read(caller: Caller, steps: list[Step]) -> bool:
    if not steps:
        return False
    return caller.kind in ("auditor", "operator") or steps[0].told.get("agency") in caller.agencies


def _timing(timing: Timing) -> ObligationTiming:
    one, late = timing.obligation, timing.late
    return ObligationTiming(
        subject_id=UUID(timing.subject_id),
        obligation_id=one.obligation_id,
        duty_id=one.duty_id,
        outcome=one.outcome,
        discovered_at=timing.discovered_at,
        due_at=one.due_at,
        target_at=one.target_at,
        told_at=timing.told_at,
        acknowledged_at=timing.acknowledged_at,
        late_by=None if late is None else LateAnswer(seconds=int(late.by.total_seconds()), against=late.against),
    )


def _shown(step: Step) -> dict[str, Any]:
    return {"event_id": step.event_id} | {
        name: step.told[name]
        for name in LineageStep.model_fields
        if name in step.told and name not in ("index", "depth", "event_id")
    }
