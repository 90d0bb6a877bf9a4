"""Events that cannot be handled wait here, with the later ones of their key behind them; everything else moves on.

What failed may heal, by a later release or by itself, so each key is tried again on a timer, for ever, ever more
rarely. Taking effect from here goes through the inbox as from the bus: an event that came again meanwhile has no
second effect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contracts.envelope import Event, MalformedEvent, decode
from contracts.events import UnknownEventType
from kernel.bus import Delivery, Position, Record
from kernel.database import Transaction
from kernel.events.outbox import pack_headers, unpack_headers
from kernel.telemetry import describe

BEHIND = "an earlier event of its key is parked"
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Parked:
    delivery: Delivery
    event_id: UUID | None
    reason: str
    """What failed and where in the code; never the error's own text, which may hold a person's data."""
    blocks: bool = True
    """Whether later events of its key wait behind it. A record that is no event of ours has no place in their order."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A parked record, as it is tried again."""

    id: int
    delivery: Delivery
    generation: str
    tries: int
    noted: bool
    """Whether the inbox holds it already although it has had no effect: 0.1.0 noted what it parked."""


def read(delivery: Delivery) -> Event | Parked:
    """The event that a record carries, or why it is parked. Total: whatever is wrong with a record stays with it."""
    record = delivery.record
    try:
        return decode(str(record.key).encode(), record.headers, record.value)
    except UnknownEventType as error:
        # An event of ours, of a newer release: the next ones of its key rest on it.
        return Parked(delivery, None, describe(error))
    except MalformedEvent as error:
        return Parked(delivery, None, describe(error), blocks=False)
    except Exception as error:  # noqa: BLE001 - nothing that anybody can write to a topic may stop its readers
        return Parked(delivery, None, describe(error), blocks=False)


async def park(tx: Transaction, parked: Sequence[Parked], generations: Mapping[str, str]) -> None:
    """Stores the records as they came, in this order; person facts in them are sealed. `generations` by topic."""
    if not parked:
        return
    await tx.driver.executemany(
        """
        INSERT INTO parked
            (key, event_id, generation, topic, partition, "offset", headers, value, reason, blocks, next_try_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce(now() + make_interval(secs => $11), 'infinity'))
        """,
        [
            (
                one.delivery.record.key,
                one.event_id,
                generations[one.delivery.position.topic],
                one.delivery.position.topic,
                one.delivery.position.partition,
                one.delivery.offset,
                pack_headers(one.delivery.record.headers),
                one.delivery.record.value,
                one.reason,
                one.blocks,
                None if one.reason == BEHIND else FIRST_RETRY_SECONDS,
            )
            for one in parked
        ],
    )


async def due_keys(tx: Transaction, limit: int) -> list[tuple[UUID, bool]]:
    """Keys whose first parked record is to be tried now, and whether it blocks; oldest first."""
    rows = await tx.driver.fetch(
        """
        SELECT key, blocks FROM parked AS head
        WHERE next_try_at <= now() AND (NOT blocks OR NOT EXISTS (
            SELECT FROM parked WHERE parked.key = head.key AND parked.blocks AND parked.id < head.id
        ))
        GROUP BY key, blocks ORDER BY min(id) LIMIT $1
        """,
        limit,
    )
    return [(row["key"], row["blocks"]) for row in rows]


async def take_parked(tx: Transaction, key: UUID, blocks: bool) -> list[Waiting]:
    """Parked records of a key in order; none while somebody else tries this key. A consumer that comes upon one of them
    waits until this transaction ends, and then finds the key free or still parked.
    """
    if not await tx.driver.fetchval(
        "SELECT pg_try_advisory_xact_lock(hashtext(current_schema() || '.parked'), hashtext($1::uuid::text))", key
    ):
        return []
    rows = await tx.driver.fetch(
        """
        SELECT * FROM parked WHERE key = $1 AND blocks = $2 AND (blocks OR next_try_at <= now())
        ORDER BY id LIMIT 1000 FOR UPDATE
        """,
        key,
        blocks,
    )
    return [_waiting(row) for row in rows]


async def keep_parked(tx: Transaction, one: Waiting, reason: str) -> None:
    """It failed again: the next try is later."""
    await tx.driver.execute(
        """
        UPDATE parked SET tries = tries + 1, reason = $2, next_try_at = now() + make_interval(secs => $3) WHERE id = $1
        """,
        one.id,
        reason,
        min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(one.tries, 16)),
    )


async def release(tx: Transaction, one: Waiting) -> None:
    """It took effect; the one behind it is next."""
    await tx.driver.execute("DELETE FROM parked WHERE id = $1", one.id)


async def dismiss(tx: Transaction, event_ids: Sequence[UUID]) -> None:
    """What this transaction had noted as handled was not."""
    if event_ids:
        await tx.driver.execute("DELETE FROM inbox WHERE event_id = ANY($1::uuid[])", event_ids)


async def remember(tx: Transaction, event_ids: Sequence[UUID]) -> None:
    """What came again may come once more: it is known from today on for as long as if it were new."""
    await tx.driver.execute(
        """
        UPDATE inbox SET handled_at = now()
        WHERE event_id = ANY($1::uuid[]) AND handled_at < now() - interval '1 day'
        """,
        event_ids,
    )


async def admit(tx: Transaction, event_id: UUID) -> bool:
    """Notes an event as handled; False when it was before."""
    return bool(
        await tx.driver.fetchval(
            "INSERT INTO inbox (event_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING true", event_id
        )
    )


def _waiting(row: Any) -> Waiting:
    record = Record(row["topic"], row["key"], unpack_headers(row["headers"]), row["value"])
    delivery = Delivery(Position(row["topic"], row["partition"]), row["offset"], record)
    # Which log it came from was not kept by 0.1.0.
    noted = row["generation"] == "" and row["event_id"] is not None
    return Waiting(row["id"], delivery, row["generation"], row["tries"], noted)
