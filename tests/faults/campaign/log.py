"""Writing to the event log from outside, as any program with a client of the broker or of the database could."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID
from zlib import crc32

import asyncpg
import msgspec
from aiokafka import AIOKafkaProducer

from contracts.envelope import shard_of

TRIES = 60

OddHeaders = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True)
class OddRecord:
    """A record as a broker takes it: anything may be missing."""

    topic: str
    key: UUID | None
    headers: OddHeaders
    value: bytes | None


class Log(Protocol):
    async def append(self, record: OddRecord) -> tuple[int, int]:
        """The partition and offset that the record got, by its key as for the services' own."""


class KafkaLog:
    def __init__(self, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers

    async def append(self, record: OddRecord) -> tuple[int, int]:
        # A producer of its own for each: one that lived through an outage may have lost its place.
        async with AIOKafkaProducer(bootstrap_servers=self._servers, acks="all", max_request_size=4_194_304) as kafka:
            key = partition = None
            if record.key is not None:
                key = str(record.key).encode()
                partition = shard_of(record.key) % len(await kafka.partitions_for(record.topic))
            sent = await kafka.send_and_wait(
                record.topic, key=key, value=record.value, headers=list(record.headers), partition=partition
            )
        return sent.partition, sent.offset


class EmbeddedLog:
    """By the log's own rules: the partition's row is locked, so that offsets have no gaps."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def append(self, record: OddRecord) -> tuple[int, int]:
        """Tried again while the server refuses: a table may be away for a moment."""
        for _ in range(TRIES):
            with suppress(asyncpg.PostgresError):
                return await self._append(record)
            await asyncio.sleep(0.5)
        return await self._append(record)

    async def _append(self, record: OddRecord) -> tuple[int, int]:
        assert record.key is not None, "a column cannot be null that is declared so"
        connection = await asyncpg.connect(self._dsn)
        try:
            async with connection.transaction():
                partitions = await connection.fetchval(
                    "SELECT count(*) FROM bus.partition WHERE topic = $1", record.topic
                )
                place = crc32(record.key.bytes) % partitions
                partition_id, offset = await connection.fetchrow(
                    "SELECT id, next FROM bus.partition WHERE topic = $1 AND partition = $2 FOR UPDATE",
                    record.topic,
                    place,
                )
                await connection.execute(
                    'INSERT INTO bus.record (partition_id, "offset", key, headers, value) VALUES ($1, $2, $3, $4, $5)',
                    partition_id,
                    offset,
                    record.key,
                    msgspec.msgpack.encode(record.headers),
                    record.value or b"",
                )
                await connection.execute("UPDATE bus.partition SET next = next + 1 WHERE id = $1", partition_id)
        finally:
            await connection.close()
        return place, offset
