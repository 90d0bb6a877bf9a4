"""What does not move is seen from outside of the loops that are stuck, and said."""

from collections.abc import AsyncIterator, Callable
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY

from contracts.events import ACCESS, TOPICS
from kernel.bus.embedded import EmbeddedBus
from kernel.bus.kafka import KafkaBus, create_topics
from kernel.database import Database
from kernel.events.movement import Movement
from launcher.broker import LocalBroker
from tests.support.loops import running
from tests.support.messaging import READERS, Service, an_event, make_log, make_schema
from tests.support.wait import until


def measured(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"firstnotice_{name}", {"service": "svc"} | labels) or 0.0


@pytest.fixture
async def embedded(database_dsn: str) -> AsyncIterator[Service]:
    await make_log(database_dsn)
    await make_schema(database_dsn, "svc")
    service = Service(
        database_dsn, "svc", lambda: EmbeddedBus(Database(database_dsn, schema="bus", pool_size=2), READERS)
    )
    async with service.database.transaction() as tx:
        await tx.driver.execute("CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, key uuid, note text)")
    yield service
    await service.bus.close()
    await service.database.close()


async def test_lag_is_told_also_of_a_consumer_that_does_not_run(embedded: Service) -> None:
    movement = Movement(embedded.database, embedded.bus, [ACCESS])
    await embedded.say(*(an_event(UUID(int=1), note=str(number)) for number in range(7)))
    await movement.look()
    lags = [measured("consumer_lag", topic=ACCESS, partition=str(number)) for number in range(4)]
    assert sorted(lags) == [0, 0, 0, 7]
    async with running(embedded.consumer().run):
        await until(lambda: embedded.notes(), lambda notes: len(notes) == 7)
    await movement.look()
    assert sum(measured("consumer_lag", topic=ACCESS, partition=str(number)) for number in range(4)) == 0
    assert movement.still == ()


async def test_parked_events_are_counted_and_said(embedded: Service) -> None:
    movement = Movement(embedded.database, embedded.bus, [ACCESS])
    embedded.poison.add("bad")
    async with running(embedded.consumer().run):
        key = uuid4()
        await embedded.say(an_event(key, note="bad"), an_event(key, note="behind"))

        async def parked() -> float:
            await movement.look()
            return measured("events_parked")

        await until(parked, lambda count: count == 2)
    assert "2 events are parked" in movement.still[0]


@pytest.mark.kafka
async def test_a_broker_that_is_away_is_seen_in_the_age_of_what_waits(
    database_dsn: str, broker_factory: Callable[[], LocalBroker]
) -> None:
    broker = broker_factory()
    servers = broker.start()
    await create_topics(servers, TOPICS, partitions=4, replication=1)
    await make_schema(database_dsn, "svc")
    service = Service(database_dsn, "svc", lambda: KafkaBus(servers, client_id="test"))
    movement = Movement(service.database, service.bus, [ACCESS])
    async with service.publishing():
        await service.say(an_event(uuid4()))
        await until(service.unpublished, lambda left: left == 0)
        await movement.look()
        assert (measured("outbox_pending"), movement.still) == (0, ())
        broker.kill()
        await service.say(an_event(uuid4()))
        async with service.database.transaction() as tx:
            await tx.driver.execute(
                "UPDATE outbox SET created_at = created_at - interval '2 hours' WHERE published_at IS NULL"
            )

        async def said() -> str:
            await movement.look()
            return " / ".join(movement.still)

        said_now = await until(said, lambda text: "does not answer" in text and "wait for the log" in text)
        assert "1 events wait for the log, the oldest for 72" in said_now
        assert measured("outbox_oldest_seconds") >= 7200
        assert measured("log_away_seconds") > 0
        assert measured("stands_still") == 1
        broker.start()
        await until(said, lambda text: text == "", seconds=60)
    await service.bus.close()
    await service.database.close()
