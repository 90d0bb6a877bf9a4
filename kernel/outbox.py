"""The outbox: events are written in the transaction of the state they tell of, and published by the relay later.

A row waits in `outbox` until the bus has it, then stays in `outbox_sent` until a checkpoint of the trail covers it.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import msgspec

from contracts.envelope import Event, Headers, encode_headers, encode_value, shard_of
from kernel.database import Transaction
from kernel.doorbell import Doorbell

_encode_headers = msgspec.msgpack.Encoder().encode
_decode_headers = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode


def pack_headers(headers: Headers) -> bytes:
    """Headers as one column (MessagePack)."""
    return _encode_headers(headers)


def unpack_headers(content: bytes) -> Headers:
    return _decode_headers(content)


class Outbox:
    """What one service has to tell. `source` is its name, as in the events' CloudEvents source."""

    def __init__(self, source: str) -> None:
        self.source = f"/firstnotice/{source}"
        self.doorbell = Doorbell()

    async def append(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Writes the events; they are published if and only if this transaction commits.

        Events of one key that are appended by different transactions keep their order only if those transactions
        lock the same row first.
        """
        if not events:
            return
        await tx.driver.execute(
            """
            INSERT INTO outbox (shard, topic, key, event_id, headers, value)
            SELECT * FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::uuid[], $5::bytea[], $6::bytea[])
            """,
            [shard_of(event.key) for event in events],
            [event.topic for event in events],
            [event.key for event in events],
            [event.id for event in events],
            [pack_headers(encode_headers(event)) for event in events],
            [encode_value(event) for event in events],
        )
        tx.after_commit.append(self.doorbell.ring)


async def covered(tx: Transaction, through: Mapping[int, int]) -> None:
    """Notes how far the trail holds this service's events: shard to last sequence number."""
    await tx.driver.execute(
        """
        UPDATE outbox_shard SET covered = greatest(covered, news.through)
        FROM unnest($1::smallint[], $2::bigint[]) AS news(shard, through) WHERE outbox_shard.shard = news.shard
        """,
        list(through.keys()),
        list(through.values()),
    )


async def redrive(tx: Transaction) -> int:
    """Puts every sent but uncovered event back in line, with the same bytes and sequence numbers; returns how many.

    For a broker that lost what it had acknowledged. Consumers recognise by event id what they have seen.
    """
    status: str = await tx.driver.execute(
        """
        INSERT INTO outbox (shard, topic, key, event_id, headers, value, sequence)
        SELECT sent.shard, topic, key, event_id, headers, value, sequence
        FROM outbox_sent AS sent JOIN outbox_shard USING (shard)
        WHERE sequence > covered ORDER BY sent.shard, sequence
        """
    )
    return int(status.split()[-1])


async def roll_partitions(tx: Transaction, today: date) -> None:
    """Makes the partitions of today and tomorrow, and drops past ones that the trail covers wholly."""
    for day in (today, today + timedelta(days=1)):
        await tx.driver.execute(
            f"CREATE TABLE IF NOT EXISTS {_partition(day)} PARTITION OF outbox_sent"
            f" FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
        )
    rows = await tx.driver.fetch(
        "SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid"
        " WHERE inhparent = 'outbox_sent'::regclass AND relname < $1 AND relname <> 'outbox_sent_default'",
        _partition(today),
    )
    for (name,) in rows:
        uncovered = await tx.driver.fetchval(
            f"SELECT EXISTS (SELECT FROM {name} JOIN outbox_shard USING (shard) WHERE sequence > covered)"
        )
        if not uncovered:
            await tx.driver.execute(f"DROP TABLE {name}")


def _partition(day: date) -> str:
    return f"outbox_sent_{day:%Y%m%d}"
