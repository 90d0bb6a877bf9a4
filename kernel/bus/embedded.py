"""The event log in PostgreSQL, for running without a broker.

Offsets are allocated under the partition's row lock inside the appending transaction, so they have no gaps and become
visible in order. Members of a group share partitions by advisory lock, which a dead member loses;
the others take over within seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from zlib import crc32

from contracts.events import TOPICS
from kernel.bus import Delivery, Position, Record, Subscription
from kernel.database import UNAVAILABLE, Database
from kernel.doorbell import Doorbell, wait_for
from kernel.errors import Unavailable
from kernel.outbox import pack_headers, unpack_headers

PARTITIONS = 4
POLL_SECONDS = 0.15
HEARTBEAT_SECONDS = 1.0
MEMBER_LOST_SECONDS = 5.0
SWEEP_SECONDS = 60.0
RETENTION = timedelta(days=7)
"""How long a record stays at least; whatever its age, until every group of consumers has read it."""

_SWEEP = """
    DELETE FROM bus.record USING (
        SELECT partition_id, min(next) AS next FROM bus.progress GROUP BY partition_id
    ) AS unread CROSS JOIN LATERAL (
        SELECT "offset", appended_at FROM bus.record
        WHERE partition_id = unread.partition_id AND "offset" < unread.next ORDER BY "offset" LIMIT 2000
    ) AS oldest
    WHERE bus.record.partition_id = unread.partition_id AND bus.record."offset" = oldest."offset"
        AND oldest.appended_at < now() - $1::interval
"""


def partition_of(record: Record) -> int:
    """The partition of a record's key."""
    return crc32(record.key.bytes) % PARTITIONS


class EmbeddedBus:
    """The log in schema `bus` of the same PostgreSQL server as the services' schemas."""

    name = "embedded"
    transactional = True

    def __init__(self, database: Database, topics: Sequence[str] = TOPICS, *, retention: timedelta = RETENTION) -> None:
        self._database = database
        self._topics = tuple(topics)
        self._retention = retention
        self._doorbells: dict[str, Doorbell] = {}
        self._ids: dict[tuple[str, int], int] = {}

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
                list(self._topics),
                PARTITIONS,
            )
            rows = await tx.driver.fetch("SELECT id, topic, partition FROM bus.partition")
        self._ids = {(row["topic"], row["partition"]): row["id"] for row in rows}

    async def close(self) -> None:
        await self._database.close()

    async def generation(self) -> str:
        async with self._database.transaction() as tx:
            return str(await tx.driver.fetchval("SELECT id FROM bus.log"))

    async def publish(self, records: Sequence[Record], driver: Any) -> None:
        ids = [self._ids[record.topic, partition_of(record)] for record in records]
        # Locked in one order, so that two publishers never wait for each other in a circle; held until commit, so
        # that offsets have no gaps and no reader passes a record that is not visible yet.
        rows = await driver.fetch(
            "SELECT id, next FROM bus.partition WHERE id = ANY($1::integer[]) ORDER BY id FOR UPDATE", list(set(ids))
        )
        nexts = {row["id"]: row["next"] for row in rows}
        offsets = []
        for partition_id in ids:
            offsets.append(nexts[partition_id])
            nexts[partition_id] += 1
        await driver.execute(
            """
            WITH advanced AS (
                UPDATE bus.partition SET next = news.next
                FROM unnest($6::integer[], $7::bigint[]) AS news(id, next) WHERE bus.partition.id = news.id
            )
            INSERT INTO bus.record (partition_id, "offset", key, headers, value)
            SELECT * FROM unnest($1::integer[], $2::bigint[], $3::uuid[], $4::bytea[], $5::bytea[])
            """,
            ids,
            offsets,
            [record.key for record in records],
            [pack_headers(record.headers) for record in records],
            [record.value for record in records],
            list(nexts.keys()),
            list(nexts.values()),
        )

    def announce(self, topics: Collection[str]) -> None:
        for topic in topics:
            self._doorbell(topic).ring()

    @asynccontextmanager
    async def subscribe(self, group: str, topics: Sequence[str], member: str) -> AsyncIterator[Subscription]:
        await self.start()
        try:
            connection = await self._database.connect()
        except UNAVAILABLE as error:
            raise Unavailable(f"the database does not answer ({type(error).__name__})") from error
        bell = asyncio.Event()
        doorbells = [self._doorbell(topic) for topic in topics]
        for doorbell in doorbells:
            doorbell.add(bell)
        ids = {id: Position(topic, number) for (topic, number), id in self._ids.items() if topic in topics}
        subscription = _LogSubscription(connection, group, member, ids, bell, self._retention)
        try:
            yield subscription
            await subscription.leave()
        finally:
            for doorbell in doorbells:
                doorbell.remove(bell)
            connection.terminate()

    def _doorbell(self, topic: str) -> Doorbell:
        return self._doorbells.setdefault(topic, Doorbell())


class _LogSubscription:
    def __init__(
        self,
        connection: Any,
        group: str,
        member: str,
        positions: Mapping[int, Position],
        bell: asyncio.Event,
        retention: timedelta,
    ) -> None:
        self._connection = connection
        self._group = group
        self._member = member
        self._positions = dict(sorted(positions.items()))
        self._bell = bell
        self._retention = retention
        self._next: dict[int, int] = {}
        """Where to read next, of the partitions that we hold."""
        # A group that was never here holds every record from now on.
        self._handled: dict[int, int] = dict.fromkeys(self._positions, 0)
        self._heartbeat_at = 0.0
        self._sweep_at = 0.0

    async def fetch(self, max_records: int, seconds: float) -> Sequence[Delivery]:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        try:
            while True:
                if loop.time() >= self._heartbeat_at:
                    await self._share_partitions()
                    await self._note_progress()
                    self._heartbeat_at = loop.time() + HEARTBEAT_SECONDS
                if loop.time() >= self._sweep_at:
                    await self._connection.execute(_SWEEP, self._retention)
                    self._sweep_at = loop.time() + SWEEP_SECONDS
                self._bell.clear()
                deliveries = await self._read(max_records)
                left = until - loop.time()
                if deliveries or left <= 0:
                    return deliveries
                await wait_for(self._bell, min(left, POLL_SECONDS))
        except UNAVAILABLE as error:
            raise Unavailable(f"the database does not answer ({type(error).__name__})") from error

    def assigned(self) -> frozenset[Position]:
        return frozenset(self._positions[id] for id in self._next)

    async def bounds(self, positions: Sequence[Position]) -> Mapping[Position, tuple[int, int]]:
        try:
            rows = await self._connection.fetch(
                """
                SELECT topic, partition, next, (
                    SELECT min("offset") FROM bus.record WHERE partition_id = bus.partition.id
                ) AS first
                FROM bus.partition WHERE topic = ANY($1::text[])
                """,
                [position.topic for position in positions],
            )
        except UNAVAILABLE as error:
            raise Unavailable(f"the database does not answer ({type(error).__name__})") from error
        found = {
            Position(row["topic"], row["partition"]): (
                row["next"] if row["first"] is None else row["first"],
                row["next"],
            )
            for row in rows
        }
        return {position: found[position] for position in positions}

    def seek(self, position: Position, offset: int) -> None:
        for id in self._next:
            if self._positions[id] == position:
                self._next[id] = offset

    async def handled(self, nexts: Mapping[Position, int]) -> None:
        for id, position in self._positions.items():
            if position in nexts:
                self._handled[id] = nexts[position]

    async def leave(self) -> None:
        """Frees our partitions for the others at once rather than when the connection is found dead."""
        with suppress(*UNAVAILABLE):
            await self._note_progress()
            await self._connection.execute(
                "DELETE FROM bus.member WHERE consumers = $1 AND member = $2", self._group, self._member
            )
            await self._connection.execute("SELECT pg_advisory_unlock_all()")

    async def _read(self, max_records: int) -> Sequence[Delivery]:
        if not self._next:
            return ()
        rows = await self._connection.fetch(
            """
            SELECT partition_id, "offset", key, headers, value
            FROM unnest($1::integer[], $2::bigint[]) AS wanted(id, next)
            JOIN bus.partition USING (id)
            CROSS JOIN LATERAL (
                SELECT * FROM bus.record
                WHERE partition_id = wanted.id AND "offset" >= wanted.next
                ORDER BY "offset" LIMIT $3
            ) AS unread
            WHERE bus.partition.next > wanted.next
            LIMIT $3
            """,
            list(self._next.keys()),
            list(self._next.values()),
            max_records,
        )
        deliveries = []
        for row in rows:
            position = self._positions[row["partition_id"]]
            record = Record(position.topic, row["key"], unpack_headers(row["headers"]), row["value"])
            deliveries.append(Delivery(position, row["offset"], record))
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

    async def _share_partitions(self) -> None:
        members = await self._connection.fetch(
            """
            WITH me AS (
                INSERT INTO bus.member (consumers, member, seen_at) VALUES ($1, $2, clock_timestamp())
                ON CONFLICT (consumers, member) DO UPDATE SET seen_at = clock_timestamp() RETURNING member
            )
            SELECT member FROM bus.member
            WHERE consumers = $1 AND seen_at > clock_timestamp() - make_interval(secs => $3)
            UNION SELECT member FROM me ORDER BY member
            """,
            self._group,
            self._member,
            MEMBER_LOST_SECONDS,
        )
        names = [row["member"] for row in members]
        mine = {id for place, id in enumerate(self._positions) if names[place % len(names)] == self._member}
        for id in set(self._next) - mine:
            await self._connection.execute("SELECT pg_advisory_unlock(hashtext($1), $2)", self._group, id)
            del self._next[id]
        wanted = sorted(mine - set(self._next))
        if wanted:
            rows = await self._connection.fetch(
                "SELECT id FROM unnest($2::integer[]) AS wanted(id) WHERE pg_try_advisory_lock(hashtext($1), id)",
                self._group,
                wanted,
            )
            self._next.update({row["id"]: 0 for row in rows})
