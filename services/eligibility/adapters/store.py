"""Persons and their determinations in PostgreSQL: one statement per batch, whatever its size."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from kernel.database import Transaction
from kernel.sealing import Sealed
from services.eligibility.application.ports import Evaluation, Facts, Standing

_FACTS = "f.event_id, f.encounter_at, f.accepted_at, f.sealed AS facts"
_STANDING = f"""
    SELECT s.subject_id, s.encounter_id, s.agency, s.jurisdiction, s.correlation_id, s.traceparent, s.determination_id,
           s.published_id, s.answers, s.law_digest, s.look_again_on, {_FACTS}
    FROM subject AS s JOIN subject_facts AS f ON f.event_id = s.facts_id
"""
_EVALUATION = """
    d.determination_id, d.subject_id, d.facts_id AS evaluated, d.as_of, d.law_version, d.law_digest AS made_under,
    d.made_at, d.published, d.replaces, d.sealed
"""


class PostgresStore:
    """`application.ports.Store` on the schema `eligibility`."""

    async def known(self, tx: Transaction, event_ids: Collection[UUID]) -> set[UUID]:
        rows = await tx.driver.fetch(
            "SELECT event_id FROM subject_facts WHERE event_id = ANY($1::uuid[])", list(event_ids)
        )
        return {row["event_id"] for row in rows}

    async def standings(
        self, tx: Transaction, subject_ids: Collection[UUID], *, retracted: bool = True
    ) -> dict[UUID, Standing]:
        # Locked first and read after: what another transaction was about to write is then in what we read.
        locked = await tx.driver.fetch(
            """
            SELECT subject_id FROM subject WHERE subject_id = ANY($1::uuid[]) AND ($2 OR NOT retracted)
            ORDER BY subject_id FOR UPDATE
            """,
            list(subject_ids),
            retracted,
        )
        found = await self._read(tx, [row["subject_id"] for row in locked])
        return {standing.subject_id: standing for standing in found}

    async def facts(self, tx: Transaction, event_ids: Collection[UUID]) -> dict[UUID, Facts]:
        rows = await tx.driver.fetch(
            f"SELECT {_FACTS}, f.subject_id, f.encounter_id FROM subject_facts AS f WHERE event_id = ANY($1::uuid[])",
            list(event_ids),
        )
        return {row["event_id"]: _facts(row) for row in rows}

    async def reports(self, tx: Transaction, subject_ids: Collection[UUID]) -> list[Facts]:
        rows = await tx.driver.fetch(
            f"SELECT {_FACTS}, f.subject_id, f.encounter_id FROM subject_facts AS f WHERE subject_id = ANY($1::uuid[])"
            " ORDER BY f.accepted_at, f.event_id",
            list(subject_ids),
        )
        return [_facts(row) for row in rows]

    async def due(self, tx: Transaction, today: Mapping[str, date], limit: int) -> list[Standing]:
        locked = await tx.driver.fetch(
            """
            SELECT subject_id FROM subject JOIN unnest($1::text[], $2::date[]) AS now(jurisdiction, today)
            USING (jurisdiction)
            WHERE look_again_on <= today AND look_again_on IS NOT NULL AND NOT retracted
            ORDER BY look_again_on LIMIT $3 FOR UPDATE OF subject SKIP LOCKED
            """,
            list(today),
            list(today.values()),
            limit,
        )
        return await self._read(tx, [row["subject_id"] for row in locked])

    async def of_encounter(self, tx: Transaction, encounter_id: UUID) -> list[tuple[Standing, Evaluation]]:
        rows = await tx.driver.fetch(
            f"""
            SELECT standing.*, {_EVALUATION}
            FROM ({_STANDING} WHERE s.encounter_id = $1 AND NOT retracted) AS standing
            JOIN determination AS d USING (determination_id) ORDER BY standing.subject_id
            """,
            encounter_id,
        )
        return [(_standing(row), _evaluation(row)) for row in rows]

    async def evaluated(self, tx: Transaction, determination_id: UUID) -> tuple[Evaluation, Facts, str] | None:
        row = await tx.driver.fetchrow(
            f"""
            SELECT {_EVALUATION}, {_FACTS}, f.encounter_id, s.jurisdiction
            FROM determination AS d JOIN subject_facts AS f ON f.event_id = d.facts_id
            JOIN subject AS s ON s.subject_id = d.subject_id WHERE d.determination_id = $1
            """,
            determination_id,
        )
        return None if row is None else (_evaluation(row), _facts(row), row["jurisdiction"])

    async def keep(
        self, tx: Transaction, facts: Sequence[Facts], evaluations: Sequence[Evaluation], standings: Sequence[Standing]
    ) -> None:
        if facts:
            await tx.driver.execute(
                """
                INSERT INTO subject_facts
                    (event_id, subject_id, encounter_id, encounter_at, accepted_at, key_id, commitment, sealed)
                SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[],
                                     $6::uuid[], $7::bytea[], $8::bytea[])
                """,
                *_columns(
                    (
                        one.event_id,
                        one.subject_id,
                        one.encounter_id,
                        one.encounter_at,
                        one.accepted_at,
                        one.sealed.key_id,
                        one.sealed.commitment,
                        one.sealed.encode(),
                    )
                    for one in facts
                ),
            )
        await tx.driver.execute(
            """
            INSERT INTO determination (determination_id, subject_id, facts_id, as_of, law_version, law_digest, made_at,
                                       published, replaces, sealed)
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[], $6::text[],
                                 $7::timestamptz[], $8::boolean[], $9::uuid[], $10::bytea[])
            """,
            *_columns(
                (
                    one.determination_id,
                    one.subject_id,
                    one.facts_id,
                    one.as_of,
                    one.law_version,
                    one.law_digest,
                    one.made_at,
                    one.published,
                    one.replaces,
                    one.sealed.encode(),
                )
                for one in evaluations
            ),
        )
        await tx.driver.execute(
            """
            INSERT INTO subject (subject_id, encounter_id, agency, jurisdiction, correlation_id, traceparent, facts_id,
                                 determination_id, published_id, answers, law_digest, look_again_on, fact_row)
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::uuid[],
                                 $8::uuid[], $9::uuid[], $10::bytea[], $11::text[], $12::date[], $13::bytea[])
            ON CONFLICT (subject_id) DO UPDATE SET
                traceparent = excluded.traceparent, facts_id = excluded.facts_id,
                fact_row = CASE WHEN excluded.facts_id = subject.facts_id
                                THEN coalesce(excluded.fact_row, subject.fact_row) ELSE excluded.fact_row END,
                determination_id = excluded.determination_id, published_id = excluded.published_id,
                answers = excluded.answers, law_digest = excluded.law_digest,
                look_again_on = excluded.look_again_on, retracted = false
            """,
            *_columns(
                (
                    one.subject_id,
                    one.encounter_id,
                    one.agency,
                    one.jurisdiction,
                    one.correlation_id,
                    one.traceparent,
                    one.facts.event_id,
                    one.latest_id,
                    one.published_id,
                    one.answers,
                    one.law_digest,
                    one.look_again_on,
                    one.row.encode() if one.row else None,
                )
                for one in standings
            ),
        )

    async def look_again(self, tx: Transaction, days: Mapping[UUID, date | None]) -> None:
        await tx.driver.execute(
            """
            UPDATE subject SET look_again_on = news.day
            FROM unnest($1::uuid[], $2::date[]) AS news(subject_id, day) WHERE subject.subject_id = news.subject_id
            """,
            list(days),
            list(days.values()),
        )

    async def retract(self, tx: Transaction, encounter_ids: Collection[UUID]) -> None:
        await tx.driver.execute(
            "UPDATE subject SET retracted = true WHERE encounter_id = ANY($1::uuid[])", list(encounter_ids)
        )

    async def forget(self, tx: Transaction, subject_ids: Collection[UUID]) -> None:
        await tx.driver.execute("DELETE FROM subject WHERE subject_id = ANY($1::uuid[])", list(subject_ids))
        # Determinations go with the facts that they were made from.
        await tx.driver.execute("DELETE FROM subject_facts WHERE subject_id = ANY($1::uuid[])", list(subject_ids))

    async def _read(self, tx: Transaction, subject_ids: Sequence[UUID]) -> list[Standing]:
        if not subject_ids:
            return []
        rows = await tx.driver.fetch(f"{_STANDING} WHERE s.subject_id = ANY($1::uuid[])", subject_ids)
        return [_standing(row) for row in rows]


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """The columns of one row or more, as `unnest` takes them."""
    return [list(column) for column in zip(*rows, strict=True)]


def _facts(row: Any) -> Facts:
    return Facts(
        event_id=row["event_id"],
        subject_id=row["subject_id"],
        encounter_id=row["encounter_id"],
        encounter_at=row["encounter_at"],
        accepted_at=row["accepted_at"],
        sealed=Sealed.decode(row["facts"]),
    )


def _evaluation(row: Any) -> Evaluation:
    return Evaluation(
        determination_id=row["determination_id"],
        subject_id=row["subject_id"],
        facts_id=row["evaluated"],
        as_of=row["as_of"],
        law_version=row["law_version"],
        law_digest=row["made_under"],
        made_at=row["made_at"],
        sealed=Sealed.decode(row["sealed"]),
        published=row["published"],
        replaces=row["replaces"],
    )


def _standing(row: Any) -> Standing:
    return Standing(
        subject_id=row["subject_id"],
        encounter_id=row["encounter_id"],
        agency=row["agency"],
        jurisdiction=row["jurisdiction"],
        correlation_id=row["correlation_id"],
        traceparent=row["traceparent"],
        facts=_facts(row),
        latest_id=row["determination_id"],
        answers=row["answers"],
        law_digest=row["law_digest"],
        published_id=row["published_id"],
        look_again_on=row["look_again_on"],
    )
