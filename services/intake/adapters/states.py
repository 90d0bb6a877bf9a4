"""The read model that `consumers.notices` feeds, put together for one encounter."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.envelope import Event
from contracts.events import RecordRead
from kernel.database import Transaction
from kernel.events.outbox import Outbox
from rulebook.lateness import lateness
from services.intake.application.states import EncounterState, Late, NoticeState, ObligationState, SubjectState


class PostgresStates:
    """`services.intake.application.states.States` in PostgreSQL."""

    def __init__(self, outbox: Outbox, jurisdiction: str) -> None:
        self._outbox = outbox
        self._jurisdiction = jurisdiction

    async def of_encounter(
        self, tx: Transaction, encounter_id: UUID, agencies: Sequence[str], now: datetime
    ) -> EncounterState | None:
        encounter = await tx.driver.fetchrow(
            "SELECT agency, record_version, accepted_at FROM encounter WHERE id = $1 AND agency = ANY($2::text[])",
            encounter_id,
            agencies,
        )
        if encounter is None:
            return None
        notices: dict[UUID, list[NoticeState]] = {}
        for row in await tx.driver.fetch(
            """
            SELECT id AS notice_id, recipient_id, kind, revision, state, attempts, issued_at, confirmed_at,
                   acknowledgement, acknowledged_at, replaced_by, obligation_id
            FROM notice_view WHERE encounter_id = $1 ORDER BY issued_at, revision, id
            """,
            encounter_id,
        ):
            notices.setdefault(row["obligation_id"], []).append(NoticeState.model_validate(dict(row)))
        obligations: dict[UUID | None, list[ObligationState]] = {}
        for row in await tx.driver.fetch(
            "SELECT id AS obligation_id, * FROM obligation_view WHERE encounter_id = $1 ORDER BY duty_id, id",
            encounter_id,
        ):
            own = notices.get(row["obligation_id"], [])
            state = ObligationState.model_validate({**row, "notices": own, "late_by": _late(row, own, now)})
            obligations.setdefault(row["subject_id"], []).append(state)
        subjects = await tx.driver.fetch(
            "SELECT id, number FROM subject WHERE encounter_id = $1 ORDER BY number", encounter_id
        )
        return EncounterState(
            encounter_id=encounter_id,
            agency_ori=encounter["agency"],
            record_version=encounter["record_version"],
            accepted_at=encounter["accepted_at"],
            subjects=[
                SubjectState(
                    subject_number=row["number"], subject_id=row["id"], obligations=obligations.get(row["id"], [])
                )
                for row in subjects
            ],
        )

    async def note_reading(
        self, tx: Transaction, state: EncounterState, *, reader: str, at: datetime, event_id: UUID, trace: str | None
    ) -> None:
        event = Event(
            id=event_id,
            time=at,
            source=self._outbox.source,
            data=RecordRead(object_kind="encounter", object_id=state.encounter_id, reader=reader),
            key=state.encounter_id,
            jurisdiction=self._jurisdiction,
            correlation_id=event_id,
            encounter_id=state.encounter_id,
            agency=state.agency_ori,
            traceparent=trace,
        )
        await self._outbox.append(tx, [event])


def _late(row: Any, notices: Sequence[NoticeState], now: datetime) -> Late | None:
    if row["outcome"] != "due":
        return None
    confirmed = (
        one.confirmed_at
        for one in notices
        if one.confirmed_at is not None and one.kind != "withdrawal" and one.recipient_id == row["recipient_id"]
    )
    late = lateness(row["due_at"], row["target_at"], min(confirmed, default=None), now)
    return None if late is None else Late(seconds=int(late.by.total_seconds()), against=late.against)
