"""Events that cannot be handled wait here, with the later ones of their key behind them; everything else moves on."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from kernel.bus import Delivery, Position, Record
from kernel.database import Transaction
from kernel.outbox import pack_headers, unpack_headers


@dataclass(frozen=True, slots=True)
class Parked:
    delivery: Delivery
    event_id: UUID | None
    reason: str
    """What failed and where in the code; never the error's own text, which may hold a person's data."""


async def park(tx: Transaction, parked: Sequence[Parked]) -> None:
    """Stores the records as they came; person facts in them are sealed."""
    if not parked:
        return
    await tx.driver.executemany(
        """
        INSERT INTO parked (key, event_id, topic, partition, "offset", headers, value, reason)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        [
            (
                one.delivery.record.key,
                one.event_id,
                one.delivery.position.topic,
                one.delivery.position.partition,
                one.delivery.offset,
                pack_headers(one.delivery.record.headers),
                one.delivery.record.value,
                one.reason,
            )
            for one in parked
        ],
    )


async def parked_keys(tx: Transaction, among: set[UUID] | None) -> list[UUID]:
    """Keys that have parked events, oldest first; `among` limits the search."""
    if among is not None and not among:
        return []
    rows = await tx.driver.fetch(
        "SELECT key FROM parked WHERE $1::uuid[] IS NULL OR key = ANY($1) GROUP BY key ORDER BY min(id)",
        None if among is None else list(among),
    )
    return [row["key"] for row in rows]


async def take_parked(tx: Transaction, key: UUID) -> list[tuple[int, Delivery]]:
    """All parked records of a key in order, locked for this transaction."""
    rows = await tx.driver.fetch("SELECT * FROM parked WHERE key = $1 ORDER BY id FOR UPDATE SKIP LOCKED", key)
    return [
        (
            row["id"],
            Delivery(
                Position(row["topic"], row["partition"]),
                row["offset"],
                Record(row["topic"], row["key"], unpack_headers(row["headers"]), row["value"]),
            ),
        )
        for row in rows
    ]
