"""The relay: takes events from the outbox to the bus, in order, each at least once, none ever skipped.

Rows are found by being there (status), not by a cursor over ids, so a late commit is never passed over. One relay
owns a shard at a time, by a session advisory lock held on the very connection that does the work: who loses the
connection loses the lock and cannot write.
"""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from operator import itemgetter
from typing import Any

import asyncpg

from contracts.envelope import SHARDS, sequence_headers
from kernel.bus import Bus, Record
from kernel.clock import Clock
from kernel.crashpoints import reach
from kernel.database import Database
from kernel.doorbell import wait_for
from kernel.outbox import Outbox, roll_partitions, unpack_headers
from kernel.telemetry import gauge

BATCH = 500
POLL_SECONDS = 0.15
CLAIM_SECONDS = 2.0
ROLL_SECONDS = 3600.0

OLDEST = gauge("outbox_oldest_seconds", "Age of the oldest unpublished event", ["service"])
PENDING = gauge("outbox_pending", "Unpublished events seen at the last look", ["service"])

_LOOK = """
    SELECT id, shard, topic, key, headers, value, sequence FROM outbox
    WHERE shard = ANY($1::smallint[]) ORDER BY id LIMIT $2
"""
_TAKE = f"""
    WITH head AS MATERIALIZED ({_LOOK}) DELETE FROM outbox USING head WHERE outbox.id = head.id RETURNING head.*
"""
"""For a log in this very database: it cannot lose what we keep, so nothing is kept to send again."""


class Relay:
    """Publishes one service's outbox. Several replicas may run: those without shards stand by."""

    def __init__(
        self, database: Database, outbox: Outbox, bus: Bus, clock: Clock, *, rest_seconds: float = 0.0
    ) -> None:
        """`rest_seconds`: pause after each batch that was not full, where nobody waits for the events."""
        self._rest_seconds = rest_seconds
        self._database = database
        self._outbox = outbox
        self._bus = bus
        self._clock = clock
        self._next: dict[int, int] = {}
        """Next sequence number of the shards that we own."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises Unavailable or the driver's errors: run it again, it resumes by itself."""
        await self._bus.start()
        connection = await self._database.connect()
        bell = self._outbox.doorbell.waiter()
        loop = asyncio.get_running_loop()
        claim_at = roll_at = 0.0
        try:
            while not stop.is_set():
                if loop.time() >= roll_at:
                    async with self._database.transaction() as tx:
                        await roll_partitions(tx, self._clock().date())
                    roll_at = loop.time() + ROLL_SECONDS
                if loop.time() >= claim_at:
                    await self._claim_shards(connection)
                    await self._measure(connection)
                    claim_at = loop.time() + CLAIM_SECONDS
                bell.clear()
                published = await self.relay(connection)
                if published < BATCH:
                    if published and self._rest_seconds:
                        await wait_for(stop, self._rest_seconds)
                    await wait_for(bell, POLL_SECONDS)
            while await self.relay(connection):
                pass
        finally:
            self._next.clear()
            self._outbox.doorbell.remove(bell)
            connection.terminate()

    async def relay(self, connection: Any) -> int:
        """Publishes up to a batch of pending events of our shards; returns how many."""
        if not self._next:
            return 0
        # On a transactional bus stamping, publishing and marking are one commit; elsewhere the stamp is durable
        # first, so that a crash after publishing sends the same number again.
        whole = connection.transaction() if self._bus.transactional else nullcontext()
        step = nullcontext if self._bus.transactional else connection.transaction
        async with whole:
            async with step():
                rows, sequences = await self._stamp(connection)
            if not rows:
                return 0
            reach("relay.before_publish")
            await self._publish(connection, rows, sequences)
            reach("relay.after_publish")
            async with step():
                await self._mark(connection, rows, sequences)
        reach("relay.after_mark")
        self._bus.announce({row["topic"] for row in rows})
        self._published(rows)
        return len(rows)

    async def _claim_shards(self, connection: Any) -> None:
        missing = [shard for shard in range(SHARDS) if shard not in self._next]
        if not missing:
            return
        rows = await connection.fetch(
            """
            SELECT shard FROM unnest($1::integer[]) AS wanted(shard)
            WHERE pg_try_advisory_lock(hashtext(current_schema() || '.outbox'), shard)
            """,
            missing,
        )
        # Read after the lock is ours: the former owner's last commit is in it.
        owned = await connection.fetch(
            "SELECT shard, next FROM outbox_shard WHERE shard = ANY($1::smallint[])", [row["shard"] for row in rows]
        )
        self._next.update({row["shard"]: row["next"] for row in owned})

    async def _stamp(self, connection: Any) -> tuple[Sequence[asyncpg.Record], list[int]]:
        rows = await connection.fetch(_TAKE if self._bus.transactional else _LOOK, list(self._next), BATCH)
        rows.sort(key=itemgetter("id"))
        if not rows:
            return rows, []
        counters = {row["shard"]: self._next[row["shard"]] for row in rows}
        sequences: list[int] = []
        for row in rows:
            if row["sequence"] is None:
                sequences.append(counters[row["shard"]])
                counters[row["shard"]] += 1
            else:
                sequences.append(row["sequence"])
        await connection.execute(
            """
            UPDATE outbox_shard SET next = news.next
            FROM unnest($1::smallint[], $2::bigint[]) AS news(shard, next) WHERE outbox_shard.shard = news.shard
            """,
            list(counters),
            list(counters.values()),
        )
        if not self._bus.transactional:
            await connection.execute(
                """
                UPDATE outbox SET sequence = news.sequence
                FROM unnest($1::bigint[], $2::bigint[]) AS news(id, sequence)
                WHERE outbox.id = news.id AND outbox.sequence IS NULL
                """,
                [row["id"] for row in rows],
                sequences,
            )
            self._next.update(counters)
        # An event that was stamped earlier (before a crash, or driven again) must not overtake lower numbers.
        order = sorted(range(len(rows)), key=lambda i: (rows[i]["shard"], sequences[i]))
        return [rows[i] for i in order], [sequences[i] for i in order]

    async def _publish(self, connection: Any, rows: Sequence[asyncpg.Record], sequences: Sequence[int]) -> None:
        records = [
            Record(
                row["topic"],
                row["key"],
                unpack_headers(row["headers"]) + sequence_headers(row["shard"], sequence),
                row["value"],
            )
            for row, sequence in zip(rows, sequences, strict=True)
        ]
        await self._bus.publish(records, connection)

    async def _mark(self, connection: Any, rows: Sequence[asyncpg.Record], sequences: Sequence[int]) -> None:
        if self._bus.transactional:
            return
        await connection.execute(
            """
            WITH gone AS (
                DELETE FROM outbox USING unnest($1::bigint[], $2::bigint[]) AS stamped(id, sequence)
                WHERE outbox.id = stamped.id
                RETURNING shard, stamped.sequence, topic, key, event_id, headers, value
            )
            INSERT INTO outbox_sent (shard, sequence, topic, key, event_id, headers, value)
            SELECT * FROM gone ON CONFLICT DO NOTHING
            """,
            [row["id"] for row in rows],
            sequences,
        )

    def _published(self, rows: Sequence[asyncpg.Record]) -> None:
        if self._bus.transactional:
            for row in rows:
                if row["sequence"] is None:
                    self._next[row["shard"]] += 1

    async def _measure(self, connection: Any) -> None:
        row = await connection.fetchrow(
            """
            SELECT count(*) AS pending, coalesce(extract(epoch FROM now() - min(created_at)), 0) AS oldest
            FROM (SELECT created_at FROM outbox ORDER BY id LIMIT 10000) AS head
            """
        )
        PENDING.labels(self._database.schema).set(row["pending"])
        OLDEST.labels(self._database.schema).set(float(row["oldest"]))
