"""A service of its own for messaging tests: one schema with the messaging tables, events that need no service."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg

from contracts.envelope import Event
from contracts.events import RecordRead
from kernel.database import Database
from kernel.messaging_schema import MESSAGING_V1
from kernel.migrations import BUS, migrate

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


async def make_schema(dsn: str, schema: str) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"search_path": schema})
    try:
        await connection.execute(f"CREATE SCHEMA {schema}")
        for statement in MESSAGING_V1:
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


async def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    async with database.transaction() as tx:
        return [tuple(row) for row in await tx.driver.fetch(query)]
