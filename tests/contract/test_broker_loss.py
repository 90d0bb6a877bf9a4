"""What a broker loses, its producers still have: until every group that must handle it has."""

from collections.abc import Sequence
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from contracts.envelope import Event
from contracts.events import ACCESS, TOPICS
from kernel.bus.kafka import KafkaBus, create_topics
from kernel.database import Transaction
from kernel.errors import ConfigurationError
from kernel.events.inbox import on_events
from tests.support.loops import running
from tests.support.messaging import Service, an_event, note_of, rows
from tests.support.wait import until

pytestmark = [pytest.mark.kafka, pytest.mark.parametrize("new_bus", ["kafka"], indirect=True)]

KEY = uuid4()


def bus_of(service: Service) -> KafkaBus:
    assert isinstance(service.bus, KafkaBus)
    return service.bus


async def administer(service: Service) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(bootstrap_servers=bus_of(service).servers)
    await admin.start()
    return admin


async def make_anew(service: Service) -> None:
    """As an operator would who 'cleans up', or a volume that was lost."""
    bus, admin = bus_of(service), await administer(service)
    before = await bus.generations([ACCESS])
    try:
        await admin.delete_topics([bus.prefix + ACCESS])

        async def there_is_another() -> bool:
            await create_topics(bus.servers, [bus.prefix + ACCESS], partitions=4, replication=1)
            return (await bus.generations([ACCESS])).get(ACCESS, before[ACCESS]) != before[ACCESS]

        async def try_to() -> bool:
            try:
                return await there_is_another()
            except ConfigurationError:
                return False  # the old one is still being deleted

        await until(try_to, bool)
    finally:
        await admin.close()


async def kept(service: Service) -> int:
    return len(await rows(service.database, "SELECT 1 FROM outbox"))


async def test_what_all_groups_have_handled_is_kept_no_longer(service: Service) -> None:
    async with service.publishing():
        await service.say(*(an_event(uuid4(), note=str(number)) for number in range(20)))
        await until(service.unpublished, lambda left: left == 0)
        assert await kept(service) == 20, "no group has handled them"
        async with running(service.consumer().run):
            await until(lambda: kept(service), lambda count: count == 0)
    assert len(await service.notes()) == 20


async def test_a_topic_made_anew_while_its_reader_was_away_loses_nothing(service: Service) -> None:
    async with service.publishing():
        async with running(service.consumer().run):
            await service.say(*(an_event(KEY, note=f"handled {number}") for number in range(5)))
            await until(lambda: service.notes(), lambda notes: len(notes) == 5)
        await service.say(*(an_event(KEY, note=f"unread {number}") for number in range(30)))
        await until(service.unpublished, lambda left: left == 0)
        await make_anew(service)
        await service.say(*(an_event(uuid4(), note=f"new {number}") for number in range(150)))
        async with running(service.consumer().run):
            await until(lambda: service.notes(), lambda notes: len(notes) == 185, seconds=60)
    assert await service.notes(KEY) == [
        *(f"handled {number}" for number in range(5)),
        *(f"unread {number}" for number in range(30)),
    ]


async def test_a_topic_made_anew_under_its_reader_loses_nothing(service: Service) -> None:
    async with service.publishing(), running(service.consumer().run):
        await service.say(*(an_event(uuid4(), note=f"before {number}") for number in range(50)))
        await until(lambda: service.notes(), lambda notes: len(notes) == 50)
        await make_anew(service)
        await service.say(*(an_event(uuid4(), note=f"after {number}") for number in range(80)))
        await until(lambda: service.notes(), lambda notes: len(notes) == 130, seconds=60)


async def test_what_expired_unread_is_sent_again_by_itself_with_the_same_bytes(service: Service) -> None:
    bus = bus_of(service)
    seen: list[tuple[str, int]] = []

    async def note(tx: Transaction, events: Sequence[Event]) -> None:
        await service.effect(tx, events)
        seen.extend((note_of(event), event.sequence) for event in events)

    async with service.publishing():
        async with running(service.consumer(on_events(note)).run):
            await service.say(an_event(KEY, note="0"))
            await until(lambda: service.notes(), lambda notes: len(notes) == 1)
        await service.say(*(an_event(KEY, note=str(number)) for number in range(1, 51)))
        await until(service.unpublished, lambda left: left == 0)
        ends = {position: extent.end for position, extent in (await bus.extents([ACCESS])).items()}
        admin = await administer(service)
        await admin.delete_records(
            {
                TopicPartition(bus.prefix + position.topic, position.partition): RecordsToDelete(before_offset=end)
                for position, end in ends.items()
            }
        )
        await admin.close()
        async with running(service.consumer(on_events(note)).run):
            await until(lambda: service.notes(), lambda notes: len(notes) == 51, seconds=60)
    assert await service.notes() == [str(number) for number in range(51)]
    assert seen == [(str(number), number) for number in range(51)]


async def test_topics_are_made_with_what_our_promises_rest_on_or_every_error_is_told(service: Service) -> None:
    bus, admin = bus_of(service), await administer(service)
    with pytest.raises(ConfigurationError, match=r"t-many-0: InvalidReplicationFactorError.*t-many-1: "):
        await create_topics(bus.servers, ["t-many-0", "t-many-1"], partitions=1, replication=3)
    name = bus.prefix + TOPICS[-1]
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    async def retention() -> object:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}["retention.ms"]

    assert await retention() == str(7 * 24 * 3600 * 1000)
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs={"retention.ms": "1000"})])
    await create_topics(bus.servers, [name], partitions=4, replication=1)
    assert await retention() == str(7 * 24 * 3600 * 1000), "an existing topic is put right too"
    await admin.close()
