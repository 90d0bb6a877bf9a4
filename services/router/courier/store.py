"""The courier's view of the database: claim, record and release in batches, each fenced by lease and attempt number.

A lease is nothing but a `next_attempt_at` in the future with an owner beside it: who dies leaves work that is due
again by itself. All times of leases are the database's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from contracts.envelope import Event
from contracts.events import EndpointChanged, NoticeCorrected
from contracts.facts import FieldGroup
from kernel.clock import Clock, Ids
from kernel.database import Database, Transaction
from kernel.outbox import Outbox
from kernel.sealing import DataKey, SealBroken, Sealed, unseal
from kernel.subject_keys import SubjectKeys
from kernel.telemetry import logger
from services.router.adapters.rows import origin_of
from services.router.courier.events import Teller
from services.router.courier.job import Job, Result
from services.router.domain.classification import Verdict

NO_ENDPOINT = "no_endpoint"
SEAL_BROKEN = "seal_broken"
WORKER_LOST = "worker_lost"
EVERYWHERE = "US"
"""Jurisdiction of events about an endpoint, which may serve several states."""
_DISCLOSURE = frozenset({FieldGroup.DISCLOSURE})
_ENDPOINT = UUID("6b9c4a1e-0d6f-5c1b-9a53-2f3f6f0f7a03")

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Due:
    """The first due moment of one recipient's notices of one class, in seconds from now; past ones are negative."""

    recipient_id: str
    priority: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """How many notices of one recipient and class a worker can take."""

    recipient_id: str
    priority: int
    room: int


_SURVEY = """
    WITH RECURSIVE recipient AS (
        (SELECT recipient_id FROM delivery WHERE state IN ('pending', 'held') ORDER BY recipient_id LIMIT 1)
        UNION ALL
        SELECT (
            SELECT delivery.recipient_id FROM delivery
            WHERE state IN ('pending', 'held') AND delivery.recipient_id > recipient.recipient_id
            ORDER BY delivery.recipient_id LIMIT 1
        ) FROM recipient WHERE recipient.recipient_id IS NOT NULL
    )
    SELECT recipient.recipient_id, priority, extract(epoch FROM first.next_attempt_at - now())::float8 AS seconds
    FROM recipient CROSS JOIN generate_series(0, 3) AS priority CROSS JOIN LATERAL (
        SELECT next_attempt_at FROM delivery
        WHERE state IN ('pending', 'held') AND delivery.recipient_id = recipient.recipient_id
            AND delivery.priority = priority.priority
        ORDER BY next_attempt_at LIMIT 1
    ) AS first
    WHERE recipient.recipient_id IS NOT NULL
"""

_PICK = """
    SELECT due.* FROM unnest($1::text[], $2::smallint[], $3::integer[]) AS ask(recipient_id, priority, room)
    CROSS JOIN LATERAL (
        SELECT notice_id, state, lease_owner, attempt_started_at, next_attempt_at FROM delivery
        WHERE state IN ('pending', 'held') AND delivery.recipient_id = ask.recipient_id
            AND delivery.priority = ask.priority AND next_attempt_at <= now()
        ORDER BY next_attempt_at LIMIT ask.room FOR UPDATE SKIP LOCKED
    ) AS due
"""

_CLAIM = f"""
    WITH picked AS MATERIALIZED ({_PICK})
    UPDATE delivery SET attempts = attempts + 1, lease_owner = $4, attempt_started_at = now(),
        next_attempt_at = now() + make_interval(secs => $5)
    FROM picked JOIN notice USING (notice_id) WHERE delivery.notice_id = picked.notice_id
    RETURNING delivery.recipient_id AS lane, delivery.priority AS class, attempts,
        picked.state AS state_before, picked.lease_owner AS lost_owner, picked.attempt_started_at AS lost_started_at,
        picked.next_attempt_at AS was_due_at, now() AS claimed_at, notice.*
"""

_RECORD = """
    UPDATE delivery SET
        state = CASE WHEN delivery.state = 'superseded' THEN delivery.state ELSE result.state END,
        next_attempt_at = now() + make_interval(secs => result.wait),
        lease_owner = NULL, attempt_started_at = NULL,
        reached = delivery.reached OR result.reached,
        confirmed_at = coalesce(delivery.confirmed_at, result.confirmed_at),
        reason = result.reason
    FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::float8[], $5::boolean[], $6::timestamptz[], $7::text[])
        AS result(notice_id, attempt, state, wait, reached, confirmed_at, reason)
    WHERE delivery.notice_id = result.notice_id AND attempts = result.attempt AND lease_owner = $8
    RETURNING delivery.notice_id, attempts
"""

_STATES = {"confirmed": "confirmed", "retry": "pending", "held": "held"}


class CourierStore:
    """One worker's access; `worker` names it as the owner of its leases, `owner` who is told of held notices."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        keys: SubjectKeys,
        *,
        worker: UUID,
        owner: str,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self.worker = worker
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._owner = owner
        self._clock = clock
        self._ids = ids
        self._tell = Teller(outbox.source, owner, clock, ids)

    async def survey(self) -> list[Due]:
        """What waits, and since or until when. Raises Unavailable."""
        async with self._database.transaction() as tx:
            rows = await tx.driver.fetch(_SURVEY)
        return [Due(row["recipient_id"], row["priority"], row["seconds"]) for row in rows]

    async def claim(self, asks: Sequence[Ask], lease: float, lease_ends: float) -> list[Job]:
        """Takes due notices and commits the intent to send each. Raises Unavailable."""
        async with self._database.transaction() as tx:
            rows = await tx.driver.fetch(
                _CLAIM,
                [ask.recipient_id for ask in asks],
                [ask.priority for ask in asks],
                [ask.room for ask in asks],
                self.worker,
                lease,
            )
            if not rows:
                return []
            rows.sort(key=lambda row: (row["class"], row["was_due_at"]))
            await self._record_lost(tx, [row for row in rows if row["lost_owner"] is not None])
            keys = await self._keys.by_id(tx, {row["key_id"] for row in rows})
            jobs: list[Job] = []
            erased: list[Any] = []
            broken: list[Any] = []
            for row in rows:
                key = keys.get(row["key_id"])
                if key is None:
                    erased.append(row)
                    continue
                try:
                    jobs.append(self._job(row, key, lease_ends))
                except SealBroken:
                    broken.append(row)
            await self._close_erased(tx, erased)
            await self._hold(tx, broken, SEAL_BROKEN, 3600.0)
        return jobs

    async def record(self, results: Sequence[Result]) -> None:
        """Writes how attempts ended, with their events. A result whose lease went to another matches no row.

        Raises Unavailable.
        """
        # In the order in which everybody locks them.
        results = sorted(results, key=lambda result: result.job.notice_id)
        async with self._database.transaction() as tx:
            rows = await tx.driver.fetch(
                _RECORD,
                [result.job.notice_id for result in results],
                [result.job.attempt for result in results],
                [_STATES[result.verdict.outcome] for result in results],
                [result.retry_in for result in results],
                [result.verdict.reached for result in results],
                [result.finished_at if result.verdict.outcome == "confirmed" else None for result in results],
                [result.verdict.error for result in results],
                self.worker,
            )
            # By attempt too: after the database was away, one batch may hold a lost attempt and the one after it.
            ours = {(row["notice_id"], row["attempts"]) for row in rows}
            valid = [result for result in results if (result.job.notice_id, result.job.attempt) in ours]
            if len(valid) < len(results):
                log.warning("results came after their lease had ended", count=len(results) - len(valid))
            await self._write_attempts(tx, valid)
            await self._outbox.append(tx, [event for result in valid for event in self._tell.ended(result)])

    async def release(self, jobs: Sequence[Job]) -> None:
        """Gives leases back unused, as if they had never been taken. Raises Unavailable."""
        async with self._database.transaction() as tx:
            await tx.driver.execute(
                """
                UPDATE delivery SET attempts = attempts - 1, lease_owner = NULL, attempt_started_at = NULL,
                    next_attempt_at = now()
                FROM unnest($1::uuid[], $2::integer[]) AS job(notice_id, attempt)
                WHERE delivery.notice_id = job.notice_id AND attempts = job.attempt AND lease_owner = $3
                """,
                [job.notice_id for job in jobs],
                [job.attempt for job in jobs],
                self.worker,
            )

    async def hold_unknown(self, recipients: Sequence[str], retry_in: float) -> None:
        """Holds what is due for recipients that have no endpoint, for a person to register one. Raises Unavailable."""
        async with self._database.transaction() as tx:
            rows = await tx.driver.fetch(
                """
                WITH due AS (
                    SELECT notice_id, state FROM delivery
                    WHERE state IN ('pending', 'held') AND recipient_id = ANY($1::text[]) AND next_attempt_at <= now()
                    LIMIT 500 FOR UPDATE SKIP LOCKED
                )
                SELECT notice.*, due.state AS state_before FROM due JOIN notice USING (notice_id)
                """,
                recipients,
            )
            await self._hold(tx, rows, NO_ENDPOINT, retry_in)

    async def note_endpoints(self, fingerprints: Mapping[str, str]) -> set[str]:
        """Stores which endpoints are in use, and tells of those that are new, different or gone; gives their names.

        Raises Unavailable.
        """
        async with self._database.transaction() as tx:
            rows = await tx.driver.fetch(
                """
                INSERT INTO endpoint_in_use AS known (recipient_id, fingerprint)
                SELECT recipient_id, coalesce(new.fingerprint, '')
                FROM unnest($1::text[], $2::text[]) AS new(recipient_id, fingerprint)
                FULL JOIN endpoint_in_use USING (recipient_id)
                ON CONFLICT (recipient_id) DO UPDATE SET fingerprint = excluded.fingerprint, since = now()
                WHERE known.fingerprint <> excluded.fingerprint
                RETURNING recipient_id, fingerprint
                """,
                list(fingerprints.keys()),
                list(fingerprints.values()),
            )
            events = [
                Event(
                    id=(event_id := self._ids()),
                    time=self._clock(),
                    source=self._outbox.source,
                    data=EndpointChanged(recipient_id=row["recipient_id"], fingerprint=row["fingerprint"]),
                    key=uuid5(_ENDPOINT, row["recipient_id"]),
                    jurisdiction=EVERYWHERE,
                    correlation_id=event_id,
                )
                for row in rows
            ]
            await self._outbox.append(tx, events)
        return {row["recipient_id"] for row in rows}

    async def hurry(self, recipients: Sequence[str]) -> None:
        """Makes everything that waits for these recipients due now. Raises Unavailable."""
        if not recipients:
            return
        async with self._database.transaction() as tx:
            await tx.driver.execute(
                """
                UPDATE delivery SET next_attempt_at = now()
                WHERE state IN ('pending', 'held') AND recipient_id = ANY($1::text[]) AND lease_owner IS NULL
                    AND next_attempt_at > now()
                """,
                recipients,
            )

    # -- parts --

    def _job(self, row: Any, key: DataKey, lease_ends: float) -> Job:
        opened = unseal(key, row["notice_id"], Sealed.decode(row["sealed"]).groups, _DISCLOSURE)
        return Job(
            notice_id=row["notice_id"],
            recipient_id=row["lane"],
            priority=row["class"],
            attempt=row["attempts"],
            was_held=row["state_before"] == "held",
            origin=origin_of(row),
            body=opened[FieldGroup.DISCLOSURE].encode(),
            lease_ends=lease_ends,
        )

    async def _record_lost(self, tx: Transaction, rows: Sequence[Any]) -> None:
        """An attempt whose worker vanished: nobody knows how far it came, so the recipient may have read it."""
        if not rows:
            return
        lost = [
            Result(
                job=Job(
                    notice_id=row["notice_id"],
                    recipient_id=row["lane"],
                    priority=row["class"],
                    attempt=row["attempts"] - 1,
                    origin=origin_of(row),
                    body=b"",
                    lease_ends=0.0,
                ),
                started_at=row["lost_started_at"],
                finished_at=row["claimed_at"],
                verdict=Verdict("retry", True, WORKER_LOST),
            )
            for row in rows
        ]
        await tx.driver.execute(
            "UPDATE delivery SET reached = true WHERE notice_id = ANY($1::uuid[])",
            [result.job.notice_id for result in lost],
        )
        await self._write_attempts(tx, lost)
        await self._outbox.append(tx, [event for result in lost for event in self._tell.ended(result)])

    async def _write_attempts(self, tx: Transaction, results: Sequence[Result]) -> None:
        await tx.driver.copy_records_to_table(
            "attempt",
            records=[
                (
                    result.job.notice_id,
                    result.job.attempt,
                    result.started_at,
                    result.finished_at,
                    result.verdict.outcome,
                    result.http_status,
                    result.verdict.error,
                )
                for result in results
            ],
            columns=("notice_id", "attempt", "started_at", "finished_at", "outcome", "http_status", "error"),
        )

    async def _close_erased(self, tx: Transaction, rows: Sequence[Any]) -> None:
        """Nobody can read these any more, so nobody can be told."""
        if not rows:
            return
        await tx.driver.execute(
            """
            UPDATE delivery SET state = 'superseded', lease_owner = NULL, attempt_started_at = NULL,
                attempts = attempts - 1, reason = 'erased'
            WHERE notice_id = ANY($1::uuid[])
            """,
            [row["notice_id"] for row in rows],
        )
        await self._outbox.append(
            tx,
            [
                self._tell.event(
                    origin_of(row),
                    NoticeCorrected(
                        notice_id=row["notice_id"], obligation_id=row["obligation_id"], how="superseded_unsent"
                    ),
                    row["notice_id"],
                )
                for row in rows
            ],
        )

    async def _hold(self, tx: Transaction, rows: Sequence[Any], reason: str, retry_in: float) -> None:
        """Holds without an attempt; tells of it once."""
        if not rows:
            return
        await tx.driver.execute(
            """
            UPDATE delivery SET state = 'held', reason = $2, next_attempt_at = now() + make_interval(secs => $3),
                attempts = attempts - CASE WHEN lease_owner = $4 THEN 1 ELSE 0 END,
                lease_owner = NULL, attempt_started_at = NULL
            WHERE notice_id = ANY($1::uuid[])
            """,
            [row["notice_id"] for row in rows],
            reason,
            retry_in,
            self.worker,
        )
        fresh = [row for row in rows if row["state_before"] != "held"]
        if fresh:
            log.error("notices are held", reason=reason, count=len(fresh), owner=self._owner)
        await self._outbox.append(
            tx,
            [
                self._tell.held(origin_of(row), row["notice_id"], row["recipient_id"], reason, row["notice_id"])
                for row in fresh
            ],
        )
