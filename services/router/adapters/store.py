"""The router's tables, read and written in batches: one statement per table and batch."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from kernel.database import Transaction
from services.router.adapters.answers import AnswerStore
from services.router.adapters.rows import grouped, obligation_of, origin_of, round_of, snapshot_of, standing_of
from services.router.application.ports import Completion, NewNotice, NewRound, Snapshot, State
from services.router.domain.obligations import Obligation, Retired
from services.router.domain.origin import Origin
from services.router.domain.priorities import priority_number

_OBLIGATION_COLUMNS = (
    ("obligation_id", "uuid"),
    ("encounter_id", "uuid"),
    ("subject_id", "uuid"),
    ("duty_id", "text"),
    ("outcome", "text"),
    ("revision", "integer"),
    ("recipient_role", "text"),
    ("recipient_id", "text"),
    ("owner", "text"),
    ("clock", "text"),
    ("due_at", "timestamptz"),
    ("target_at", "timestamptz"),
    ("review_at", "timestamptz"),
    ("review_expired", "boolean"),
    ("acknowledgement", "text"),
    ("decided_by", "text"),
    ("basis_tag", "bytea"),
    ("met_at", "timestamptz"),
    ("citations", "text"),
)
_OWN = tuple(name for name, _ in _OBLIGATION_COLUMNS[:-1])

_ROUND_COLUMNS = (
    ("subject_id", "uuid"),
    ("number", "integer"),
    ("event_id", "uuid"),
    ("decided_at", "timestamptz"),
    ("law_version", "text"),
    ("policy_version", "text"),
    ("sealed", "bytea"),
)

_COMPLETION_COLUMNS = (
    ("event_id", "uuid"),
    ("subject_id", "uuid"),
    ("completed_at", "timestamptz"),
    ("sealed", "bytea"),
)


def _unnest(columns: Sequence[tuple[str, str]]) -> str:
    return "unnest(" + ", ".join(f"${n}::{kind}[]" for n, (_, kind) in enumerate(columns, 1)) + ")"


def _names(columns: Sequence[tuple[str, str]]) -> str:
    return ", ".join(name for name, _ in columns)


def _updates(columns: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name, _ in columns[1:])


def _transposed(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


_SAVE_OBLIGATIONS = f"""
    INSERT INTO obligation ({_names(_OBLIGATION_COLUMNS)}) SELECT * FROM {_unnest(_OBLIGATION_COLUMNS)}
    ON CONFLICT (obligation_id) DO UPDATE SET {_updates(_OBLIGATION_COLUMNS)}
"""

_SAVE_ROUNDS = f"INSERT INTO decision ({_names(_ROUND_COLUMNS)}) SELECT * FROM {_unnest(_ROUND_COLUMNS)}"

_SAVE_COMPLETIONS = f"""
    INSERT INTO completion ({_names(_COMPLETION_COLUMNS)}) SELECT * FROM {_unnest(_COMPLETION_COLUMNS)}
    ON CONFLICT DO NOTHING
"""

_SNAPSHOT_COLUMNS = (
    ("subject_id", "uuid"),
    ("subject_number", "integer"),
    ("encounter_id", "uuid"),
    ("agency", "text"),
    ("jurisdiction", "text"),
    ("record_version", "integer"),
    ("encounter_at", "timestamptz"),
    ("discovered_at", "timestamptz"),
    ("key_id", "uuid"),
    ("sealed", "bytea"),
    ("last_event_id", "uuid"),
    ("correlation_id", "uuid"),
    ("traceparent", "text"),
    ("review_at", "timestamptz"),
)

_SAVE_SNAPSHOTS = f"""
    INSERT INTO subject ({_names(_SNAPSHOT_COLUMNS)}) SELECT * FROM {_unnest(_SNAPSHOT_COLUMNS)}
    ON CONFLICT (subject_id) DO UPDATE SET {_updates(_SNAPSHOT_COLUMNS)}
"""

_NOTICE_COLUMNS = (
    ("notice_id", "uuid"),
    ("obligation_id", "uuid"),
    ("encounter_id", "uuid"),
    ("subject_id", "uuid"),
    ("duty_id", "text"),
    ("recipient_id", "text"),
    ("revision", "integer"),
    ("kind", "text"),
    ("priority", "smallint"),
    ("due_at", "timestamptz"),
    ("issued_at", "timestamptz"),
    ("replaces", "uuid"),
    ("told_tag", "bytea"),
    ("key_id", "uuid"),
    ("sealed", "bytea"),
    ("agency", "text"),
    ("jurisdiction", "text"),
    ("law_version", "text"),
    ("policy_version", "text"),
    ("correlation_id", "uuid"),
    ("traceparent", "text"),
)

_INSERT_NOTICES = f"INSERT INTO notice ({_names(_NOTICE_COLUMNS)}) SELECT * FROM {_unnest(_NOTICE_COLUMNS)}"

_INSERT_DELIVERIES = """
    INSERT INTO delivery
        (notice_id, recipient_id, priority, state, attempts, next_attempt_at, lease_owner, attempt_started_at)
    SELECT notice_id, recipient_id, priority, 'pending', leased::integer,
        now() + make_interval(secs => CASE WHEN leased THEN $6::float8 ELSE 0 END),
        CASE WHEN leased THEN $5::uuid END, CASE WHEN leased THEN now() END
    FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::boolean[]) AS new(notice_id, recipient_id, priority, leased)
"""


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

    async def save_snapshots(self, tx: Transaction, snapshots: Sequence[tuple[Snapshot, datetime | None]]) -> None:
        if snapshots:
            rows = [
                (
                    one.subject_id,
                    one.subject_number,
                    one.encounter_id,
                    one.agency,
                    one.jurisdiction,
                    one.record_version,
                    one.encounter_at,
                    one.discovered_at,
                    one.key_id,
                    one.sealed.encode(),
                    one.event_id,
                    one.correlation_id,
                    one.traceparent,
                    review_at,
                )
                for one, review_at in snapshots
            ]
            await tx.driver.execute(_SAVE_SNAPSHOTS, *_transposed(rows))

    async def save_timers(self, tx: Transaction, timers: Mapping[UUID, datetime | None]) -> None:
        if timers:
            await tx.driver.execute(
                """
                UPDATE subject SET review_at = news.review_at
                FROM unnest($1::uuid[], $2::timestamptz[]) AS news(subject_id, review_at)
                WHERE subject.subject_id = news.subject_id
                """,
                list(timers.keys()),
                list(timers.values()),
            )

    async def save_rounds(self, tx: Transaction, rounds: Sequence[NewRound]) -> None:
        if rounds:
            rows = [
                (
                    one.subject_id,
                    one.number,
                    one.round.event_id,
                    one.round.decided_at,
                    one.round.law_version,
                    one.round.policy_version,
                    one.round.sealed.encode(),
                )
                for one in rounds
            ]
            await tx.driver.execute(_SAVE_ROUNDS, *_transposed(rows))

    async def save_completions(self, tx: Transaction, completions: Sequence[Completion]) -> None:
        if completions:
            rows = [(one.event_id, one.subject_id, one.completed_at, one.sealed.encode()) for one in completions]
            await tx.driver.execute(_SAVE_COMPLETIONS, *_transposed(rows))

    async def save_obligations(self, tx: Transaction, obligations: Sequence[Obligation]) -> None:
        if obligations:
            own = attrgetter(*_OWN)
            rows = [(*own(one), "\n".join(one.citations)) for one in obligations]
            await tx.driver.execute(_SAVE_OBLIGATIONS, *_transposed(rows))

    async def retire(self, tx: Transaction, retired: Sequence[Retired]) -> None:
        if not retired:
            return
        await tx.driver.execute(
            """
            UPDATE notice SET live = false, replaced_by = old.replaced_by
            FROM unnest($1::uuid[], $2::uuid[]) AS old(notice_id, replaced_by)
            WHERE notice.notice_id = old.notice_id
            """,
            [one.notice_id for one in retired],
            [one.replaced_by for one in retired],
        )
        # What is under way may still be confirmed; nothing is sent again.
        await tx.driver.execute(
            """
            UPDATE delivery SET state = 'superseded'
            WHERE notice_id = ANY($1::uuid[]) AND state IN ('pending', 'held')
            """,
            [one.notice_id for one in retired],
        )

    async def insert_notices(self, tx: Transaction, notices: Sequence[NewNotice], worker: UUID, lease: float) -> None:
        if not notices:
            return
        rows = [
            (
                one.issue.notice_id,
                one.origin.obligation_id,
                one.origin.encounter_id,
                one.origin.subject_id,
                one.origin.duty_id,
                one.issue.recipient_id,
                one.issue.revision,
                one.issue.kind,
                priority_number(one.issue.priority),
                one.due_at,
                one.issued_at,
                one.issue.replaces,
                one.told_tag,
                one.sealed.key_id,
                one.sealed.encode(),
                one.origin.agency,
                one.origin.jurisdiction,
                one.origin.law_version,
                one.origin.policy_version,
                one.origin.correlation_id,
                one.origin.traceparent,
            )
            for one in notices
        ]
        await tx.driver.execute(_INSERT_NOTICES, *_transposed(rows))
        await tx.driver.execute(
            _INSERT_DELIVERIES,
            [one.issue.notice_id for one in notices],
            [one.issue.recipient_id for one in notices],
            [priority_number(one.issue.priority) for one in notices],
            [one.leased for one in notices],
            worker,
            lease,
        )

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
