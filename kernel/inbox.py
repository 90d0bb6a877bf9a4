"""Consuming: effect, inbox row and offset in one transaction, so that each event takes effect exactly once.

The offset in our database is the truth. It is advanced only from the value that we expect: no row updated means that
somebody else owns the partition now, and the whole batch is undone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from contracts.envelope import Event, MalformedEvent, decode
from contracts.events import UnknownEventType
from kernel.bus import Bus, Delivery, Position, Subscription
from kernel.crashpoints import reach
from kernel.database import UNAVAILABLE, Database, Transaction
from kernel.doorbell import wait_for
from kernel.errors import StaleOwner, Unavailable
from kernel.parking import Parked, park, parked_keys, take_parked
from kernel.telemetry import counter, describe, gauge, logger

BATCH = 500
FETCH_SECONDS = 0.5

HANDLED = counter("events_handled", "Events that took effect", ["service", "topic"])
REPEATED = counter("events_repeated", "Events that had been handled before", ["service"])
PARKED = gauge("events_parked", "Events parked because they could not be handled", ["service"])

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Received:
    """A new event, and the record that brought it."""

    event: Event
    delivery: Delivery


Handler = Callable[[Transaction, Sequence[Received]], Awaitable[None]]
"""Takes new events of one topic in order; makes their effect part of the transaction, and never commits."""


def on_events(handler: Callable[[Transaction, Sequence[Event]], Awaitable[None]]) -> Handler:
    """A handler that does not care how events came."""

    async def handle(tx: Transaction, received: Sequence[Received]) -> None:
        await handler(tx, [one.event for one in received])

    return handle


class Consumer:
    """One service's reader of the topics it has handlers for."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        member: str,
        handlers: Mapping[str, Handler],
        repeated: Handler | None = None,
        rest_seconds: float = 0.0,
    ) -> None:
        """`repeated` is shown, in the same transaction, what had been handled before and came again.

        `rest_seconds`: pause after each batch that was not full, for a reader whom nobody waits for. An event that
        comes after a quiet time is still taken at once; in a busy one, batches of many cost what batches of one did.
        """
        self._database = database
        self._bus = bus
        self._group = database.schema
        self._member = member
        self._handlers = handlers
        self._repeated = repeated
        self._rest_seconds = rest_seconds
        self._nexts: dict[Position, int] = {}
        self.stale_batches = 0
        """Batches discarded because another worker owned the partition."""

    def assigned(self) -> frozenset[Position]:
        """The partitions that this member reads now."""
        return frozenset(self._nexts)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises Unavailable: run it again, it resumes where the database says."""
        generation = await self._bus.generation()
        await self.retry_parked()
        async with self._bus.subscribe(self._group, tuple(self._handlers), self._member) as subscription:
            self._nexts.clear()
            while not stop.is_set():
                deliveries = await subscription.fetch(BATCH, FETCH_SECONDS)
                if await self._position(subscription, generation):
                    continue
                fresh = [one for one in deliveries if one.offset >= self._nexts.get(one.position, one.offset + 1)]
                if not fresh:
                    continue
                try:
                    await self._consume(generation, fresh)
                except StaleOwner as error:
                    log.warning("a batch is discarded: another worker owns its partition", error=error)
                    self.stale_batches += 1
                    self._nexts.clear()
                    continue
                await subscription.handled({one.position: self._nexts[one.position] for one in fresh})
                if len(deliveries) < BATCH and self._rest_seconds:
                    await wait_for(stop, self._rest_seconds)

    async def _position(self, subscription: Subscription, generation: str) -> bool:
        """Seeks partitions that are new to us to where the database says; True if there were any."""
        assigned = subscription.assigned()
        for position in set(self._nexts) - assigned:
            del self._nexts[position]
        new = sorted(assigned - set(self._nexts))
        if not new:
            return False
        bounds = await subscription.bounds(new)
        async with self._database.transaction() as tx:
            await tx.driver.execute(
                """
                INSERT INTO bus_offset (bus, generation, topic, partition, next)
                SELECT $1, $2, * FROM unnest($3::text[], $4::integer[], $5::bigint[]) ON CONFLICT DO NOTHING
                """,
                self._bus.name,
                generation,
                [position.topic for position in new],
                [position.partition for position in new],
                [bounds[position][0] for position in new],
            )
            rows = await tx.driver.fetch(
                "SELECT topic, partition, next FROM bus_offset WHERE bus = $1 AND generation = $2",
                self._bus.name,
                generation,
            )
            stored = {Position(row["topic"], row["partition"]): row["next"] for row in rows}
            for position in new:
                first, end = bounds[position]
                if not first <= stored[position] <= end:
                    # The topic was made anew, or has expired what we had not read. Reading from its beginning
                    # loses nothing: the inbox knows what was handled.
                    log.error("an offset is not in the log any more; reading from the beginning", topic=position.topic)
                    await _set_offset(tx, self._bus.name, generation, position, first)
                    stored[position] = first
        for position in new:
            self._nexts[position] = stored[position]
            subscription.seek(position, stored[position])
        return True

    async def _consume(self, generation: str, deliveries: Sequence[Delivery]) -> None:
        """One batch, wholly or, when a handler fails on it, event by event with the bad ones parked."""
        try:
            await self._transact(generation, deliveries, one_by_one=False)
        except (Unavailable, StaleOwner, *UNAVAILABLE):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises must not stop the others' events
            log.warning("a batch failed and is taken event by event", reason=describe(error))
            await self._transact(generation, deliveries, one_by_one=True)

    async def _transact(self, generation: str, deliveries: Sequence[Delivery], *, one_by_one: bool) -> None:
        nexts = {one.position: one.offset + 1 for one in deliveries}
        received: list[Received] = []
        unreadable: list[Parked] = []
        for delivery in deliveries:
            record = delivery.record
            try:
                event = decode(str(record.key).encode(), record.headers, record.value)
                received.append(Received(event, delivery))
            except (MalformedEvent, UnknownEventType) as error:
                unreadable.append(Parked(delivery, None, describe(error)))
        async with self._database.transaction() as tx:
            new, parked = await self._admit(tx, generation, nexts, received)
            await park(tx, unreadable)
            if one_by_one:
                await self._isolate(tx, new)
            else:
                await self._handle(tx, await self._park_behind(tx, new, parked))
            if self._repeated is not None and len(new) < len(received):
                fresh = {id(one) for one in new}
                await self._repeated(tx, [one for one in received if id(one) not in fresh])
            reach("consumer.before_commit")
        reach("consumer.after_commit")
        self._nexts.update(nexts)
        REPEATED.labels(self._group).inc(len(received) - len(new))

    async def _admit(
        self, tx: Transaction, generation: str, nexts: Mapping[Position, int], received: Sequence[Received]
    ) -> tuple[list[Received], set[UUID]]:
        """Advances our offsets and notes the events as handled, in one statement.

        Returns those that this service never handled, and which of their keys are parked. Raises StaleOwner.
        """
        row = await tx.driver.fetchrow(
            """
            WITH advanced AS (
                UPDATE bus_offset SET next = news.next
                FROM unnest($3::text[], $4::integer[], $5::bigint[], $6::bigint[])
                    AS news(topic, partition, expected, next)
                WHERE bus = $1 AND generation = $2 AND bus_offset.topic = news.topic
                    AND bus_offset.partition = news.partition AND bus_offset.next = news.expected
                RETURNING 1
            ), new AS (
                INSERT INTO inbox (event_id) SELECT unnest($7::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id
            )
            SELECT (SELECT count(*) FROM advanced) AS advanced, ARRAY(SELECT event_id FROM new) AS new,
                ARRAY(SELECT DISTINCT key FROM parked WHERE key = ANY($8::uuid[])) AS parked
            """,
            self._bus.name,
            generation,
            [position.topic for position in nexts],
            [position.partition for position in nexts],
            [self._nexts[position] for position in nexts],
            list(nexts.values()),
            [one.event.id for one in received],
            list({one.event.key for one in received}),
        )
        if row["advanced"] != len(nexts):
            raise StaleOwner("another worker has advanced an offset; this batch is discarded and read again")
        unseen = set(row["new"])
        new = []
        for one in received:
            if one.event.id in unseen:
                unseen.remove(one.event.id)
                new.append(one)
        return new, set(row["parked"])

    async def _park_behind(
        self, tx: Transaction, received: Sequence[Received], keys: Container[UUID]
    ) -> list[Received]:
        """Parks events whose key is parked already, to keep the order of each key; returns the others."""
        behind = [one for one in received if one.event.key in keys]
        await park(tx, [Parked(one.delivery, one.event.id, "an earlier event of its key is parked") for one in behind])
        return [one for one in received if one.event.key not in keys]

    async def _handle(self, tx: Transaction, received: Sequence[Received]) -> None:
        for topic, handler in self._handlers.items():
            batch = [one for one in received if one.event.topic == topic]
            if batch:
                await handler(tx, batch)
                HANDLED.labels(self._group, topic).inc(len(batch))

    async def _isolate(self, tx: Transaction, received: Sequence[Received]) -> None:
        for one in received:
            if not await self._park_behind(tx, [one], await parked_keys(tx, {one.event.key})):
                continue
            try:
                async with tx.savepoint():
                    await self._handle(tx, [one])
            except (Unavailable, StaleOwner, *UNAVAILABLE):
                raise
            except Exception as error:  # noqa: BLE001 - parked with its reason, alarmed and retried
                log.error("an event is parked", reason=describe(error), event_id=str(one.event.id))
                await park(tx, [Parked(one.delivery, one.event.id, describe(error))])
                PARKED.labels(self._group).inc()

    async def retry_parked(self) -> int:
        """Tries parked events again, key by key in order; returns how many took effect. Done at every start."""
        done = 0
        async with self._database.transaction() as tx:
            keys = await parked_keys(tx, None)
        for key in keys:
            async with self._database.transaction() as tx:
                for row_id, delivery in await take_parked(tx, key):
                    record = delivery.record
                    try:
                        event = decode(str(record.key).encode(), record.headers, record.value)
                        async with tx.savepoint():
                            await self._handle(tx, [Received(event, delivery)])
                    except (Unavailable, *UNAVAILABLE):
                        raise
                    except Exception as error:  # noqa: BLE001 - it stays parked, and so do those behind it
                        log.warning("an event stays parked", reason=describe(error))
                        await tx.driver.execute("UPDATE parked SET tries = tries + 1 WHERE id = $1", row_id)
                        break
                    await tx.driver.execute("DELETE FROM parked WHERE id = $1", row_id)
                    done += 1
        async with self._database.transaction() as tx:
            PARKED.labels(self._group).set(await tx.driver.fetchval("SELECT count(*) FROM parked"))
        return done


async def _set_offset(tx: Transaction, bus: str, generation: str, position: Position, offset: int) -> None:
    await tx.driver.execute(
        "UPDATE bus_offset SET next = $5 WHERE bus = $1 AND generation = $2 AND topic = $3 AND partition = $4",
        bus,
        generation,
        position.topic,
        position.partition,
        offset,
    )


async def replay_from(tx: Transaction, bus: str, generation: str, position: Position, offset: int) -> None:
    """Makes the consumer of this schema read a partition again from `offset`; handled events stay handled once.

    To make them take effect again, delete their inbox rows in the same transaction.
    """
    await _set_offset(tx, bus, generation, position, offset)
