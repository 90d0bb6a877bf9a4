"""Appending to the trail and reading from it. Every append is in one transaction with the consumer's offsets."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import orjson

from contracts.events import TRAIL, TrailCheckpointed, Watermark
from kernel.database import Transaction
from services.audit.application.ports import Gap, SourceState, TrailState
from services.audit.domain.continuity import Continuity
from services.audit.domain.entry import Entry
from services.audit.domain.lineage import Step

_COLUMNS = (
    "index",
    "kind",
    "event_id",
    "type",
    "time",
    "encounter_id",
    "bus",
    "generation",
    "topic",
    "partition",
    "offset",
    "content",
    "digest",
    "leaf_hash",
    "appended_at",
)


class PostgresTrail:
    """`services.audit.application.ports.Trail` on the tables of schema `audit`."""

    async def append(self, tx: Transaction, entries: Sequence[Entry], *, bus: str, appended_at: datetime) -> int:
        """Gives the entries the next places and stores them; returns the new size of the trail.

        The head's row lock makes one writer at a time: places have no gaps and no two entries share one.
        """
        size: int = await tx.driver.fetchval("SELECT size FROM log_head FOR UPDATE")
        await tx.driver.copy_records_to_table(
            "entry",
            columns=_COLUMNS,
            records=[
                (
                    index,
                    entry.kind,
                    entry.event.id,
                    entry.event.type,
                    entry.event.time,
                    entry.event.encounter_id,
                    bus,
                    entry.generation,
                    entry.delivery.position.topic,
                    entry.delivery.position.partition,
                    entry.delivery.offset,
                    entry.content,
                    entry.digest,
                    entry.leaf_hash,
                    appended_at,
                )
                for index, entry in enumerate(entries, start=size)
            ],
        )
        told = sum(1 for entry in entries if entry.event.type != TrailCheckpointed.TYPE)
        await tx.driver.execute("UPDATE log_head SET size = size + $1, told = told + $2", len(entries), told)
        return size + len(entries)

    async def digests(self, tx: Transaction, event_ids: Sequence[UUID]) -> dict[UUID, set[bytes]]:
        """What is in the trail under these event ids."""
        rows = await tx.driver.fetch("SELECT event_id, digest FROM entry WHERE event_id = ANY($1::uuid[])", event_ids)
        found: dict[UUID, set[bytes]] = {}
        for row in rows:
            found.setdefault(row["event_id"], set()).add(row["digest"])
        return found

    async def note_arrivals(
        self, tx: Transaction, arrived: Mapping[tuple[str, int], Sequence[int]], at: datetime
    ) -> None:
        """Keeps the continuity of each (source, shard) up to date, and since when something has been missing."""
        if not arrived:
            return
        rows = await tx.driver.fetch(
            """
            SELECT source, shard, highest, missing FROM continuity
            JOIN unnest($1::text[], $2::smallint[]) AS wanted(source, shard) USING (source, shard)
            """,
            [source for source, _ in arrived],
            [shard for _, shard in arrived],
        )
        known = {
            (row["source"], row["shard"]): Continuity(
                row["highest"], tuple((first, last) for first, last in orjson.loads(row["missing"]))
            )
            for row in rows
        }
        news = {key: known.get(key, Continuity()).with_arrived(sequences) for key, sequences in arrived.items()}
        await tx.driver.execute(
            """
            INSERT INTO continuity (source, shard, highest, through, missing, missing_since)
            SELECT source, shard, highest, through, missing, CASE WHEN missing <> '[]' THEN $6::timestamptz END
            FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::bigint[], $5::text[])
                AS news(source, shard, highest, through, missing)
            ON CONFLICT (source, shard) DO UPDATE SET
                highest = excluded.highest, through = excluded.through, missing = excluded.missing,
                missing_since = CASE WHEN excluded.missing <> '[]' AND excluded.through = continuity.through
                    THEN coalesce(continuity.missing_since, excluded.missing_since) ELSE excluded.missing_since END
            """,
            [source for source, _ in news],
            [shard for _, shard in news],
            [state.highest for state in news.values()],
            [state.through for state in news.values()],
            [orjson.dumps(state.missing).decode() for state in news.values()],
            at,
        )

    async def gaps(self, tx: Transaction, before: datetime) -> list[Gap]:
        """What has been missing since before this moment."""
        rows = await tx.driver.fetch(
            "SELECT source, shard, missing, missing_since FROM continuity WHERE missing_since < $1 ORDER BY 1, 2",
            before,
        )
        return [
            Gap(
                row["source"],
                row["shard"],
                tuple((first, last) for first, last in orjson.loads(row["missing"])),
                row["missing_since"],
            )
            for row in rows
        ]

    async def next_checkpoint(self, tx: Transaction) -> TrailCheckpointed | None:
        """What has been covered since the last checkpoint, noted as published with this transaction; None for no news.

        Checkpoints' own entries are no news, else each would cause the next.
        """
        head = await tx.driver.fetchrow("SELECT size, told, checkpointed FROM log_head FOR UPDATE")
        if head["told"] == head["checkpointed"]:
            return None
        rows = await tx.driver.fetch(
            """
            UPDATE continuity SET published = through WHERE through > published
            RETURNING source, shard, through
            """
        )
        await tx.driver.execute("UPDATE log_head SET checkpointed = told")
        return TrailCheckpointed(
            size=head["size"],
            watermarks=tuple(
                Watermark(source=row["source"], shard=row["shard"], through=row["through"])
                for row in sorted(rows, key=lambda row: (row["source"], row["shard"]))
            ),
        )

    async def history(self, tx: Transaction, encounter_id: UUID) -> list[Step]:
        """Every event of an encounter, in order of arrival; reads of it are not part of its history."""
        rows = await tx.driver.fetch(
            """
            SELECT index, event_id, time, content FROM entry
            WHERE encounter_id = $1 AND topic NOT IN ('access', $2) ORDER BY index
            """,
            encounter_id,
            TRAIL,
        )
        steps = []
        for row in rows:
            told = orjson.loads(row["content"])["event"]
            cause = told.get("causation_id")
            steps.append(Step(row["index"], row["event_id"], UUID(cause) if cause else None, row["time"], told))
        return steps

    async def state(self, tx: Transaction) -> TrailState:
        rows = await tx.driver.fetch("SELECT source, highest, missing FROM continuity ORDER BY source")
        sums: dict[str, list[int]] = {}
        for row in rows:
            lost = sum(last - first + 1 for first, last in orjson.loads(row["missing"]))
            total = sums.setdefault(row["source"], [0, 0])
            total[0] += row["highest"] + 1 - lost
            total[1] += lost
        return TrailState(
            size=await tx.driver.fetchval("SELECT size FROM log_head"),
            conflicts=await tx.driver.fetchval("SELECT count(*) FROM entry WHERE kind = 'conflict'"),
            sources=tuple(SourceState(source, received, missing) for source, (received, missing) in sums.items()),
        )
