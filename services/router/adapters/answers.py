"""The router's tables as recipients' answers need them."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from kernel.database import Transaction
from kernel.sealing import Sealed
from services.router.adapters.rows import acknowledgements_of, origin_of
from services.router.application.ports import Acknowledged, Answerable, NoticeState


class AnswerStore:
    """Implements `application.ports.Answers`."""

    async def meet(self, tx: Transaction, obligation_ids: Collection[UUID], at: datetime) -> None:
        await tx.driver.execute(
            "UPDATE obligation SET met_at = $2 WHERE obligation_id = ANY($1::uuid[]) AND met_at IS NULL",
            list(obligation_ids),
            at,
        )

    async def answerable(self, tx: Transaction, notice_id: UUID, recipient_id: str) -> Answerable | None:
        row = await tx.driver.fetchrow(
            """
            SELECT notice.*, obligation.acknowledgement, obligation.met_at
            FROM notice JOIN obligation USING (obligation_id)
            WHERE notice_id = $1 AND notice.recipient_id = $2 FOR UPDATE OF obligation
            """,
            notice_id,
            recipient_id,
        )
        if row is None:
            return None
        given = await self._acknowledgements(tx, notice_id)
        return Answerable(
            origin=origin_of(row),
            key_id=row["key_id"],
            acknowledgement=row["acknowledgement"],
            live=row["live"] and row["kind"] != "withdrawal",
            met=row["met_at"] is not None,
            earlier=tuple(one.status for one in given),
        )

    async def save_acknowledgement(
        self, tx: Transaction, *, event_id: UUID, notice_id: UUID, given: Acknowledged, sealed: Sealed | None
    ) -> None:
        await tx.driver.execute(
            """
            INSERT INTO acknowledgement (event_id, notice_id, status, acknowledged_at, key_id, sealed)
            VALUES ($1, $2, $3, $4, $5, $6)
            """,
            event_id,
            notice_id,
            given.status,
            given.at,
            sealed.key_id if sealed is not None else None,
            sealed.encode() if sealed is not None else None,
        )

    async def notice_state(self, tx: Transaction, notice_id: UUID, recipient_id: str) -> NoticeState | None:
        row = await tx.driver.fetchrow(
            """
            SELECT kind, revision, state, attempts, issued_at, confirmed_at, replaced_by
            FROM notice JOIN delivery USING (notice_id) WHERE notice_id = $1 AND notice.recipient_id = $2
            """,
            notice_id,
            recipient_id,
        )
        if row is None:
            return None
        given = await self._acknowledgements(tx, notice_id)
        return NoticeState(notice_id=notice_id, acknowledgements=given, **dict(row))

    async def _acknowledgements(self, tx: Transaction, notice_id: UUID) -> tuple[Acknowledged, ...]:
        rows = await tx.driver.fetch(
            "SELECT status, acknowledged_at FROM acknowledgement WHERE notice_id = $1 ORDER BY received_at", notice_id
        )
        return acknowledgements_of(rows)
