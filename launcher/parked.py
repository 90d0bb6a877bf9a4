"""What an operator does about events that do not go on: look, try again, send again. It shows no person's facts."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from kernel.database import Database
from kernel.errors import ConfigurationError
from kernel.events.keeper import redrive
from kernel.events.outbox import unpack_headers
from launcher.catalogue import SERVICES


@dataclass(frozen=True)
class Waiting:
    """One event that waits: `in` (parked by a reader, or behind one) or `out` (set aside by a producer, or behind)."""

    service: str
    way: str
    id: int
    key: UUID
    event_id: UUID | None
    topic: str
    since: datetime
    tries: int
    next_try_at: datetime | None
    reason: str
    headers: bytes


_IN = """
    SELECT id, key, event_id, topic, parked_at AS since, tries, nullif(next_try_at, 'infinity') AS next_try_at, reason,
        headers FROM {service}.parked ORDER BY id LIMIT $1
"""
_OUT = """
    SELECT id, key, event_id, topic, created_at AS since, 0 AS tries, NULL::timestamptz AS next_try_at,
        coalesce(refused, 'an earlier event of its key is set aside') AS reason, headers
    FROM {service}.outbox WHERE published_at IS NULL AND EXISTS (
        SELECT FROM {service}.outbox AS aside
        WHERE aside.key = outbox.key AND aside.refused IS NOT NULL AND aside.id <= outbox.id
    ) ORDER BY id LIMIT $1
"""


async def listed(dsn: str, services: Sequence[str], limit: int) -> list[Waiting]:
    """What waits, the oldest first, at most `limit` of each service and way. Raises ConfigurationError."""
    found = []
    async with _connected(dsn) as connection:
        for service in services:
            for way, query in (("in", _IN), ("out", _OUT)):
                rows = await connection.fetch(query.format(service=service), limit)
                found += [Waiting(service, way, **dict(row)) for row in rows]
    return found


async def shown(dsn: str, service: str, way: str, id: int) -> dict[str, str]:
    """All that may be seen of one: where it came from and what failed; the facts in it are sealed."""
    async with _connected(dsn) as connection:
        table = "parked" if way == "in" else "outbox"
        row = await connection.fetchrow(f"SELECT * FROM {service}.{table} WHERE id = $1", id)
    if row is None:
        raise ConfigurationError(f"{service} has nothing of this number that waits (firstnotice parked list)")
    headers = {name: _text(value) for name, value in unpack_headers(row["headers"])}
    own = {name: str(value) for name, value in dict(row).items() if name not in ("headers", "value")}
    return own | {"bytes": str(len(row["value"]))} | {name: headers[name] for name in sorted(headers) if name in _SHOWN}


_SHOWN = frozenset(
    f"ce_{name}"
    for name in ("id", "type", "source", "time", "encounterid", "subject", "causationid", "shard", "sequence", "agency")
)
"""Headers that we write ourselves and that say nothing about a person."""


def _text(value: bytes) -> str:
    return value.decode(errors="replace")[:200]


async def retried(dsn: str, services: Sequence[str], key: UUID | None) -> int:
    """Lets the services try now what waits, of one key or of all, instead of at its time; returns how many."""
    count = 0
    async with _connected(dsn) as connection:
        for service in services:
            status = await connection.execute(
                f"UPDATE {service}.parked SET next_try_at = now()"
                " WHERE next_try_at < 'infinity' AND ($1::uuid IS NULL OR key = $1)",
                key,
            )
            count += int(status.split()[-1])
            status = await connection.execute(
                f"UPDATE {service}.outbox SET refused = NULL"
                " WHERE refused IS NOT NULL AND ($1::uuid IS NULL OR key = $1)",
                key,
            )
            count += int(status.split()[-1])
    return count


async def sent_again(dsn: str, services: Sequence[str]) -> int:
    """Puts back in line what was published and is not handled by every reader yet; returns how many events."""
    count = 0
    for service in services:
        database = Database(dsn, schema=service, pool_size=1)
        try:
            async with database.transaction() as tx:
                count += await redrive(tx)
        finally:
            await database.close()
    return count


def chosen(service: str | None) -> Sequence[str]:
    """Raises ConfigurationError."""
    if service is not None and service not in SERVICES:
        raise ConfigurationError(f"there is no service of this name: choose one of {', '.join(SERVICES)}")
    return SERVICES if service is None else (service,)


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Any]:
    try:
        connection = await asyncpg.connect(dsn, timeout=10)
    except (OSError, asyncpg.PostgresError) as error:
        raise ConfigurationError(f"the database cannot be reached ({type(error).__name__}): is it running?") from None
    try:
        yield connection
    except asyncpg.UndefinedTableError:
        raise ConfigurationError("the database lacks tables of this release: run `firstnotice migrate`") from None
    finally:
        await connection.close()
