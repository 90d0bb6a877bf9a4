"""One member of a consumer group on Kafka."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata

from contracts.envelope import Headers
from kernel.bus import Delivery, Handled, Position, Record
from kernel.errors import Unavailable

SHOW_SECONDS = 3.0
"""How often the broker is told how far we are: nothing that is in a hurry depends on it."""
NO_KEY = UUID(int=0)
"""Key of records that have none: they are foreign, and parked when they turn out to be no event."""


class KafkaSubscription:
    """Implements `kernel.bus.Subscription`."""

    def __init__(self, consumer: AIOKafkaConsumer, prefix: str) -> None:
        self._consumer = consumer
        self._prefix = prefix
        self._unshown: dict[TopicPartition, OffsetAndMetadata] = {}
        self._show_at = 0.0

    async def fetch(self, max_records: int, seconds: float) -> Sequence[Delivery]:
        await self._show()
        try:
            batches = await self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=max_records)
        except (KafkaError, OSError) as error:
            raise Unavailable(f"the broker does not answer ({type(error).__name__})") from error
        return [
            Delivery(self._position(tp), message.offset, _record(message, tp, self._prefix), message.timestamp / 1000)
            for tp, messages in batches.items()
            for message in messages
        ]

    def assigned(self) -> frozenset[Position]:
        return frozenset(self._position(tp) for tp in self._consumer.assignment())

    def seek(self, position: Position, offset: int) -> None:
        # A rebalance may have taken the partition since: whoever has it now seeks for itself.
        with suppress(IllegalStateError):
            self._consumer.seek(TopicPartition(self._prefix + position.topic, position.partition), offset)

    async def handled(self, through: Mapping[Position, Handled]) -> None:
        for position, handled in through.items():
            tp = TopicPartition(self._prefix + position.topic, position.partition)
            self._unshown[tp] = OffsetAndMetadata(handled.next, f"{handled.generation}@{handled.since}")

    async def _show(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._unshown and now >= self._show_at:
            self._show_at = now + SHOW_SECONDS
            mine = self._consumer.assignment()
            shown, self._unshown = {tp: at for tp, at in self._unshown.items() if tp in mine}, {}
            with suppress(KafkaError, OSError):
                if shown:
                    await self._consumer.commit(shown)

    def _position(self, tp: TopicPartition) -> Position:
        return Position(tp.topic.removeprefix(self._prefix), tp.partition)


def handled_of(shown: OffsetAndMetadata) -> Handled:
    """What a group showed; what others wrote into the same place covers nothing."""
    generation, _, since = shown.metadata.rpartition("@")
    return Handled(generation, int(since) if since.isdecimal() else shown.offset, shown.offset)


def _record(message: ConsumerRecord, tp: TopicPartition, prefix: str) -> Record:
    """The record as it came: whatever is odd about it is for whoever reads it as an event."""
    try:
        key = UUID((message.key or b"").decode())
    except ValueError:
        key = NO_KEY
    headers: Headers = tuple((name, b"" if value is None else value) for name, value in message.headers)
    return Record(tp.topic.removeprefix(prefix), key, headers, message.value or b"")
