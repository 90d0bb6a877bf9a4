"""The router's tables as deciding needs them: read in batches, and written by one statement per round."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from kernel.database import Transaction
from services.router.adapters.answers import AnswerStore
from services.router.adapters.changes import parts_of
from services.router.adapters.composing import composed
from services.router.adapters.rows import grouped, obligation_of, origin_of, round_of, snapshot_of, standing_of
from services.router.application.ports import Changes, State
from services.router.domain.origin import Origin


class RouterStore(AnswerStore):
    """Implements `application.ports.Store`, and `Answers` with what it inherits."""

    async def lock(self, tx: Transaction, subject_ids: Collection[UUID]) -> dict[UUID, State]:
        ids = sorted(set(subject_ids))
        subjects = await tx.driver.fetch(
            "SELECT * FROM subject WHERE subject_id = ANY($1::uuid[]) ORDER BY subject_id FOR UPDATE", ids
        )
        if not subjects:
            return {}
        known = [row["subject_id"] for row in subjects]
        decisions = await tx.driver.fetch(
            "SELECT * FROM decision WHERE subject_id = ANY($1::uuid[]) ORDER BY subject_id, number", known
        )
        obligations = await tx.driver.fetch("SELECT * FROM obligation WHERE subject_id = ANY($1::uuid[])", known)
        # Locked, so that "certainly never sent" stays true until we commit. Ordered, as every other locker does.
        notices = await tx.driver.fetch(
            """
            SELECT notice.notice_id, obligation_id, notice.recipient_id, kind, notice.priority, told_tag,
                confirmed_at, reached, lease_owner
            FROM notice JOIN delivery USING (notice_id)
            WHERE subject_id = ANY($1::uuid[]) AND live ORDER BY notice_id FOR UPDATE OF delivery
            """,
            known,
        )
        rounds = grouped(decisions, "subject_id")
        owed = grouped(obligations, "subject_id")
        told = grouped(notices, "obligation_id")
        return {
            row["subject_id"]: State(
                snapshot_of(row),
                tuple(round_of(one) for one in rounds.get(row["subject_id"], ())),
                {one["duty_id"]: obligation_of(one) for one in owed.get(row["subject_id"], ())},
                {
                    one["obligation_id"]: tuple(standing_of(n) for n in told.get(one["obligation_id"], ()))
                    for one in owed.get(row["subject_id"], ())
                },
            )
            for row in subjects
        }

    async def subjects_of(self, tx: Transaction, encounter_ids: Collection[UUID]) -> dict[UUID, list[UUID]]:
        rows = await tx.driver.fetch(
            "SELECT encounter_id, subject_id FROM subject WHERE encounter_id = ANY($1::uuid[])", list(encounter_ids)
        )
        found: dict[UUID, list[UUID]] = {}
        for row in rows:
            found.setdefault(row["encounter_id"], []).append(row["subject_id"])
        return found

    async def due_reviews(self, tx: Transaction, now: datetime, limit: int) -> list[UUID]:
        rows = await tx.driver.fetch(
            """
            SELECT subject_id FROM subject WHERE review_at <= $1
            ORDER BY review_at LIMIT $2 FOR UPDATE SKIP LOCKED
            """,
            now,
            limit,
        )
        return [row["subject_id"] for row in rows]

    async def next_review_at(self, tx: Transaction) -> datetime | None:
        at: datetime | None = await tx.driver.fetchval("SELECT min(review_at) FROM subject WHERE review_at IS NOT NULL")
        return at

    async def save(self, tx: Transaction, changes: Changes, worker: UUID, lease: float) -> None:
        if parts := list(parts_of(changes, worker, lease)):
            statement, values = composed(parts)
            await tx.driver.execute(statement, *values)

    async def forget(self, tx: Transaction, subject_id: UUID) -> list[tuple[UUID, Origin]]:
        rows = await tx.driver.fetch(
            """
            UPDATE delivery SET state = 'superseded', reason = 'erased' FROM notice
            WHERE notice.notice_id = delivery.notice_id AND subject_id = $1 AND state IN ('pending', 'held')
            RETURNING notice.*
            """,
            subject_id,
        )
        await tx.driver.execute(
            "UPDATE subject SET sealed = ''::bytea, review_at = NULL WHERE subject_id = $1", subject_id
        )
        return [(row["notice_id"], origin_of(row)) for row in rows]
