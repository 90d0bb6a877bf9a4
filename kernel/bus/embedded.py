"""The event log in PostgreSQL, for running without a broker.

It lives in the producers' own database, so there is nothing to relay: appending numbers the events and writes the log
as the last act of their own transaction, under the row locks of their shards and partitions. Offsets therefore have no
gaps and become visible in order, and what is committed is published.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID
from zlib import crc32

from contracts.envelope import sequence_headers
from contracts.events import READERS
from kernel.bus import Delivery, Extent, Handled, Message, Position, Record, Subscription
from kernel.bus.wakeup import Wakeup
from kernel.database import NOT_CONNECTED, UNAVAILABLE, Database
from kernel.doorbell import wait_for
from kernel.errors import Unavailable
from kernel.events.outbox import unpack_headers
from kernel.events.shares import Shares

PARTITIONS = 4
POLL_SECONDS = 1.0
"""A lost wake-up costs no more than this."""
SETTLE_SECONDS = 1.0
SWEEP_SECONDS = 60.0
RETENTION = timedelta(days=7)
"""How long a record stays at least; whatever its age, until every group that reads its topic has handled it."""

_APPEND = """
    WITH shards AS MATERIALIZED (
        SELECT shard, next FROM outbox_shard WHERE shard = ANY($1::smallint[]) ORDER BY shard FOR UPDATE
    ), partitions AS MATERIALIZED (
        -- After the shards, and in one order: two transactions never wait for each other in a circle.
        SELECT id, next FROM bus.partition
        WHERE id = ANY($3::integer[]) AND (SELECT count(*) FROM shards) > 0 ORDER BY id FOR UPDATE
    ), numbered AS (
        UPDATE outbox_shard SET next = shards.next + news.count
        FROM shards JOIN unnest($1::smallint[], $2::integer[]) AS news(shard, count) USING (shard)
        WHERE outbox_shard.shard = shards.shard
    ), advanced AS (
        UPDATE bus.partition SET next = partitions.next + news.count
        FROM partitions JOIN unnest($3::integer[], $4::integer[]) AS news(id, count) USING (id)
        WHERE bus.partition.id = partitions.id
    )
    INSERT INTO bus.record (partition_id, "offset", key, headers, value, shard, sequence)
    SELECT partitions.id, partitions.next + message.place, message.key, message.headers, message.value,
        message.shard, shards.next + message.number
    FROM unnest($5::integer[], $6::integer[], $7::smallint[], $8::integer[], $9::uuid[], $10::bytea[], $11::bytea[])
        AS message(partition_id, place, shard, number, key, headers, value)
    JOIN partitions ON partitions.id = message.partition_id JOIN shards ON shards.shard = message.shard
"""

_READ = """
    SELECT partition_id, "offset", key, headers, value, shard, sequence,
        extract(epoch FROM appended_at)::float8 AS appended_at
    FROM unnest($1::integer[], $2::bigint[]) AS wanted(id, next)
    JOIN bus.partition USING (id)
    CROSS JOIN LATERAL (
        SELECT * FROM bus.record
        WHERE partition_id = wanted.id AND "offset" >= wanted.next
        ORDER BY "offset" LIMIT $3
    ) AS unread
    WHERE bus.partition.next > wanted.next
    LIMIT $3
"""

_SWEEP = """
    DELETE FROM bus.record USING (
        SELECT partition_id, min(bus.progress.next) AS next
        FROM bus.progress JOIN bus.partition ON bus.partition.id = partition_id
        JOIN unnest($1::text[], $2::text[]) AS reader(topic, consumers) USING (topic, consumers)
        GROUP BY partition_id, topic
        HAVING count(*) = (SELECT count(*) FROM unnest($1::text[]) AS wanted(name) WHERE name = topic)
    ) AS unread CROSS JOIN LATERAL (
        SELECT "offset", appended_at FROM bus.record
        WHERE partition_id = unread.partition_id AND "offset" < unread.next ORDER BY "offset" LIMIT 2000
    ) AS oldest
    WHERE bus.record.partition_id = unread.partition_id AND bus.record."offset" = oldest."offset"
        AND oldest.appended_at < now() - $3::interval
"""


def partition_of(key: UUID) -> int:
    """The partition of a key."""
    return crc32(key.bytes) % PARTITIONS


class EmbeddedBus:
    """The log in schema `bus` of the same PostgreSQL server as the services' schemas. Implements `Bus` and `Log`."""

    name = "embedded"

    def __init__(
        self,
        database: Database,
        readers: Mapping[str, Collection[str]] = READERS,
        *,
        retention: timedelta = RETENTION,
    ) -> None:
        """`readers` gives the topics, and the groups that must have handled a record before it goes."""
        self._database = database
        self._readers = readers
        self._retention = retention
        self._ids: dict[tuple[str, int], int] = {}
        self._wakeup = Wakeup(database)

    async def start(self) -> None:
        if self._ids:
            return
        async with self._database.transaction() as tx:
            await tx.driver.execute(
                """
                INSERT INTO bus.partition (topic, partition)
                SELECT topic, number FROM unnest($1::text[]) AS topic, generate_series(0, $2 - 1) AS number
                ON CONFLICT DO NOTHING
                """,
                list(self._readers),
                PARTITIONS,
            )
            rows = await tx.driver.fetch("SELECT id, topic, partition FROM bus.partition")
        self._ids = {(row["topic"], row["partition"]): row["id"] for row in rows}

    async def close(self) -> None:
        await self._wakeup.close()
        await self._database.close()

    async def generations(self, topics: Collection[str]) -> Mapping[str, str]:
        async with self._database.transaction() as tx:
            return dict.fromkeys(topics, str(await tx.driver.fetchval("SELECT id FROM bus.log")))

    async def extents(self, topics: Collection[str]) -> Mapping[Position, Extent]:
        await self.start()
        async with self._database.transaction() as tx:
            rows = await tx.driver.fetch(
                """
                SELECT topic, partition, next, (
                    SELECT min("offset") FROM bus.record WHERE partition_id = bus.partition.id
                ) AS first
                FROM bus.partition WHERE topic = ANY($1::text[])
                """,
                list(topics),
            )
        return {
            Position(row["topic"], row["partition"]): Extent(
                row["next"] if row["first"] is None else row["first"], row["next"]
            )
            for row in rows
        }

    async def append(self, driver: Any, messages: Sequence[Message]) -> None:
        await self.start()
        shards: Counter[int] = Counter()
        partitions: Counter[int] = Counter()
        rows = []
        for message in messages:
            id = self._ids[message.topic, partition_of(message.key)]
            rows.append((id, partitions[id], message.shard, shards[message.shard], message.key))
            shards[message.shard] += 1
            partitions[id] += 1
        await driver.execute(
            _APPEND,
            list(shards.keys()),
            list(shards.values()),
            list(partitions.keys()),
            list(partitions.values()),
            *(list(column) for column in zip(*rows, strict=True)),
            [message.headers for message in messages],
            [message.value for message in messages],
        )

    def announce(self, topics: Collection[str]) -> None:
        self._wakeup.ring(topics)

    @asynccontextmanager
    async def subscribe(self, group: str, topics: Sequence[str], member: str | None) -> AsyncIterator[Subscription]:
        await self.start()
        try:
            connection = await self._database.session()
        except NOT_CONNECTED as error:
            raise Unavailable(f"the database does not answer ({type(error).__name__})") from error
        try:
            with self._wakeup.waiting(topics) as bell:
                ids = {id: Position(topic, number) for (topic, number), id in self._ids.items() if topic in topics}
                subscription = _LogSubscription(connection, group, ids, bell, self._readers, self._retention)
                yield subscription
                await subscription.leave()
        finally:
            connection.terminate()


class _LogSubscription:
    def __init__(
        self,
        connection: Any,
        group: str,
        positions: Mapping[int, Position],
        bell: asyncio.Event,
        readers: Mapping[str, Collection[str]],
        retention: timedelta,
    ) -> None:
        self._connection = connection
        self._retention = retention
        self._group = group
        self._positions = positions
        self._bell = bell
        self._readers = [(topic, reader) for topic, its_readers in readers.items() for reader in its_readers]
        self._shares = Shares(connection, f"bus.{group}", list(positions))
        self._next: dict[int, int] = {}
        """Where to read next, of the partitions that we hold and were told where to begin."""
        self._handled: dict[int, int] = {}
        self._settle_at = self._sweep_at = 0.0

    async def fetch(self, max_records: int, seconds: float) -> Sequence[Delivery]:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        try:
            while True:
                if loop.time() >= self._settle_at:
                    self._settle_at = loop.time() + SETTLE_SECONDS
                    if await self._settle():
                        return ()
                if loop.time() >= self._sweep_at:
                    self._sweep_at = loop.time() + SWEEP_SECONDS
                    await self._connection.execute(
                        _SWEEP, *map(list, zip(*self._readers, strict=True)), self._retention
                    )
                self._bell.clear()
                deliveries = await self._read(max_records)
                left = until - loop.time()
                if deliveries or left <= 0:
                    return deliveries
                await wait_for(self._bell, min(left, POLL_SECONDS))
        except (*UNAVAILABLE, TimeoutError) as error:
            raise Unavailable(f"the database does not answer ({type(error).__name__})") from error

    def assigned(self) -> frozenset[Position]:
        return frozenset(self._positions[id] for id in self._shares.held)

    def seek(self, position: Position, offset: int) -> None:
        for id in self._shares.held:
            if self._positions[id] == position:
                self._next[id] = offset

    async def handled(self, through: Mapping[Position, Handled]) -> None:
        for id, position in self._positions.items():
            if position in through:
                self._handled[id] = through[position].next

    async def leave(self) -> None:
        """Frees our partitions for the others at once rather than when the connection is found dead."""
        with suppress(*UNAVAILABLE, TimeoutError):
            await self._note_progress()
            await self._shares.leave()

    async def _settle(self) -> bool:
        """Shares the partitions; True when some are new to us, and have to be told where to begin."""
        new = await self._shares.settle()
        self._next = {id: next for id, next in self._next.items() if id in self._shares.held}
        await self._note_progress()
        return bool(new)

    async def _read(self, max_records: int) -> Sequence[Delivery]:
        if not self._next:
            return ()
        rows = await self._connection.fetch(_READ, list(self._next.keys()), list(self._next.values()), max_records)
        deliveries = []
        for row in rows:
            position = self._positions[row["partition_id"]]
            headers = unpack_headers(row["headers"])
            if row["sequence"] is not None:
                headers += sequence_headers(row["shard"], row["sequence"])
            record = Record(position.topic, row["key"], headers, row["value"])
            deliveries.append(Delivery(position, row["offset"], record, row["appended_at"]))
            self._next[row["partition_id"]] = row["offset"] + 1
        return deliveries

    async def _note_progress(self) -> None:
        if not self._handled:
            return
        noted, self._handled = self._handled, {}
        await self._connection.execute(
            """
            INSERT INTO bus.progress (consumers, partition_id, next)
            SELECT $1, * FROM unnest($2::integer[], $3::bigint[])
            ON CONFLICT (consumers, partition_id) DO UPDATE SET next = excluded.next WHERE progress.next < excluded.next
            """,
            self._group,
            list(noted.keys()),
            list(noted.values()),
        )
