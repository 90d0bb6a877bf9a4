"""The relay: takes events from the outbox to a broker, in order, each at least once, none ever skipped.

Rows are found by being there (status), not by a cursor over ids, so a late commit is never passed over. Each row is
numbered, durably, before it is sent: a crash after sending sends the same number again. Replicas share the shards; a
shard is held by a lock on the very connection that does the work: who loses the connection loses the lock and cannot
write. Each record has its own result: what is confirmed is marked, a partition that fails rests and holds back only
itself, and what the broker will never take is set aside with an alarm, with the later events of its key behind it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from contracts.envelope import SHARDS, sequence_headers
from contracts.events import TOPICS
from kernel.backoff import backoff_seconds
from kernel.bus import Broker, Bus, Parcel, Placed, Record, Refused
from kernel.crashpoints import reach
from kernel.database import NOT_CONNECTED, Database
from kernel.doorbell import wait_for
from kernel.errors import Unavailable
from kernel.events.outbox import Outbox, unpack_headers
from kernel.events.shares import Shares
from kernel.telemetry import counter, hop, logger

BATCH = 500
POLL_SECONDS = 0.15
SETTLE_SECONDS = 1.0
PATIENCE_SECONDS = 0.3
"""How long a round waits for all of its parcels; the slower ones are looked at again in later rounds."""
STOP_SECONDS = 5.0
LOOK_SECONDS = 1.0

REFUSED = counter("outbox_refused", "Events that the broker will never take as they are", ["service", "topic"])
UNCONFIRMED = counter("outbox_unconfirmed", "Events whose sending was not confirmed", ["service", "topic"])

log = logger(__name__)

_PENDING = """
    published_at IS NULL AND refused IS NULL AND NOT EXISTS (
        SELECT FROM outbox AS aside WHERE aside.key = outbox.key AND aside.refused IS NOT NULL AND aside.id < outbox.id
    )
"""

_LOOK = f"""
    SELECT id, shard, topic, key, headers, value, sequence, extract(epoch FROM created_at)::float8 AS created_at
    FROM outbox WHERE shard = ANY($1::smallint[]) AND {_PENDING} ORDER BY id LIMIT $2
"""

_LOOK_AROUND = f"""
    SELECT pending.* FROM unnest($1::smallint[], $2::text[]) AS lane(shard, topic) CROSS JOIN LATERAL (
        SELECT id, shard, topic, key, headers, value, sequence, extract(epoch FROM created_at)::float8 AS created_at
        FROM outbox WHERE shard = lane.shard AND topic = lane.topic AND {_PENDING} ORDER BY id LIMIT $3
    ) AS pending LIMIT $3
"""
"""The same where some lanes wait for the broker: however many rows are in those, the others' are found."""

_STAMP = """
    WITH numbered AS (
        UPDATE outbox_shard SET next = next + news.count
        FROM unnest($1::smallint[], $2::bigint[]) AS news(shard, count) WHERE outbox_shard.shard = news.shard
        RETURNING outbox_shard.shard, next - news.count AS first
    )
    UPDATE outbox SET sequence = numbered.first + news.place
    FROM unnest($3::bigint[], $4::smallint[], $5::integer[]) AS news(id, shard, place) JOIN numbered USING (shard)
    WHERE outbox.id = news.id AND outbox.sequence IS NULL
    RETURNING outbox.id, outbox.sequence
"""

_MARK = """
    UPDATE outbox SET published_at = now(), generation = placed.generation, partition = placed.partition,
        "offset" = placed."offset"
    FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::bigint[]) AS placed(id, generation, partition, "offset")
    WHERE outbox.id = placed.id
"""

Lane = tuple[int, str]
"""Shard and topic: its rows go to one partition, one after the other."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A parcel on its way."""

    rows: Sequence[asyncpg.Record]
    parcel: Parcel
    generations: dict[str, str]

    @property
    def lanes(self) -> set[Lane]:
        return {(row["shard"], row["topic"]) for row in self.rows}


class Relay:
    """Publishes one service's outbox; any number of replicas may run."""

    def __init__(self, database: Database, outbox: Outbox, bus: Bus, *, rest_seconds: float = 0.0) -> None:
        """`rest_seconds`: pause after each batch that was not full, where nobody waits for the events."""
        assert isinstance(bus, Broker)
        self._database = database
        self._outbox = outbox
        self._bus = bus
        self._broker: Broker = bus
        self._rest_seconds = rest_seconds
        self._sent: list[_Sent] = []
        self._rests: dict[Lane, tuple[float, int]] = {}
        """Lanes whose last parcel failed: until when they rest, and how often that was so in a row."""
        self._generations: dict[str, str] = {}
        """Which log each topic is, as far as we know before we send."""
        self._looking: asyncio.Future[Mapping[str, str]] | None = None
        self._look_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then what is pending is sent if the broker takes it in time. Raises Unavailable: run it again,
        it resumes by itself.
        """
        bell = self._outbox.doorbell.waiter()
        loop = asyncio.get_running_loop()
        connection: Any = None
        try:
            connection = await self._database.session()
            self._generations = dict(await self._bus.generations(TOPICS))
            shares = Shares(connection, f"{self._database.schema}.outbox", range(SHARDS))
            settle_at = 0.0
            while not stop.is_set():
                if loop.time() >= settle_at:
                    await shares.settle(busy={shard for sent in self._sent for shard, _ in sent.lanes})
                    self._look_at_topics()
                    settle_at = loop.time() + SETTLE_SECONDS
                bell.clear()
                taken = await self._round(connection, shares.held, PATIENCE_SECONDS)
                if taken < BATCH:
                    if taken and self._rest_seconds:
                        await wait_for(stop, self._rest_seconds)
                    await wait_for(bell, POLL_SECONDS)
            await self._finish(connection, shares)
        except (*NOT_CONNECTED, TimeoutError) as error:
            raise Unavailable(f"the database does not answer ({type(error).__name__})") from error
        finally:
            for sent in self._sent:
                sent.parcel.outcomes.cancel()
            self._sent.clear()
            if self._looking is not None:
                self._looking.cancel()
                self._looking = None
            self._outbox.doorbell.remove(bell)
            if connection is not None:
                connection.terminate()

    async def _finish(self, connection: Any, shares: Shares) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + STOP_SECONDS
        while (left := until - loop.time()) > 0:
            if not await self._round(connection, shares.held, min(left, PATIENCE_SECONDS)) and not self._sent:
                return

    async def _round(self, connection: Any, shards: set[int], patience: float) -> int:
        """Notes what became of parcels on their way, and sends the next rows; returns how many."""
        await self._settle(connection)
        rows = await self._pending(connection, shards)
        if rows:
            rows = await self._numbered(connection, rows)
            reach("relay.before_publish")
            records = [(row["shard"], self._record(row)) for row in rows]
            for parcel in await self._broker.publish(records):
                self._sent.append(_Sent([rows[index] for index in parcel.indexes], parcel, self._generations))
        if self._sent:
            await asyncio.wait({sent.parcel.outcomes for sent in self._sent}, timeout=patience)
            await self._settle(connection)
        return len(rows)

    async def _pending(self, connection: Any, shards: set[int]) -> list[Any]:
        now = asyncio.get_running_loop().time()
        waiting = {lane for sent in self._sent for lane in sent.lanes}
        waiting |= {lane for lane, (until, _) in self._rests.items() if until > now}
        if not shards:
            return []
        if not waiting:
            rows = await connection.fetch(_LOOK, sorted(shards), BATCH)
        else:
            lanes = [lane for shard in sorted(shards) for topic in TOPICS if (lane := (shard, topic)) not in waiting]
            rows = await connection.fetch(
                _LOOK_AROUND, [shard for shard, _ in lanes], [topic for _, topic in lanes], BATCH
            )
        # What was numbered earlier (before a crash, or is sent again) must not be overtaken by higher numbers.
        return sorted(rows, key=lambda row: (row["sequence"] is None, row["sequence"] or 0, row["id"]))

    async def _numbered(self, connection: Any, rows: list[Any]) -> list[Any]:
        """The rows with their sequence numbers, which are durable when this returns."""
        new: dict[int, list[int]] = {}
        for row in rows:
            if row["sequence"] is None:
                new.setdefault(row["shard"], []).append(row["id"])
        if not new:
            return rows
        places = [(id, shard, place) for shard, ids in new.items() for place, id in enumerate(ids)]
        async with connection.transaction():
            numbers = {
                row["id"]: row["sequence"]
                for row in await connection.fetch(
                    _STAMP,
                    list(new),
                    [len(ids) for ids in new.values()],
                    *(list(column) for column in zip(*places, strict=True)),
                )
            }
        return [dict(row) | {"sequence": numbers.get(row["id"], row["sequence"])} for row in rows]

    def _record(self, row: Any) -> Record:
        headers = unpack_headers(row["headers"]) + sequence_headers(row["shard"], row["sequence"])
        return Record(row["topic"], row["key"], headers, row["value"])

    async def _settle(self, connection: Any) -> None:
        """Marks what the broker confirmed or refused; lets rest what it did not answer for."""
        done = [sent for sent in self._sent if sent.parcel.outcomes.done()]
        if not done:
            return
        self._sent = [sent for sent in self._sent if not sent.parcel.outcomes.done()]
        reach("relay.after_publish")
        placed: list[tuple[int, str, int, int]] = []
        refused: list[tuple[int, str]] = []
        loop = asyncio.get_running_loop()
        for sent in done:
            failed: set[Lane] = set()
            for row, outcome in zip(sent.rows, sent.parcel.outcomes.result(), strict=True):
                match outcome:
                    case Placed():
                        generation = sent.generations.get(row["topic"], "")
                        placed.append((row["id"], generation, outcome.partition, outcome.offset))
                        hop(self._database.schema, "publish", row["created_at"])
                    case Refused():
                        refused.append((row["id"], outcome.reason))
                        REFUSED.labels(self._database.schema, row["topic"]).inc()
                        log.error(
                            "the broker will never take an event: it is set aside, with those of its key behind it",
                            event_type=row["topic"],
                            shard=row["shard"],
                            sequence=row["sequence"],
                            reason=outcome.reason,
                        )
                    case _:
                        failed.add((row["shard"], row["topic"]))
                        UNCONFIRMED.labels(self._database.schema, row["topic"]).inc()
            for lane in sent.lanes - failed:
                self._rests.pop(lane, None)
            for lane in failed:
                times = self._rests.get(lane, (0.0, 0))[1] + 1
                self._rests[lane] = (loop.time() + backoff_seconds(times), times)
        async with connection.transaction():
            if placed:
                await connection.execute(_MARK, *(list(column) for column in zip(*placed, strict=True)))
            for id, reason in refused:
                await connection.execute("UPDATE outbox SET refused = $2 WHERE id = $1", id, reason)
        reach("relay.after_mark")

    def _look_at_topics(self) -> None:
        """Keeps in mind which logs we write to, without waiting for a broker that may be away."""
        if self._looking is not None and self._looking.done():
            if not self._looking.cancelled() and self._looking.exception() is None:
                self._generations = dict(self._looking.result())
            self._looking = None
        now = asyncio.get_running_loop().time()
        if self._looking is None and now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._looking = asyncio.ensure_future(self._bus.generations(TOPICS))
