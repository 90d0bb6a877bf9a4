"""Sending batches so that each record has its own result, and one partition that fails holds back no other.

One batch per partition and round, sent with a producer per topic. What is not confirmed in time is unknown: the
producer is thrown away with all that it still held, because after a failure its sequence numbers may be burnt
(aiokafka#1017) and a batch in its buffer could overtake what is sent again.
"""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from kernel.bus import LARGEST_RECORD, Outcome, Parcel, Placed, Record, Refused, Unconfirmed
from kernel.telemetry import logger

CONFIRM_SECONDS = 10.0
"""An idempotent batch never expires by itself: after this the outcome is unknown and the outbox sends again."""
STOP_SECONDS = 2.0

NEVER = (MessageSizeTooLargeError, RecordListTooLargeError)
"""What a broker says of records that it will not take however often they come."""

log = logger(__name__)


class Publisher:
    """The producer of one topic; made anew whenever it failed."""

    def __init__(self, bootstrap_servers: str, *, topic: str, client_id: str) -> None:
        self._servers = bootstrap_servers
        self._topic = topic
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._partitions = 1
        self._retired: set[asyncio.Task[None]] = set()

    def parcels(self, records: Sequence[tuple[int, int, Record]]) -> Sequence[Parcel]:
        """Begins to send records that come with their place in what the caller gave, and their shard."""
        lanes: dict[int, list[tuple[int, int, Record]]] = {}
        for one in records:
            # Until the topic has answered once, nobody knows how many partitions there are: then all go together.
            lanes.setdefault(one[1] % self._partitions, []).append(one)
        return [
            Parcel([index for index, _, _ in lane], asyncio.create_task(self._deliver(lane))) for lane in lanes.values()
        ]

    async def _deliver(self, records: Sequence[tuple[int, int, Record]]) -> Sequence[Outcome]:
        """What became of each record. Never raises."""
        outcomes: dict[int, Outcome] = {}
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                producer = await self._ready()
                self._partitions = len(await producer.partitions_for(self._topic))
                lanes: dict[int, list[tuple[int, int, Record]]] = {}
                for one in records:
                    lanes.setdefault(one[1] % self._partitions, []).append(one)
                for partition, lane in lanes.items():
                    while lane:
                        some = await self._send_batch(producer, partition, [record for _, _, record in lane])
                        outcomes |= {lane[place][0]: outcome for place, outcome in enumerate(some)}
                        del lane[: len(some)]
                        if any(isinstance(outcome, Refused) for outcome in some):
                            # Later events of its key must not overtake it: the relay decides what goes on.
                            break
        except (KafkaError, OSError, TimeoutError, AssertionError) as error:
            # aiokafka asserts that a partition is one that it knows.
            self._retire()
            reason = type(error).__name__
        else:
            reason = "behind one that was refused"
        return [outcomes.get(index, Unconfirmed(reason)) for index, _, _ in records]

    async def _send_batch(
        self, producer: AIOKafkaProducer, partition: int, records: Sequence[Record]
    ) -> Sequence[Outcome]:
        """The first of the records, as many as fit into one batch. Raises KafkaError, TimeoutError."""
        batch = producer.create_batch()
        count = 0
        for record in records:
            key = str(record.key).encode()
            added = batch.append(timestamp=None, key=key, value=record.value, headers=list(record.headers))
            if added is None:
                break
            count += 1
        if count == 0:
            return [Refused("it is larger than a batch may be")]
        try:
            placed = await (await producer.send_batch(batch, self._topic, partition=partition))
        except NEVER as error:
            if count == 1:
                return [Refused(type(error).__name__)]
            return await self._send_batch(producer, partition, records[: max(1, count // 2)])
        return [Placed(partition, placed.offset + place) for place in range(count)]

    async def _ready(self) -> AIOKafkaProducer:
        """Raises KafkaError, OSError."""
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._servers,
                    client_id=self._client_id,
                    enable_idempotence=True,
                    acks="all",
                    linger_ms=0,  # whole batches come; waiting for more would only add latency
                    max_batch_size=LARGEST_RECORD + 50_000,
                    max_request_size=8 * LARGEST_RECORD,
                    request_timeout_ms=int(CONFIRM_SECONDS * 1000) // 2,
                    retry_backoff_ms=100,
                )
                try:
                    await producer.start()
                except BaseException:
                    self._stop_later(producer)
                    raise
                self._producer = producer
            return self._producer

    def _retire(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            self._stop_later(producer)

    def _stop_later(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_stopped(producer))
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    async def close(self) -> None:
        """Ends everything that was started, also when no broker answers."""
        self._retire()
        if self._retired:
            await asyncio.wait(set(self._retired), timeout=3 * STOP_SECONDS)


async def _stopped(producer: AIOKafkaProducer) -> None:
    """Ends a producer with whatever it still holds: nobody waits for that any more."""
    # Without this `stop` would first wait until every batch is delivered.
    sending = producer._sender.sender_task
    if sending is not None:
        sending.cancel()
        await asyncio.wait({sending}, timeout=STOP_SECONDS)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await producer.stop()
    except (KafkaError, OSError, TimeoutError) as error:
        log.warning("a producer did not stop in order", error=error)
        await producer.client.close()
