"""GET /v1/encounters/{encounter_id}/obligations: every duty's decision with its reasons, open tasks among them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from kernel.database import Database
from kernel.http.gate import require
from kernel.identity import Caller
from rulebook import knowledge
from services.router.application.reading import OpenedObligation, OpenedSubject, Reading, Standing

SCOPE = "encounters:read"


class Late(BaseModel):
    """How late it was done, or is by now. Legal clocks and targets start at discovery, not at the report."""

    seconds: int
    against: Literal["law", "policy"]
    """`law`: the legal clock ran out; `policy`: later than the operator wants."""


class NextQuestion(BaseModel):
    """The one question to ask next for this duty. What was refused is not asked again, immigration status last."""

    fact: str
    """Id in the law's fact catalogue."""
    question: str
    could_settle: int
    """How many of the person's reviews the answer could settle alone."""


class Contradiction(BaseModel):
    """Facts that were told and exclude each other. An amendment that corrects one of them settles it; nothing that is
    told besides does."""

    fact: str
    """Id in the law's fact catalogue: what is not known because of it."""
    between: list[str]
    """The facts of which one is wrong. One of them may be `fact` itself."""


class Gaps(BaseModel):
    """What would settle a review: sets of facts that are missing, by their ids, the smallest first.

    They hold by what was reported last and by the law in force, by which the next amendment is decided.
    """

    to_settle: list[list[str]]
    """Any one of these sets could settle it, to due or to not due."""
    to_qualify: list[list[str]]
    """Any one of these sets could make it due."""
    needed: list[str]
    """Without these it never becomes due."""
    standings: dict[str, knowledge.Standing]
    """What is known of each fact in a set; one that was refused is not to be asked for again."""
    next_question: NextQuestion | None
    county_missing: bool
    """Nobody can be told before the county of the encounter is known."""
    contradictions: list[Contradiction] = []
    """Those that leave it open, or one of its flags."""
    law_version: str
    policy_version: str


class ObligationView(BaseModel):
    """One duty, as decided last."""

    obligation_id: UUID
    duty_id: str
    outcome: Literal["due", "not_due", "review"]
    because: list[str]
    """What the outcome stands on, such as `adult` or `county_unresolved`."""
    flags: list[str] = []
    reasons: list[str] = []
    """The comparisons with what was reported that decided."""
    state: Standing
    """`told`: confirmed by the recipient's system; `done`: acknowledged as the duty demands, or done by a person."""
    channel: Literal["electronic", "task"] = "electronic"
    """A task is done by a person: tell us with `POST /v1/encounters/{encounter_id}/tasks`."""
    owed_by: str = "reporting_agency"
    owner: str
    """Who has to act while it is open or for review."""
    recipient_role: str
    recipient_id: str | None = None
    clock: str
    due_at: datetime | None = None
    target_at: datetime | None = None
    review_at: datetime | None = None
    told_at: datetime | None
    done_at: datetime | None
    fulfilled_with: str | None
    """The duty whose notice, to the same recipient and on the same law, fulfils this one too."""
    reference: str | None
    """Of the task, such as the number of the hotline call."""
    late_by: Late | None
    gaps: Gaps | None
    """What would settle a review. Null for all else, and for a review that the law in force would not leave."""
    contradicted: list[str] = []
    """Contradicted facts on which the decision rests: without the contradiction it might be another. An amendment that
    corrects what was told settles it."""
    decided_by: Literal["rule", "timer", "human"] = "rule"
    decided_at: datetime
    revision: int
    citations: list[str] = []
    citation_verified: bool | None
    """False if the citation was not seen in the text that is in force: verify it before it is relied on. As the release
    says by which the duty was decided; null if that one is not at hand."""
    law_version: str | None
    policy_version: str | None


class SubjectObligations(BaseModel):
    subject_number: int
    subject_id: UUID
    discovered_at: datetime
    obligations: list[ObligationView]


class Obligations(BaseModel):
    encounter_id: UUID
    subjects: list[SubjectObligations]


def obligations_router(database: Database, reading: Reading) -> APIRouter:
    routes = APIRouter(prefix="/v1/encounters", tags=["obligations"])

    @routes.get("/{encounter_id}/obligations")
    async def obligations(encounter_id: UUID, caller: Annotated[Caller, Depends(require(SCOPE))]) -> Obligations:
        """Every duty about every person of an encounter that this agency reported: due, for review, or why not due.

        With each that is for review comes what would settle it, and the one question to ask next.

        404 for everybody else, and while nothing has been decided yet. Persons who were erased are left out.
        """
        async with database.transaction() as tx:
            opened = await reading.of_encounter(tx, encounter_id, caller)
        return Obligations(encounter_id=encounter_id, subjects=[_subject(one) for one in opened])

    return routes


def _subject(opened: OpenedSubject) -> SubjectObligations:
    return SubjectObligations(
        subject_number=opened.subject_number,
        subject_id=opened.subject_id,
        discovered_at=opened.discovered_at,
        obligations=[_view(one) for one in opened.obligations],
    )


def _view(opened: OpenedObligation) -> ObligationView:
    late = opened.late
    return ObligationView.model_validate(
        {
            **opened.record,
            "because": opened.record["basis"],
            "obligation_id": opened.obligation_id,
            "duty_id": opened.duty_id,
            "state": opened.state,
            "told_at": opened.told_at,
            "done_at": opened.done_at,
            "fulfilled_with": opened.fulfilled_with,
            "reference": opened.reference,
            "gaps": opened.gaps.to_json() if opened.gaps is not None else None,
            "citation_verified": opened.citation_verified,
            "late_by": late if late is None else Late(seconds=int(late.by.total_seconds()), against=late.against),
            "decided_at": opened.decided_at,
            "law_version": opened.law_version,
            "policy_version": opened.policy_version,
        }
    )
