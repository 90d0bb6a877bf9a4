"""A record that the broker will not take, a topic that is broken and a broker that hangs hold back only themselves."""

import asyncio
import os
import signal
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from contracts.envelope import Event
from contracts.events import ACCESS, TOPICS, TRAIL, TrailCheckpointed
from kernel.bus import LARGEST_RECORD
from kernel.bus.kafka import KafkaBus, create_topics
from kernel.errors import TooLarge
from kernel.events.relay import Relay
from launcher.broker import LocalBroker
from tests.support.loops import running
from tests.support.messaging import NOON, Service, an_event, make_schema, rows
from tests.support.wait import until

pytestmark = pytest.mark.kafka
on_kafka = pytest.mark.parametrize("new_bus", ["kafka"], indirect=True)


def a_checkpoint(key: UUID) -> Event:
    """An event of another topic."""
    return Event(
        id=uuid4(),
        time=NOON,
        source="/firstnotice/test",
        data=TrailCheckpointed(size=1, watermarks=()),
        key=key,
        jurisdiction="MO",
        correlation_id=uuid4(),
    )


async def administer(service: Service) -> AIOKafkaAdminClient:
    assert isinstance(service.bus, KafkaBus)
    admin = AIOKafkaAdminClient(bootstrap_servers=service.bus.servers)
    await admin.start()
    return admin


@on_kafka
async def test_a_refused_record_is_set_aside_with_those_of_its_key_and_all_others_move_on(service: Service) -> None:
    assert isinstance(service.bus, KafkaBus)
    admin, bad = await administer(service), uuid4()
    topic = service.bus.prefix + ACCESS
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"max.message.bytes": "20000"})])
    await admin.close()
    for number in range(40):
        await service.say(an_event(uuid4(), note=f"healthy {number}"), an_event(uuid4(), note=f"x{number}" * 50))
    await service.say(an_event(bad, note="first"))
    await service.say(an_event(bad, note="y" * 30_000))
    await service.say(an_event(bad, note="behind it"))
    await service.say(*(an_event(uuid4(), note=f"later {number}") for number in range(20)))
    async with service.publishing(), running(service.consumer().run):
        await until(lambda: service.notes(), lambda notes: len(notes) == 101)
        extents = await service.bus.extents([ACCESS])
    assert await service.notes(bad) == ["first"]
    assert sum(extent.end for extent in extents.values()) == 101, "nothing was sent more than once"
    ((refused, published),) = await rows(
        service.database,
        "SELECT count(refused), count(*) FILTER (WHERE published_at IS NULL) FROM outbox"
        f" WHERE key = '{bad}' AND NOT (published_at IS NOT NULL)",
    )
    assert (refused, published) == (1, 2)


@on_kafka
async def test_what_no_bus_can_carry_is_refused_before_it_is_told(service: Service) -> None:
    with pytest.raises(TooLarge):
        await service.say(an_event(uuid4(), note="z" * LARGEST_RECORD))


@on_kafka
async def test_a_broken_topic_stops_no_other(service: Service) -> None:
    assert isinstance(service.bus, KafkaBus)
    admin = await administer(service)
    await admin.delete_topics([service.bus.prefix + TRAIL])
    key = uuid4()
    async with service.publishing(), running(service.consumer().run):
        for number in range(30):
            await service.say(an_event(key, note=str(number)), a_checkpoint(key))
        await until(lambda: service.notes(), lambda notes: len(notes) == 30, seconds=20)
        await until(service.unpublished, lambda left: left == 30)
        await create_topics(service.bus.servers, [service.bus.prefix + TRAIL], partitions=4, replication=1)
        await until(service.unpublished, lambda left: left == 0, seconds=60)
    await admin.close()


@on_kafka
async def test_replicas_of_a_relay_share_the_shards_and_each_moves_on_within_seconds(service: Service) -> None:
    def relay() -> Relay:
        return Relay(service.database, service.outbox, service.new_bus())

    async def shards() -> list[int]:
        held = await rows(
            service.database,
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"
            " AND classid::bigint = hashtext('svc.outbox')::bigint & 4294967295"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY pid",
        )
        return sorted(int(str(count)) for (count,) in held)

    async with running(relay().run, service.consumer().run):
        stop = asyncio.Event()
        other = asyncio.create_task(relay().run(stop))
        await until(shards, lambda each: each == [32, 32])
        await service.say(*(an_event(uuid4(), note=str(number)) for number in range(100)))
        await until(lambda: service.notes(), lambda notes: len(notes) == 100)
        other.cancel()  # without any farewell
        await asyncio.gather(other, return_exceptions=True)
        await until(shards, lambda each: each == [64], seconds=10)
        await service.say(*(an_event(uuid4(), note=str(number)) for number in range(100)))
        await until(lambda: service.notes(), lambda notes: len(notes) == 200)


async def test_a_broker_that_hangs_stops_nobody_from_stopping_and_doubles_nothing(
    database_dsn: str, broker_factory: Callable[[], LocalBroker]
) -> None:
    broker = broker_factory()
    servers = await asyncio.to_thread(broker.start)
    await create_topics(servers, TOPICS, partitions=4, replication=1)
    made: list[KafkaBus] = []

    def new_bus() -> KafkaBus:
        made.append(KafkaBus(servers, client_id="test", session_seconds=6))
        return made[-1]

    await make_schema(database_dsn, "svc")
    service = Service(database_dsn, "svc", new_bus)
    async with service.database.transaction() as tx:
        await tx.driver.execute("CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, key uuid, note text)")
    key, loop = uuid4(), asyncio.get_running_loop()
    async with service.publishing():
        await service.say(an_event(key, note="0"))
        await until(service.unpublished, lambda left: left == 0)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        await service.say(*(an_event(key, note=str(number)) for number in range(1, 41)))
        on_their_way = "SELECT count(*) FROM outbox WHERE sequence IS NOT NULL AND published_at IS NULL"
        await until(lambda: rows(service.database, on_their_way), lambda found: found == [(40,)])
        stopping = loop.time()
    for bus in made:
        await bus.close()
    assert loop.time() - stopping < 30, "stopping waits for no broker"
    assert not [task for task in asyncio.all_tasks() if "aiokafka" in repr(task.get_coro())], "nothing lives on"
    os.kill(broker.pid, signal.SIGCONT)
    service.bus = new_bus()
    async with service.publishing(), running(service.consumer().run):
        await until(lambda: service.notes(), lambda notes: len(notes) == 41, seconds=60)
    assert await service.notes() == [str(number) for number in range(41)]
    for bus in made:
        await bus.close()
    await service.database.close()


@on_kafka
async def test_a_question_that_was_broken_off_leaves_nothing_half_made(service: Service) -> None:
    """A reader that is cancelled while it asks the broker must not leave others a client that was never started."""
    bus = service.new_bus()
    for seconds in (0.0, 0.001, 0.01, 0.05):
        asking = asyncio.create_task(bus.extents([ACCESS]))
        await asyncio.wait({asking}, timeout=seconds)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert await bus.extents([ACCESS])
