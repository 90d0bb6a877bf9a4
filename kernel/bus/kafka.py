"""Apache Kafka 4.x through aiokafka, with the settings that keep our promises (its own defaults do not)."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import IllegalStateError, KafkaError, TopicAlreadyExistsError
from aiokafka.structs import OffsetAndMetadata

from kernel.bus import Delivery, Position, Record, Subscription
from kernel.errors import Unavailable
from kernel.telemetry import logger

PUBLISH_SECONDS = 30.0
"""An idempotent batch never expires by itself: after this the outcome is unknown and the outbox sends again."""
SHOW_SECONDS = 5.0
"""How often the broker is told how far we are."""

log = logger(__name__)


async def create_topics(bootstrap_servers: str, topics: Sequence[str], *, partitions: int, replication: int) -> None:
    """Makes the topics that are missing. A deploy step, never a service's. Raises Unavailable."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    durable = str(max(1, replication - 1))
    try:
        await admin.start()
        for topic in topics:
            new = NewTopic(topic, partitions, replication, topic_configs={"min.insync.replicas": durable})
            with suppress(TopicAlreadyExistsError):
                await admin.create_topics([new])
    except (KafkaError, OSError) as error:
        raise Unavailable(f"the broker does not answer ({type(error).__name__})") from error
    finally:
        await admin.close()


class KafkaBus:
    name = "kafka"
    transactional = False

    def __init__(self, bootstrap_servers: str, *, client_id: str, prefix: str = "", session_seconds: int = 45) -> None:
        """`prefix` comes before every topic and group name, for several installations on one cluster.

        Members are static: one that comes back within `session_seconds` takes up its partitions without a rebalance;
        after that time they go to the others.
        """
        self._servers = bootstrap_servers
        self._client_id = client_id
        self._prefix = prefix
        self._session_seconds = session_seconds
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        async with self._starting:
            if self._producer is not None:
                return
            producer = AIOKafkaProducer(
                bootstrap_servers=self._servers,
                client_id=self._client_id,
                enable_idempotence=True,
                acks="all",
                linger_ms=0,  # the relay brings whole batches; waiting for more would only add latency
                max_batch_size=262_144,
                max_request_size=4_194_304,
                request_timeout_ms=10_000,
                retry_backoff_ms=100,
            )
            try:
                await producer.start()
            except (KafkaError, OSError) as error:
                await self._discard(producer)
                raise Unavailable(f"the broker does not answer ({type(error).__name__})") from error
            self._producer = producer

    async def close(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await self._discard(producer)

    async def generation(self) -> str:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers)
        try:
            await admin.start()
            cluster = await admin.describe_cluster()
            return str(cluster["cluster_id"])
        except (KafkaError, OSError) as error:
            raise Unavailable(f"the broker does not answer ({type(error).__name__})") from error
        finally:
            await admin.close()

    async def publish(self, records: Sequence[Record], driver: Any) -> None:
        await self.start()
        producer = self._producer
        assert producer is not None
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                sent = [
                    await producer.send(
                        self._prefix + record.topic,
                        key=str(record.key).encode(),
                        value=record.value,
                        headers=list(record.headers),
                    )
                    for record in records
                ]
                await asyncio.gather(*sent)
        except (KafkaError, OSError, TimeoutError) as error:
            # After a fatal error sequence numbers of the producer may be burnt (aiokafka#1017): begin anew.
            self._producer = None
            await self._discard(producer)
            raise Unavailable(f"the broker did not confirm ({type(error).__name__})") from error

    def announce(self, topics: Collection[str]) -> None:
        """Consumers hear from the broker itself."""

    @asynccontextmanager
    async def subscribe(self, group: str, topics: Sequence[str], member: str) -> AsyncIterator[Subscription]:
        consumer = AIOKafkaConsumer(
            *(self._prefix + topic for topic in topics),
            bootstrap_servers=self._servers,
            client_id=f"{self._client_id}-{member}",
            group_id=f"firstnotice-{self._prefix}{group}",
            group_instance_id=member,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=self._session_seconds * 1000,
            heartbeat_interval_ms=2_000,
            rebalance_timeout_ms=60_000,
            max_poll_interval_ms=300_000,
            fetch_max_wait_ms=250,
            retry_backoff_ms=100,
        )
        try:
            await consumer.start()
        except (KafkaError, OSError) as error:
            await self._discard(consumer)
            raise Unavailable(f"the broker does not answer ({type(error).__name__})") from error
        try:
            yield _KafkaSubscription(consumer, self._prefix)
        finally:
            await self._discard(consumer)

    async def _discard(self, client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
        try:
            async with asyncio.timeout(5):
                await client.stop()
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("a broker client did not stop in order", error=error)


class _KafkaSubscription:
    def __init__(self, consumer: AIOKafkaConsumer, prefix: str) -> None:
        self._consumer = consumer
        self._prefix = prefix
        self._unshown: dict[TopicPartition, OffsetAndMetadata] = {}
        self._show_at = 0.0

    def _position(self, topic: str, partition: int) -> Position:
        return Position(topic.removeprefix(self._prefix), partition)

    def _partition(self, position: Position) -> TopicPartition:
        return TopicPartition(self._prefix + position.topic, position.partition)

    async def fetch(self, max_records: int, seconds: float) -> Sequence[Delivery]:
        try:
            batches = await self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=max_records)
        except (KafkaError, OSError) as error:
            raise Unavailable(f"the broker does not answer ({type(error).__name__})") from error
        return [
            Delivery(
                self._position(message.topic, message.partition),
                message.offset,
                Record(
                    message.topic.removeprefix(self._prefix),
                    _key(message.key),
                    tuple(message.headers),
                    message.value or b"",
                ),
            )
            for messages in batches.values()
            for message in messages
        ]

    def assigned(self) -> frozenset[Position]:
        return frozenset(self._position(tp.topic, tp.partition) for tp in self._consumer.assignment())

    async def bounds(self, positions: Sequence[Position]) -> Mapping[Position, tuple[int, int]]:
        partitions = [self._partition(position) for position in positions]
        try:
            first = await self._consumer.beginning_offsets(partitions)
            end = await self._consumer.end_offsets(partitions)
        except (KafkaError, OSError) as error:
            raise Unavailable(f"the broker does not answer ({type(error).__name__})") from error
        return {self._position(tp.topic, tp.partition): (first[tp], end[tp]) for tp in partitions}

    def seek(self, position: Position, offset: int) -> None:
        # A rebalance may have taken the partition since: whoever has it now seeks for itself.
        with suppress(IllegalStateError):
            self._consumer.seek(self._partition(position), offset)

    async def handled(self, nexts: Mapping[Position, int]) -> None:
        # Nothing depends on what the broker shows: telling it after every batch would delay the next one.
        self._unshown |= {self._partition(one): OffsetAndMetadata(offset, "") for one, offset in nexts.items()}
        now = asyncio.get_running_loop().time()
        if now >= self._show_at:
            self._show_at = now + SHOW_SECONDS
            mine = self._consumer.assignment()
            shown, self._unshown = {tp: at for tp, at in self._unshown.items() if tp in mine}, {}
            with suppress(KafkaError, OSError):
                await self._consumer.commit(shown)


def _key(key: bytes | None) -> UUID:
    """The record's key; foreign records get the nil UUID and are parked when they turn out to be no event."""
    try:
        return UUID((key or b"").decode())
    except ValueError:
        return UUID(int=0)
