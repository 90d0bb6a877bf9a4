"""How far the evaluation of everybody has come: the table `rerun`, a row for each release and part of the persons."""

from collections.abc import Mapping
from datetime import date, datetime
from uuid import UUID

from kernel.database import Transaction
from kernel.sealing import Sealed
from rulebook.loader import Law
from services.eligibility.application.rerunning import PARTS, Part, Person, Progress, Step

_FIRST = UUID(int=0)


class PostgresReruns:
    """`application.rerunning.Reruns` on the schema `eligibility`."""

    async def begin(self, tx: Transaction, law: Law, schedule: bytes, now: datetime) -> None:
        # Two replicas that start at once: the second one waits, and finds what the first one noted.
        await tx.driver.execute("LOCK TABLE rerun IN SHARE ROW EXCLUSIVE MODE")
        if await self._latest(tx) == law.digest:
            return
        nobody = not await tx.driver.fetchval(
            "SELECT EXISTS (SELECT FROM subject WHERE law_digest <> $1 AND NOT retracted)", law.digest
        )
        # A release that applies again after another one starts from the beginning.
        await tx.driver.execute("DELETE FROM rerun WHERE law_digest = $1", law.digest)
        await tx.driver.execute(
            """
            INSERT INTO rerun (law_digest, part, noted, law_version, schedule, started_at, finished_at)
            SELECT $1, part, (SELECT coalesce(max(noted), 0) + 1 FROM rerun), $2, $3, $4, $5
            FROM generate_series(0, $6::integer - 1) AS part
            """,
            law.digest,
            law.version,
            schedule,
            now,
            now if nobody else None,
            PARTS,
        )

    async def total(self, tx: Transaction) -> int:
        found: int = await tx.driver.fetchval("SELECT count(*) FROM subject WHERE NOT retracted")
        return found

    async def progress(self, tx: Transaction, law: Law, total: int) -> Progress | None:
        if await self._latest(tx) != law.digest:
            return None
        row = await tx.driver.fetchrow(
            """
            SELECT sum(persons)::bigint AS persons, sum(changed)::bigint AS changed, sum(erased)::bigint AS erased,
                   sum(failed)::bigint AS failed, bool_and(finished_at IS NOT NULL) AS finished
            FROM rerun WHERE law_digest = $1
            """,
            law.digest,
        )
        return Progress(law_version=law.version, total=total, **dict(row))

    async def claim(self, tx: Transaction, law: Law) -> Part | None:
        row = await tx.driver.fetchrow(
            """
            SELECT part, cursor FROM rerun WHERE law_digest = $1 AND finished_at IS NULL
            ORDER BY part LIMIT 1 FOR UPDATE SKIP LOCKED
            """,
            law.digest,
        )
        return None if row is None else Part(row["part"], row["cursor"])

    async def same_schedule(self, tx: Transaction, law: Law, schedule: bytes) -> bool:
        rows = await tx.driver.fetch(
            """
            SELECT min(schedule) AS schedule, bool_and(finished_at IS NOT NULL) AS finished FROM rerun
            WHERE law_digest <> $1 GROUP BY law_digest ORDER BY min(noted) DESC
            """,
            law.digest,
        )
        for row in rows:
            # Until one that reached everybody: what came after it reached some.
            if row["schedule"] != schedule:
                return False
            if row["finished"]:
                return True
        return False

    async def batch(self, tx: Transaction, part: Part, law: Law, limit: int) -> list[Person]:
        # With `part = $1` the planner takes the primary key for the order, and reads all other parts, too.
        rows = await tx.driver.fetch(
            """
            SELECT subject_id, jurisdiction, facts_id, answers, look_again_on, fact_row FROM subject
            WHERE (part, subject_id) > ($1, $2) AND part <= $1 AND law_digest <> $3 AND NOT retracted
            ORDER BY part, subject_id LIMIT $4
            """,
            part.number,
            part.cursor or _FIRST,
            law.digest,
            limit,
        )
        return [
            Person(who, where, facts_id, answers, again, Sealed.decode(row) if row else None)
            for who, where, facts_id, answers, again, row in rows
        ]

    async def advance(
        self, tx: Transaction, part: Part, law: Law, step: Step, cursor: UUID | None, done_at: datetime | None
    ) -> None:
        await tx.driver.execute(
            """
            UPDATE rerun SET cursor = $3, persons = persons + $4, changed = changed + $5, erased = erased + $6,
                             failed = failed + $7, finished_at = $8
            WHERE law_digest = $1 AND part = $2
            """,
            law.digest,
            part.number,
            cursor,
            step.persons,
            step.changed,
            step.erased,
            step.failed,
            done_at,
        )

    async def keep_rows(self, tx: Transaction, rows: Mapping[UUID, tuple[UUID, Sealed]]) -> None:
        if rows:
            await tx.driver.execute(
                """
                UPDATE subject SET fact_row = news.row
                FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS news(subject_id, facts_id, row)
                WHERE subject.subject_id = news.subject_id AND subject.facts_id = news.facts_id
                """,
                list(rows),
                [facts_id for facts_id, _ in rows.values()],
                [sealed.encode() for _, sealed in rows.values()],
            )

    async def look_again_by(self, tx: Transaction, days: Mapping[UUID, date]) -> None:
        await tx.driver.execute(
            """
            UPDATE subject SET look_again_on = news.day
            FROM unnest($1::uuid[], $2::date[]) AS news(subject_id, day)
            WHERE subject.subject_id = news.subject_id AND (look_again_on IS NULL OR look_again_on > news.day)
            """,
            list(days),
            list(days.values()),
        )

    async def waiting(self, tx: Transaction, limit: int) -> int:
        found: int = await tx.driver.fetchval(
            "SELECT count(*) FROM (SELECT FROM outbox WHERE published_at IS NULL LIMIT $1) AS head", limit
        )
        return found

    async def reported(self, tx: Transaction) -> int:
        found: int = await tx.driver.fetchval("SELECT coalesce(sum(next), 0)::bigint FROM bus_offset")
        return found

    async def _latest(self, tx: Transaction) -> str | None:
        found: str | None = await tx.driver.fetchval("SELECT law_digest FROM rerun ORDER BY noted DESC LIMIT 1")
        return found
