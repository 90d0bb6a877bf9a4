"""Where a service goes on reading: offsets in its own database, the truth about what it has handled."""

from collections.abc import Mapping

from kernel.bus import Extent, Position
from kernel.database import Transaction
from kernel.telemetry import counter, logger

LOST = counter("events_lost_unread", "Offsets that a log lost before they were handled here", ["service", "topic"])

log = logger(__name__)


async def stored_offsets(
    tx: Transaction, bus: str, generations: Mapping[str, str], extents: Mapping[Position, Extent], *, service: str
) -> Mapping[Position, tuple[int, int]]:
    """The next offset of each partition, and where the run of handled ones without a hole began before it.

    `generations` by topic; `extents` are what the log holds now. A partition that was never read begins with what is
    there; so does one whose next offset the log does not hold, with an alarm.
    """
    rows = await tx.driver.fetch(
        """
        WITH place AS (
            SELECT * FROM unnest($2::text[], $3::text[], $4::integer[], $5::bigint[])
                AS place(generation, topic, partition, first)
        ), new AS (
            INSERT INTO bus_offset (bus, generation, topic, partition, next, since)
            SELECT $1, generation, topic, partition, first, first FROM place ON CONFLICT DO NOTHING
        )
        SELECT place.topic, place.partition, next, since FROM place LEFT JOIN bus_offset AS known
            ON bus = $1 AND known.generation = place.generation AND known.topic = place.topic
            AND known.partition = place.partition
        """,
        bus,
        [generations[position.topic] for position in extents],
        [position.topic for position in extents],
        [position.partition for position in extents],
        [extent.first for extent in extents.values()],
    )
    stored = {}
    for row in rows:
        position = Position(row["topic"], row["partition"])
        extent = extents[position]
        next, since = (extent.first, extent.first) if row["next"] is None else (row["next"], row["since"])
        if not extent.first <= next <= extent.end:
            # It expired what we had not read, or its end went back. Reading from its beginning loses nothing: the inbox
            # knows what was handled, and the producers send again what is not there (`kernel.events.keeper`).
            missing = max(0, extent.first - next)
            LOST.labels(service, position.topic).inc(missing)
            log.error(
                "an offset is not in the log any more; reading from the beginning",
                service=service,
                topic=position.topic,
                partition=position.partition,
                next=next,
                count=missing,
            )
            next = since = extent.first
            await _set(tx, bus, generations[position.topic], position, next, since)
        stored[position] = (next, since)
    return stored


async def replay_from(tx: Transaction, bus: str, generation: str, position: Position, offset: int) -> None:
    """Makes the consumer of this schema read a partition again from `offset`; handled events stay handled once.

    To make them take effect again, delete their inbox rows in the same transaction.
    """
    await _set(tx, bus, generation, position, offset, offset)


async def _set(tx: Transaction, bus: str, generation: str, position: Position, next: int, since: int) -> None:
    await tx.driver.execute(
        """
        UPDATE bus_offset SET next = $5, since = $6
        WHERE bus = $1 AND generation = $2 AND topic = $3 AND partition = $4
        """,
        bus,
        generation,
        position.topic,
        position.partition,
        next,
        since,
    )
