"""The Kafka side of `kernel.bus`: publishing for the relay, consumer groups, and what the broker says of its topics."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from kernel.bus import Extent, Handled, Parcel, Position, Record, Subscription
from kernel.bus.kafka.publisher import Publisher
from kernel.bus.kafka.subscription import KafkaSubscription, handled_of
from kernel.bus.kafka.topics import topic_generations
from kernel.errors import Unavailable
from kernel.telemetry import logger

SESSION_SECONDS = 10
"""How long a member may be silent before its partitions go to the others."""
ASK_SECONDS = 10.0

Answer = TypeVar("Answer")
_Clients = tuple[AIOKafkaAdminClient, AIOKafkaConsumer]

log = logger(__name__)


class KafkaBus:
    """Implements `Bus` and `Broker`."""

    name = "kafka"

    def __init__(
        self, bootstrap_servers: str, *, client_id: str, prefix: str = "", session_seconds: int = SESSION_SECONDS
    ) -> None:
        """`prefix` comes before every topic and group name, for several installations on one cluster."""
        self.servers = bootstrap_servers
        self.prefix = prefix
        self._client_id = client_id
        self._session_seconds = session_seconds
        self._publishers: dict[str, Publisher] = {}
        self._clients: _Clients | None = None
        self._asking = asyncio.Lock()

    async def start(self) -> None:
        await self._ask(lambda admin, _: admin.describe_cluster())

    async def close(self) -> None:
        for publisher in self._publishers.values():
            await publisher.close()
        self._publishers.clear()
        await self._forget_clients()

    async def publish(self, records: Sequence[tuple[int, Record]]) -> Sequence[Parcel]:
        by_topic: dict[str, list[tuple[int, int, Record]]] = {}
        for index, (shard, record) in enumerate(records):
            by_topic.setdefault(record.topic, []).append((index, shard, record))
        parcels: list[Parcel] = []
        for topic, its_records in by_topic.items():
            if topic not in self._publishers:
                self._publishers[topic] = Publisher(self.servers, topic=self.prefix + topic, client_id=self._client_id)
            parcels += self._publishers[topic].parcels(its_records)
        return parcels

    async def generations(self, topics: Collection[str]) -> Mapping[str, str]:
        names = {self.prefix + topic: topic for topic in topics}
        found = await self._ask(lambda admin, _: topic_generations(admin, names))
        return {topic: found[name] for name, topic in names.items() if name in found}

    async def extents(self, topics: Collection[str]) -> Mapping[Position, Extent]:
        async def ask(admin: AIOKafkaAdminClient, asker: AIOKafkaConsumer) -> Mapping[Position, Extent]:
            described = await admin.describe_topics([self.prefix + topic for topic in topics])
            partitions = [
                TopicPartition(one["topic"], partition["partition"])
                for one in described
                for partition in one["partitions"]
            ]
            first, end = await asyncio.gather(asker.beginning_offsets(partitions), asker.end_offsets(partitions))
            return {self._position(tp): Extent(first[tp], end[tp]) for tp in partitions}

        return await self._ask(ask)

    async def handled(
        self, groups: Collection[str], topics: Collection[str]
    ) -> Mapping[str, Mapping[Position, Handled]]:
        wanted = {self.prefix + topic for topic in topics}

        async def ask(admin: AIOKafkaAdminClient, _: AIOKafkaConsumer) -> Mapping[str, Mapping[Position, Handled]]:
            found = {}
            for group in groups:
                offsets = await admin.list_consumer_group_offsets(self._group(group))
                found[group] = {
                    self._position(tp): handled_of(offset) for tp, offset in offsets.items() if tp.topic in wanted
                }
            return found

        return await self._ask(ask)

    @asynccontextmanager
    async def subscribe(self, group: str, topics: Sequence[str], member: str | None) -> AsyncIterator[Subscription]:
        consumer = AIOKafkaConsumer(
            *(self.prefix + topic for topic in topics),
            bootstrap_servers=self.servers,
            client_id=self._client_id,
            group_id=self._group(group),
            # A static member that is gone for good keeps its partitions until its session ends, and two of one name
            # fight: only who is sure to come back under its own name may have one.
            group_instance_id=member,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=self._session_seconds * 1000,
            heartbeat_interval_ms=self._session_seconds * 1000 // 5,
            rebalance_timeout_ms=self._session_seconds * 1000,
            max_poll_interval_ms=300_000,
            fetch_max_wait_ms=250,
            retry_backoff_ms=100,
            metadata_max_age_ms=5_000,  # a topic that comes, or comes back, is read soon
        )
        try:
            try:
                async with asyncio.timeout(3 * ASK_SECONDS):
                    await consumer.start()
            except (KafkaError, OSError) as error:
                raise _away(error) from error
            yield KafkaSubscription(consumer, self.prefix)
        finally:
            await _stop(consumer.stop())

    def _group(self, group: str) -> str:
        return f"firstnotice-{self.prefix}{group}"

    def _position(self, tp: TopicPartition) -> Position:
        return Position(tp.topic.removeprefix(self.prefix), tp.partition)

    # -- asking the broker --

    async def _ask(self, question: Callable[[AIOKafkaAdminClient, Any], Awaitable[Answer]]) -> Answer:
        """One question at a time, over connections that stay while they answer. Raises Unavailable."""
        async with self._asking:
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    if self._clients is None:
                        self._clients = await self._connected()
                    return await question(*self._clients)
            except (KafkaError, OSError) as error:
                await self._forget_clients()
                raise _away(error) from error
            except BaseException:
                # Cancelled, say: what was half-way asked or connected answers nobody else.
                await self._forget_clients()
                raise

    async def _connected(self) -> _Clients:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers, request_timeout_ms=5000)
        asker = AIOKafkaConsumer(bootstrap_servers=self.servers, client_id=self._client_id)
        try:
            await admin.start()
            await asker.start()
        except BaseException:
            await _stop(admin.close())
            await _stop(asker.stop())
            raise
        return admin, asker

    async def _forget_clients(self) -> None:
        if self._clients is not None:
            (admin, asker), self._clients = self._clients, None
            await _stop(admin.close())
            await _stop(asker.stop())


def _away(error: Exception) -> Unavailable:
    return Unavailable(f"the broker does not answer ({type(error).__name__})")


async def _stop(stopping: Awaitable[None]) -> None:
    """Ends a client, also when no broker answers."""
    try:
        async with asyncio.timeout(5):
            await stopping
    except (KafkaError, OSError) as error:
        log.warning("a broker client did not stop in order", error=error)
