"""Consuming: effect, inbox row and offset in one transaction, so that each event takes effect exactly once.

The offset in our database is the truth. It is advanced only from the value that we expect: no row updated means that
somebody else owns the partition now, and the whole batch is undone. A batch that does not begin at that offset is never
handled (`kernel.events.steps`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from contracts.envelope import Event
from kernel.backoff import backoff_seconds
from kernel.bus import Bus, Delivery, Handled, Position, Subscription
from kernel.crashpoints import reach
from kernel.database import UNAVAILABLE, Database, Transaction
from kernel.doorbell import wait_for
from kernel.errors import PoisonEvent, StaleOwner, Unavailable
from kernel.events.offsets import stored_offsets
from kernel.events.parking import BEHIND, Parked, dismiss, park, read, remember
from kernel.events.pulse import while_it_answers
from kernel.events.steps import in_step
from kernel.telemetry import counter, describe, hop, logger

BATCH = 500
FETCH_SECONDS = 0.5
CHECK_SECONDS = 5.0
"""How often it is looked whether a topic is still the one that we read."""
TRIES = 3
"""How often a batch is tried as a whole before its events are taken one by one."""
PATIENT_TRIES = 6
"""The same when the database was in the way, which concerns all events alike, or one alone for ever."""
LAST_TRIES = 24
"""From then on, about two minutes later, what it never bears is parked even when nothing else came with it."""
FEWEST = 8
"""Records that are tried at once at least."""

HANDLED = counter("events_handled", "Events that took effect", ["service", "topic"])
REPEATED = counter("events_repeated", "Events that had been handled before", ["service"])
PARKINGS = counter("events_parkings", "Times that an event was parked because it could not be handled", ["service"])
DISCARDED = counter("batches_discarded", "Batches undone because another worker owned a partition", ["service"])
SKIPPED = counter("offsets_skipped", "Offsets that hold no record for us", ["service"])

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Received:
    """A new event, and the record that brought it."""

    event: Event
    delivery: Delivery
    generation: str
    """Of the log that brought it: `delivery.offset` is one of that log's."""


Handler = Callable[[Transaction, Sequence[Received]], Awaitable[None]]
"""Takes new events of one topic in order; makes their effect part of the transaction, and never commits.

Raises PoisonEvent for an event that no later try can change; whatever else it raises is tried again.
"""


def on_events(handler: Callable[[Transaction, Sequence[Event]], Awaitable[None]]) -> Handler:
    """A handler that does not care how events came."""

    async def unwrapped(tx: Transaction, received: Sequence[Received]) -> None:
        await handler(tx, [one.event for one in received])

    return unwrapped


async def handle(tx: Transaction, service: str, handlers: Mapping[str, Handler], received: Sequence[Received]) -> None:
    """Gives each topic's handler what is its."""
    for topic, handler in handlers.items():
        batch = [one for one in received if one.event.topic == topic]
        if batch:
            await handler(tx, batch)
            HANDLED.labels(service, topic).inc(len(batch))


class Consumer:
    """One service's reader of the topics it has handlers for; any number of replicas share the partitions."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        handlers: Mapping[str, Handler],
        member: str | None = None,
        repeated: Handler | None = None,
        rest_seconds: float = 0.0,
    ) -> None:
        """`member` names a replica that always comes back under this name; without it, members come and go.

        `repeated` is shown, in the same transaction, what had been handled before and came again.

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
        self._generations: Mapping[str, str] = {}
        self._nexts: dict[Position, int] = {}
        self._since: dict[Position, int] = {}
        self._sought: set[Position] = set()
        self._failures = 0
        """Times in a row that a batch was not handled."""
        self._most = BATCH
        """Records that are tried at once: fewer after a failure, more again after each success."""
        self.stale_batches = 0
        """Batches discarded because another worker owned the partition."""

    def assigned(self) -> frozenset[Position]:
        """The partitions that this member reads now."""
        return frozenset(self._nexts)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises Unavailable when the bus, or for long the database, is away: run it again, it resumes
        where the database says.
        """
        await while_it_answers(self._database, self._read(stop))

    async def _read(self, stop: asyncio.Event) -> None:
        clock = asyncio.get_running_loop()
        async with self._bus.subscribe(self._group, tuple(self._handlers), self._member) as subscription:
            self._forget(tuple(self._nexts))
            self._generations = await self._bus.generations(tuple(self._handlers))
            check_at = clock.time() + CHECK_SECONDS
            while not stop.is_set():
                deliveries = await subscription.fetch(BATCH, FETCH_SECONDS)
                self._forget([one for one in self._nexts if one not in subscription.assigned()])
                try:
                    # First what came for partitions that we hold: seeking new ones may drop what was fetched.
                    await self._take(subscription, deliveries)
                    if clock.time() >= check_at:
                        check_at = clock.time() + CHECK_SECONDS
                        await self._notice_new_logs()
                    await self._seek(subscription)
                except Unavailable as error:
                    # The group is not left for a moment's outage: all would have to share anew.
                    self._failures += 1
                    self._most = max(FEWEST, self._most // 2)
                    self._forget(tuple(self._nexts))
                    log.warning("events wait", service=self._group, reason=describe(error), attempts=self._failures)
                    await wait_for(stop, backoff_seconds(self._failures))
                    continue
                if deliveries and len(deliveries) < BATCH and self._rest_seconds:
                    await wait_for(stop, self._rest_seconds)

    async def _take(self, subscription: Subscription, deliveries: Sequence[Delivery]) -> None:
        """Handles what is in step. Raises Unavailable."""
        # A batch that was too much for the time that a transaction has is tried in smaller ones, down to single events.
        step = in_step(self._nexts, self._sought, deliveries, at_most=self._most)
        if step.skipped:
            SKIPPED.labels(self._group).inc(step.skipped)
        if step.batch:
            try:
                await self._consume(step.batch)
            except StaleOwner as error:
                log.warning("a batch is discarded: another worker owns its partition", error=error)
                self.stale_batches += 1
                DISCARDED.labels(self._group).inc()
                self._forget(tuple(self._nexts))
                return
            self._failures, self._most = 0, min(BATCH, 2 * self._most)
            await subscription.handled(
                {
                    position: Handled(self._generations[position.topic], self._since[position], self._nexts[position])
                    for position in {one.position for one in step.batch}
                }
            )
        self._forget(step.out_of_step)

    def _forget(self, positions: Sequence[Position] | frozenset[Position]) -> None:
        """Where to go on with these is to be looked up again."""
        for position in positions:
            self._nexts.pop(position, None)
            self._since.pop(position, None)
            self._sought.discard(position)

    async def _notice_new_logs(self) -> None:
        """A topic that was made anew while we read is another log. Raises Unavailable."""
        found = await self._bus.generations(tuple(self._handlers))
        changed = {topic for topic in self._handlers if found.get(topic) != self._generations.get(topic)}
        if changed:
            self._generations = found
            self._forget([position for position in self._nexts if position.topic in changed])

    # -- where to read --

    async def _seek(self, subscription: Subscription) -> None:
        """Seeks partitions that are new to us to where the database says. Raises Unavailable."""
        new = sorted(one for one in subscription.assigned() - set(self._nexts) if one.topic in self._generations)
        if not new:
            return
        extents = await self._bus.extents({position.topic for position in new})
        async with self._database.transaction() as tx:
            stored = await stored_offsets(
                tx,
                self._bus.name,
                self._generations,
                {position: extents[position] for position in new},
                service=self._group,
            )
        for position, (next, since) in stored.items():
            self._nexts[position], self._since[position] = next, since
            self._sought.add(position)
            subscription.seek(position, next)

    # -- one batch --

    async def _consume(self, deliveries: Sequence[Delivery]) -> None:
        """Handles a batch wholly; or, when that failed a few times, event by event with those parked that still fail.

        Raises Unavailable, StaleOwner.
        """
        alone = self._failures >= PATIENT_TRIES
        for attempt in range(1, TRIES + 1):
            try:
                return await self._transact(deliveries, alone=alone)
            except (Unavailable, StaleOwner):
                raise
            except Exception as error:
                if alone:
                    raise Unavailable(f"a batch fails outside of its events ({describe(error)})") from error
                log.warning("a batch failed", service=self._group, reason=describe(error), attempt=attempt)
                alone = attempt == TRIES - 1 or isinstance(error, PoisonEvent)
                if not alone:
                    await asyncio.sleep(backoff_seconds(attempt))

    async def _transact(self, deliveries: Sequence[Delivery], *, alone: bool) -> None:
        nexts = {one.position: one.offset + 1 for one in deliveries}
        received: list[Received] = []
        parked: list[Parked] = []
        behind: set[UUID] = set()
        for delivery in deliveries:
            event = read(delivery)
            if isinstance(event, Parked):
                parked.append(event)
                if event.blocks:
                    behind.add(delivery.record.key)
            elif delivery.record.key in behind:
                parked.append(Parked(delivery, event.id, BEHIND))
            else:
                received.append(Received(event, delivery, self._generations[delivery.position.topic]))
        async with self._database.transaction() as tx:
            new, repeated, late = await self._admit(tx, nexts, received)
            parked += [Parked(one.delivery, one.event.id, BEHIND) for one in late]
            if alone:
                failed = await self._isolate(tx, new)
                await dismiss(tx, [one.event_id for one in failed if one.event_id is not None])
                parked += failed
            else:
                await handle(tx, self._group, self._handlers, new)
            parked.sort(key=lambda one: (one.delivery.position, one.delivery.offset))
            await park(tx, parked, self._generations)
            if repeated:
                await remember(tx, [one.event.id for one in repeated])
                if self._repeated is not None:
                    await self._repeated(tx, repeated)
            reach("consumer.before_commit")
        reach("consumer.after_commit")
        self._nexts.update(nexts)
        self._sought.difference_update(nexts)
        REPEATED.labels(self._group).inc(len(repeated))
        for delivery in deliveries:
            if delivery.published_at is not None:
                hop(self._group, "handle", delivery.published_at)
        for one in parked:
            self._alarm(one)

    async def _admit(
        self, tx: Transaction, nexts: Mapping[Position, int], received: Sequence[Received]
    ) -> tuple[list[Received], list[Received], list[Received]]:
        """Advances our offsets and notes the events as handled, in one statement.

        Returns those that this service never handled, those that it had, and those whose key is parked, which are not
        noted. Raises StaleOwner.
        """
        row = await tx.driver.fetchrow(
            """
            WITH advanced AS (
                UPDATE bus_offset SET next = news.next
                FROM unnest($2::text[], $3::text[], $4::integer[], $5::bigint[], $6::bigint[])
                    AS news(generation, topic, partition, expected, next)
                WHERE bus = $1 AND bus_offset.generation = news.generation AND bus_offset.topic = news.topic
                    AND bus_offset.partition = news.partition AND bus_offset.next = news.expected
                RETURNING 1
            ), waiting AS MATERIALIZED (
                -- Locked: whoever is about to free the key has done so, or comes after us.
                SELECT key FROM parked WHERE blocks AND key = ANY($8::uuid[]) ORDER BY id FOR NO KEY UPDATE
            ), new AS (
                INSERT INTO inbox (event_id)
                SELECT event_id FROM unnest($7::uuid[], $8::uuid[]) AS event(event_id, key)
                WHERE key NOT IN (SELECT key FROM waiting)
                ON CONFLICT DO NOTHING RETURNING event_id
            )
            SELECT (SELECT count(*) FROM advanced) AS advanced, ARRAY(SELECT event_id FROM new) AS new,
                ARRAY(SELECT key FROM waiting) AS waiting
            """,
            self._bus.name,
            [self._generations[position.topic] for position in nexts],
            [position.topic for position in nexts],
            [position.partition for position in nexts],
            [self._nexts[position] for position in nexts],
            list(nexts.values()),
            [one.event.id for one in received],
            [one.event.key for one in received],
        )
        if row["advanced"] != len(nexts):
            raise StaleOwner("another worker has advanced an offset; this batch is discarded and read again")
        unseen, waiting = set(row["new"]), set(row["waiting"])
        new, repeated, late = [], [], []
        for one in received:
            if one.event.key in waiting:
                late.append(one)
            elif one.event.id in unseen:
                unseen.remove(one.event.id)
                new.append(one)
            else:
                repeated.append(one)
        return new, repeated, late

    async def _isolate(self, tx: Transaction, received: Sequence[Received]) -> list[Parked]:
        """Each event by itself; returns those that fail, with those of their keys behind them.

        Raises Unavailable when the database is in the way of every one of them.
        """
        failed: list[Parked] = []
        keys: set[UUID] = set()
        stopped: Exception | None = None
        for one in received:
            if one.event.key in keys:
                failed.append(Parked(one.delivery, one.event.id, BEHIND))
                continue
            try:
                async with tx.savepoint():
                    await handle(tx, self._group, self._handlers, [one])
            except StaleOwner:
                raise
            except (Unavailable, *UNAVAILABLE) as error:
                if self._failures < PATIENT_TRIES or tx.driver.is_closed():
                    raise
                stopped = error
                failed.append(Parked(one.delivery, one.event.id, describe(error)))
            except Exception as error:  # noqa: BLE001 - parked with its reason, alarmed and retried
                failed.append(Parked(one.delivery, one.event.id, describe(error)))
            else:
                continue
            keys.add(one.event.key)
        if stopped is not None and len(failed) == len(received) and self._failures < LAST_TRIES:
            raise Unavailable(f"no event can be handled ({describe(stopped)})")
        return failed

    def _alarm(self, one: Parked) -> None:
        PARKINGS.labels(self._group).inc()
        log.error(
            "an event is parked",
            service=self._group,
            reason=one.reason,
            event_id=one.event_id,
            topic=one.delivery.position.topic,
            partition=one.delivery.position.partition,
            offset=one.delivery.offset,
        )
