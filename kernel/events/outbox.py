"""The outbox: events are told in the transaction of the state they tell of, or not at all.

Where the event log lives in this very database (`kernel.bus.Log`) they are written to it directly. Elsewhere a row
waits in `outbox` for the relay, and stays there, published, until every service that must handle it has: what the
broker loses is sent again with the same bytes (`kernel.events.keeper`).
"""

from collections.abc import Sequence
from operator import itemgetter

import msgspec

from contracts.envelope import Event, Headers, encode_headers, encode_value, shard_of
from kernel.bus import LARGEST_RECORD, Bus, Log, Message
from kernel.database import Database, Transaction
from kernel.doorbell import Doorbell
from kernel.errors import TooLarge

_encode_headers = msgspec.msgpack.Encoder().encode
_decode_headers = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode
_decode_others = msgspec.msgpack.Decoder(tuple[tuple[str, bytes | None], ...]).decode
_STAMP = 64
"""Bytes that the two headers of the sequence number take at most."""


def pack_headers(headers: Headers) -> bytes:
    """Headers as one column (MessagePack)."""
    return _encode_headers(headers)


def unpack_headers(content: bytes) -> Headers:
    """Total: of a row that somebody else wrote, what can be read of it, and nothing where nothing can."""
    try:
        return _decode_headers(content)
    except msgspec.MsgspecError:
        pass
    try:
        return tuple((name, value or b"") for name, value in _decode_others(content))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ()


class Outbox:
    """What one service has to tell. `source` is its name, as in the events' CloudEvents source."""

    def __init__(self, source: str, bus: Bus | None = None) -> None:
        """`bus` is written directly when it is a `Log`; without it, or with a broker, rows wait for a relay."""
        self.source = f"/firstnotice/{source}"
        self.doorbell = Doorbell()
        self._log = bus if isinstance(bus, Log) else None
        self._adopted = False

    async def append(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Takes the events; they are published if and only if this transaction commits.

        They are written as its last act. Events of one key that are appended by different transactions keep their
        order only if those transactions lock the same row first. Raises TooLarge for what the bus cannot carry.
        """
        tx.last.extend((self._write, _message(event)) for event in events)

    async def _write(self, tx: Transaction, messages: list[Message]) -> None:
        if self._log is not None:
            await self._write_log(tx, self._log, messages)
            return
        await tx.driver.execute(
            """
            INSERT INTO outbox (shard, topic, key, event_id, headers, value)
            SELECT * FROM unnest($1::smallint[], $2::text[], $3::uuid[], $4::uuid[], $5::bytea[], $6::bytea[])
            """,
            [message.shard for message in messages],
            [message.topic for message in messages],
            [message.key for message in messages],
            [message.event_id for message in messages],
            [message.headers for message in messages],
            [message.value for message in messages],
        )
        tx.after_commit.append(self.doorbell.ring)

    async def _write_log(self, tx: Transaction, log: Log, messages: Sequence[Message]) -> None:
        if not self._adopted:
            messages = [*await _left_over(tx), *messages]
        if messages:
            topics = {message.topic for message in messages}
            await log.append(tx.driver, messages)
            tx.after_commit.append(lambda: log.announce(topics))
        tx.after_commit.append(self._now_adopted)

    def _now_adopted(self) -> None:
        self._adopted = True

    async def adopt(self, database: Database) -> None:
        """Where the log is in this database: writes to it what an installation or a release that had a relay left in
        the outbox. The first append does the same, so that nothing overtakes it. Raises Unavailable.
        """
        if self._log is not None and not self._adopted:
            async with database.transaction() as tx:
                await self._write_log(tx, self._log, ())


async def _left_over(tx: Transaction) -> list[Message]:
    rows = await tx.driver.fetch("DELETE FROM outbox RETURNING id, shard, topic, key, event_id, headers, value")
    return [
        Message(row["shard"], row["topic"], row["key"], row["event_id"], row["headers"], row["value"])
        for row in sorted(rows, key=itemgetter("id"))
    ]


def _message(event: Event) -> Message:
    message = Message(
        shard=shard_of(event.key),
        topic=event.topic,
        key=event.key,
        event_id=event.id,
        headers=pack_headers(encode_headers(event)),
        value=encode_value(event),
    )
    if (size := len(message.headers) + len(message.value) + _STAMP) > LARGEST_RECORD:
        raise TooLarge(f"an event of {size} bytes is larger than the {LARGEST_RECORD} that the event log carries")
    return message
