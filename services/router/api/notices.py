"""A recipient's own notices: their state, and its answers to them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

from contracts.events import AcknowledgementStatus, NoticeKind
from kernel.database import Database
from kernel.errors import NotFound
from kernel.http.gate import require
from kernel.identity import Caller
from services.router.application.acknowledging import Acknowledging, Answer
from services.router.application.ports import NoticeState

SCOPE = "notices:acknowledge"


class Acknowledgement(BaseModel):
    """A business answer, separate from the HTTP 2xx that confirmed receipt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: AcknowledgementStatus
    """`received`: it is in the right hands; `accepted` or `rejected`: whether the recipient acts on it; `done`."""
    case_number: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """The recipient's own; stored sealed."""
    comment: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    """Stored sealed."""
    at: AwareDatetime | None = None
    """When the recipient decided; without it, now. A future time counts as now."""


class GivenAnswer(BaseModel):
    status: AcknowledgementStatus
    at: AwareDatetime


class NoticeView(BaseModel):
    """What a recipient sees of its notice. Nothing of what the notice told."""

    id: UUID
    kind: NoticeKind
    revision: int
    state: str
    """pending, held, confirmed, or superseded (never sent again; see `replaced_by`)."""
    attempts: int
    issued_at: AwareDatetime
    confirmed_at: AwareDatetime | None
    replaced_by: UUID | None
    acknowledgements: list[GivenAnswer]


def notices_router(database: Database, acknowledging: Acknowledging) -> APIRouter:
    """Routes of `/v1/notices`; every object is checked against the caller's recipient."""
    router = APIRouter(prefix="/v1/notices", tags=["notices"])

    @router.post("/{notice_id}/acknowledgements")
    async def acknowledge(
        notice_id: UUID, body: Acknowledgement, caller: Annotated[Caller, Depends(require(SCOPE))]
    ) -> NoticeView:
        """Answers a notice. The same status again gives the same answer; an answer cannot be taken back."""
        answer = Answer(status=body.status, at=body.at, case_number=body.case_number, comment=body.comment)
        async with database.transaction() as tx:
            state = await acknowledging.acknowledge(tx, notice_id, _recipient(caller), answer)
        return _view(state)

    @router.get("/{notice_id}")
    async def notice(notice_id: UUID, caller: Annotated[Caller, Depends(require(SCOPE))]) -> NoticeView:
        """The state of one notice."""
        async with database.transaction() as tx:
            state = await acknowledging.state(tx, notice_id, _recipient(caller))
        return _view(state)

    return router


def _recipient(caller: Caller) -> str:
    if caller.recipient_id is None:
        raise NotFound("There is no such notice for this caller.")
    return caller.recipient_id


def _view(state: NoticeState) -> NoticeView:
    return NoticeView(
        id=state.notice_id,
        kind=state.kind,
        revision=state.revision,
        state=state.state,
        attempts=state.attempts,
        issued_at=state.issued_at,
        confirmed_at=state.confirmed_at,
        replaced_by=state.replaced_by,
        acknowledgements=[GivenAnswer(status=one.status, at=one.at) for one in state.acknowledgements],
    )
