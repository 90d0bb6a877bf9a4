"""The public state of an encounter: who has to be told, and how far that is. Nothing about a person."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from pydantic import BaseModel

from kernel.clock import Clock, Ids
from kernel.database import Transaction
from kernel.errors import NotFound
from kernel.identity import Caller


class NoticeState(BaseModel):
    notice_id: UUID
    recipient_id: str
    kind: str
    revision: int
    state: str
    """issued, sending, held, confirmed, acknowledged, superseded_unsent, corrected or withdrawn."""
    attempts: int
    issued_at: datetime
    confirmed_at: datetime | None
    acknowledgement: str | None
    acknowledged_at: datetime | None
    replaced_by: UUID | None


class Late(BaseModel):
    """Counted from discovery, however late the report came."""

    seconds: int
    against: Literal["law", "policy"]


class ObligationState(BaseModel):
    """A duty that a notice fulfils."""

    obligation_id: UUID
    duty_id: str
    outcome: str
    """due, not_due or review."""
    revision: int
    recipient_role: str
    recipient_id: str | None
    owner: str | None
    clock: str
    due_at: datetime | None
    """End of the legal clock; none if the law gives no number."""
    target_at: datetime | None
    """When the operator's policy wants it done."""
    late_by: Late | None
    """Of a duty that is due, until its recipient's system confirmed the notice."""
    review_at: datetime | None
    decided_at: datetime
    escalation: int
    """Rung of the escalation ladder; 0: not escalated."""
    acknowledgement: str | None
    acknowledged_at: datetime | None
    notices: list[NoticeState]


class SubjectState(BaseModel):
    subject_number: int
    subject_id: UUID
    obligations: list[ObligationState]


class EncounterState(BaseModel):
    encounter_id: UUID
    agency_ori: str
    record_version: int
    accepted_at: datetime
    subjects: list[SubjectState]


class States(Protocol):
    """The read model."""

    async def of_encounter(
        self, tx: Transaction, encounter_id: UUID, agencies: Sequence[str], now: datetime
    ) -> EncounterState | None:
        """None for an encounter that is unknown or of another agency."""

    async def note_reading(
        self, tx: Transaction, state: EncounterState, *, reader: str, at: datetime, event_id: UUID, trace: str | None
    ) -> None:
        """Tells the topic `access` that the record was read (CJIS AU-2)."""


async def read(
    tx: Transaction, states: States, caller: Caller, encounter_id: UUID, *, clock: Clock, ids: Ids, trace: str | None
) -> EncounterState:
    """Raises NotFound, also for another agency's encounter: strangers learn nothing of what exists."""
    now = clock()
    state = await states.of_encounter(tx, encounter_id, sorted(caller.agencies), now)
    if state is None:
        raise NotFound("There is no such encounter for this client.")
    await states.note_reading(tx, state, reader=caller.client_id, at=now, event_id=ids(), trace=trace)
    return state
