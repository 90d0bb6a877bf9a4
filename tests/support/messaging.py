"""A service of its own for messaging tests: one schema with the messaging tables, events that need no service."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg

from contracts.envelope import Event
from contracts.events import ACCESS, RecordRead
from kernel.bus import Broker, Bus, Record
from kernel.bus.embedded import EmbeddedBus, partition_of
from kernel.database import Database, Transaction
from kernel.events.inbox import Consumer, Handler, on_events
from kernel.events.keeper import Keeper
from kernel.events.outbox import Outbox, pack_headers
from kernel.events.relay import Relay
from kernel.events.retrying import Retrying
from kernel.events.schema import MESSAGING_V1, MESSAGING_V2
from kernel.migrations import BUS, migrate
from tests.support.loops import again_and_again, running

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


async def make_schema(dsn: str, schema: str) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"search_path": schema})
    try:
        await connection.execute(f"CREATE SCHEMA {schema}")
        for statement in (*MESSAGING_V1, *MESSAGING_V2):
            await connection.execute(statement)
    finally:
        await connection.close()


async def make_log(dsn: str) -> None:
    await migrate(dsn, [BUS])


def an_event(key: UUID, *, note: str = "", source: str = "/firstnotice/test", id: UUID | None = None) -> Event:
    """An access event whose `reader` carries a note for the test."""
    return Event(
        id=id or uuid4(),
        time=NOON,
        source=source,
        data=RecordRead(object_kind="test", object_id=key, reader=note),
        key=key,
        jurisdiction="MO",
        correlation_id=uuid4(),
    )


def note_of(event: Event) -> str:
    assert isinstance(event.data, RecordRead)
    return event.data.reader


TOLD = """
    SELECT key, headers, value, shard, sequence FROM (
        SELECT 0 AS place, id AS number, key, headers, value, shard, coalesce(sequence, id) AS sequence FROM outbox
        UNION ALL
        SELECT 1, row_number() OVER (ORDER BY appended_at, shard, sequence), key, headers, value, shard, sequence
        FROM bus.record
    ) AS told ORDER BY place, number
"""
"""What the service of this schema has told, in order, whether it went to the outbox or to the embedded log at once."""


async def write_log(dsn: str, *records: Record) -> None:
    """Puts records with all their headers on the embedded log, by the log's own rules, as somebody else would."""
    bus = EmbeddedBus(Database(dsn, schema="bus", pool_size=1))
    await bus.start()
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "bus"})
    try:
        async with connection.transaction():
            for record in records:
                id, offset = await connection.fetchrow(
                    "UPDATE partition SET next = next + 1 WHERE topic = $1 AND partition = $2 RETURNING id, next - 1",
                    record.topic,
                    partition_of(record.key),
                )
                await connection.execute(
                    'INSERT INTO record (partition_id, "offset", key, headers, value) VALUES ($1, $2, $3, $4, $5)',
                    id,
                    offset,
                    record.key,
                    pack_headers(record.headers),
                    record.value,
                )
    finally:
        await connection.close()
        await bus.close()


async def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    async with database.transaction() as tx:
        return [tuple(row) for row in await tx.driver.fetch(query)]


BusFactory = Callable[[], Bus]
"""Makes connections of their own to one fresh log, as separate processes would have."""
READERS = {ACCESS: ("svc",)}


class Service:
    """A service with an outbox and an inbox, whose effect is a list of notes in its database."""

    def __init__(self, dsn: str, schema: str, new_bus: BusFactory) -> None:
        self.dsn = dsn
        self.new_bus = new_bus
        self.database = Database(dsn, schema=schema, pool_size=6)
        self.bus = new_bus()
        self.outbox = Outbox(schema, self.bus)
        self.poison: set[str] = set()

    async def say(self, *events: Event) -> None:
        async with self.database.transaction() as tx:
            await self.outbox.append(tx, events)

    async def effect(self, tx: Transaction, events: Sequence[Event]) -> None:
        for event in events:
            if note_of(event) in self.poison:
                raise ValueError("a secret of a person")
            await tx.driver.execute("INSERT INTO effect (key, note) VALUES ($1, $2)", event.key, note_of(event))

    async def notes(self, key: UUID | None = None) -> list[str]:
        found = await rows(self.database, "SELECT key, note FROM effect ORDER BY id")
        return [str(note) for its_key, note in found if key in (None, its_key)]

    def consumer(self, handler: Handler | None = None, *, topics: Collection[str] = (ACCESS,)) -> Consumer:
        """A replica's, with connections of its own."""
        return Consumer(
            self.database, self.new_bus(), handlers=dict.fromkeys(topics, handler or on_events(self.effect))
        )

    def retrying(self) -> Retrying:
        """Of what its consumer parked."""
        return Retrying(self.database, {ACCESS: on_events(self.effect)})

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """What it says reaches the log: at once where that is in its database, else by a relay."""
        bus = self.new_bus()
        if not isinstance(bus, Broker):
            yield
            return
        relay, keeper = Relay(self.database, self.outbox, bus), Keeper(self.database, self.outbox, bus, READERS)
        async with running(again_and_again(relay.run), again_and_again(keeper.run)):
            yield

    async def unpublished(self) -> int:
        ((count,),) = await rows(self.database, "SELECT count(*) FROM outbox WHERE published_at IS NULL")
        return int(str(count))
