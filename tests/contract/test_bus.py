"""One suite for every bus: what `kernel.bus` promises, with the outbox, relay and inbox that stand on it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from contracts.envelope import Event
from contracts.events import ACCESS, TOPICS
from kernel.bus import Bus, Position
from kernel.bus.embedded import EmbeddedBus
from kernel.bus.kafka import KafkaBus, create_topics
from kernel.database import Database, Transaction
from kernel.inbox import Consumer, on_events, replay_from
from kernel.outbox import Outbox, covered, redrive, roll_partitions
from kernel.relay import Relay
from tests.support.loops import killed, running
from tests.support.messaging import NOON, an_event, make_log, make_schema, note_of, rows
from tests.support.wait import until

BusFactory = Callable[[], Bus]


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
async def new_bus(request: pytest.FixtureRequest, database_dsn: str) -> AsyncIterator[BusFactory]:
    """Makes connections of their own to one fresh log, as separate processes would have."""
    made: list[Bus] = []
    if request.param == "embedded":
        await make_log(database_dsn)

        def make() -> Bus:
            made.append(EmbeddedBus(Database(database_dsn, schema="bus", pool_size=2)))
            return made[-1]
    else:
        servers = request.getfixturevalue("kafka")
        prefix = f"t{uuid4().hex[:8]}-"
        await create_topics(servers, [prefix + topic for topic in TOPICS], partitions=4, replication=1)

        def make() -> Bus:
            made.append(KafkaBus(servers, client_id="test", prefix=prefix, session_seconds=6))
            return made[-1]

    yield make
    for bus in made:
        await bus.close()


class Service:
    """A service with an outbox and an inbox, whose effect is a list of notes in its database."""

    def __init__(self, dsn: str, schema: str) -> None:
        self.database = Database(dsn, schema=schema, pool_size=4)
        self.outbox = Outbox(schema)
        self.poison: set[str] = set()

    async def say(self, *events: Event) -> None:
        async with self.database.transaction() as tx:
            await self.outbox.append(tx, events)

    async def effect(self, tx: Transaction, events: Sequence[Event]) -> None:
        for event in events:
            if note_of(event) in self.poison:
                raise ValueError("a secret of a person")
            await tx.driver.execute("INSERT INTO effect (key, note) VALUES ($1, $2)", event.key, note_of(event))

    async def notes(self, key: UUID | None = None) -> list[str]:
        found = await rows(self.database, "SELECT key, note FROM effect ORDER BY id")
        return [str(note) for its_key, note in found if key in (None, its_key)]

    def consumer(self, bus: Bus, member: str = "one") -> Consumer:
        return Consumer(self.database, bus, member=member, handlers={ACCESS: on_events(self.effect)})

    def relay(self, bus: Bus) -> Relay:
        return Relay(self.database, self.outbox, bus, lambda: NOON)


@pytest.fixture
async def service(database_dsn: str) -> AsyncIterator[Service]:
    await make_schema(database_dsn, "svc")
    made = Service(database_dsn, "svc")
    async with made.database.transaction() as tx:
        await tx.driver.execute("CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, key uuid, note text)")
    yield made
    await made.database.close()


async def test_events_of_one_key_keep_their_order(new_bus: BusFactory, service: Service) -> None:
    keys = [uuid4() for _ in range(5)]
    for number in range(20):
        await service.say(*(an_event(key, note=str(number)) for key in keys))
    async with running(service.relay(new_bus()).run, service.consumer(new_bus()).run):
        await until(lambda: service.notes(), lambda notes: len(notes) == 100)
    for key in keys:
        assert await service.notes(key) == [str(number) for number in range(20)]


async def test_sequence_numbers_are_dense_per_shard(new_bus: BusFactory, service: Service) -> None:
    key = uuid4()
    seen: list[int] = []

    async def note_sequence(tx: Transaction, events: Sequence[Event]) -> None:
        seen.extend(event.sequence for event in events)

    consumer = Consumer(service.database, new_bus(), member="one", handlers={ACCESS: on_events(note_sequence)})
    async with running(consumer.run):
        for start in (0, 7):  # two relays, one after the other, as after a restart
            async with running(service.relay(new_bus()).run):
                for number in range(start, start + 7):
                    await service.say(an_event(key, note=str(number)))
                await until(lambda: rows(service.database, "SELECT 1 FROM outbox"), lambda left: not left)
        await until(lambda: seen, lambda numbers: len(numbers) >= 14)
    assert seen == list(range(14))


async def test_a_group_shares_the_partitions_and_each_event_takes_effect_once(
    new_bus: BusFactory, service: Service
) -> None:
    first, second = service.consumer(new_bus(), "one"), service.consumer(new_bus(), "two")
    async with running(service.relay(new_bus()).run, first.run, second.run):
        await until(lambda: (first.assigned(), second.assigned()), lambda both: all(len(owned) == 2 for owned in both))
        assert not first.assigned() & second.assigned()
        await service.say(*(an_event(uuid4(), note=str(number)) for number in range(100)))
        await until(lambda: service.notes(), lambda notes: len(notes) >= 100)
    assert sorted(await service.notes(), key=int) == [str(number) for number in range(100)]


async def test_partitions_of_a_member_that_left_go_to_the_others(new_bus: BusFactory, service: Service) -> None:
    stays = service.consumer(new_bus(), "one")
    async with running(service.relay(new_bus()).run, stays.run):
        leaver = service.consumer(new_bus(), "two")
        async with running(leaver.run):
            await until(leaver.assigned, lambda owned: len(owned) == 2)
        await until(stays.assigned, lambda owned: len(owned) == 4)
        await service.say(*(an_event(uuid4(), note=str(number)) for number in range(40)))
        await until(lambda: service.notes(), lambda notes: len(notes) == 40)


async def test_what_a_killed_consumer_did_not_commit_is_delivered_again(new_bus: BusFactory, service: Service) -> None:
    entered = asyncio.Event()

    async def hang(tx: Transaction, events: Sequence[Event]) -> None:
        await service.effect(tx, events)
        entered.set()
        await asyncio.Event().wait()

    await service.say(an_event(uuid4(), note="a"))
    hanging = Consumer(service.database, new_bus(), member="one", handlers={ACCESS: on_events(hang)})
    async with running(service.relay(new_bus()).run):
        async with killed(hanging.run):
            await asyncio.wait_for(entered.wait(), 30)
        assert await service.notes() == []
        async with running(service.consumer(new_bus()).run):
            await until(lambda: service.notes(), lambda notes: bool(notes))
    assert await service.notes() == ["a"]


async def test_an_event_published_twice_takes_effect_once(new_bus: BusFactory, service: Service) -> None:
    event = an_event(uuid4(), note="a")
    await service.say(event, event)
    await service.say(event, an_event(event.key, note="b"))
    async with running(service.relay(new_bus()).run, service.consumer(new_bus()).run):
        await until(lambda: service.notes(), lambda notes: "b" in notes)
    assert await service.notes() == ["a", "b"]


async def test_offsets_live_in_the_database_and_a_stale_owner_is_fenced(new_bus: BusFactory, service: Service) -> None:
    """Between its fetch and its commit, another worker advances the offset: nothing of the stale one may take place."""
    stale = service.consumer(new_bus())

    async def waiting() -> int:
        (count,) = (await rows(service.database, "SELECT count(*) FROM pg_locks WHERE NOT granted"))[0]
        return int(str(count))

    async with running(service.relay(new_bus()).run, stale.run):
        await until(stale.assigned, bool)
        async with service.database.transaction() as tx:
            await tx.driver.execute("UPDATE bus_offset SET next = next + 1")
            await service.say(an_event(uuid4(), note="a"))
            await until(waiting, lambda count: count > 0)
        await until(lambda: stale.stale_batches, lambda count: count == 1)
    assert await service.notes() == []


async def test_a_partition_can_be_replayed_from_an_offset(new_bus: BusFactory, service: Service) -> None:
    bus = new_bus()
    key = uuid4()
    events = [an_event(key, note=str(number)) for number in range(6)]
    await service.say(*events)
    async with running(service.relay(new_bus()).run):
        async with running(service.consumer(bus).run):
            await until(lambda: service.notes(), lambda notes: len(notes) == 6)
        (topic, partition), *_ = await rows(service.database, "SELECT topic, partition FROM bus_offset WHERE next = 6")
        async with service.database.transaction() as tx:
            position = Position(str(topic), int(str(partition)))
            await replay_from(tx, bus.name, await bus.generation(), position, 3)
            await tx.driver.execute("DELETE FROM inbox WHERE event_id = ANY($1)", [event.id for event in events[4:]])
        async with running(service.consumer(bus).run):
            await until(lambda: service.notes(), lambda notes: len(notes) == 8)
    assert await service.notes() == ["0", "1", "2", "3", "4", "5", "4", "5"]


async def test_poison_parks_with_the_later_events_of_its_key_and_others_move_on(
    new_bus: BusFactory, service: Service
) -> None:
    bad, good = uuid4(), uuid4()
    service.poison.add("bad-1")
    await service.say(
        *(an_event(key, note=f"{name}-{n}") for n in range(3) for name, key in (("bad", bad), ("ok", good)))
    )
    async with running(service.relay(new_bus()).run):
        async with running(service.consumer(new_bus()).run):
            await until(lambda: service.notes(), lambda notes: len(notes) == 4)
            await service.say(an_event(bad, note="bad-3"), an_event(good, note="ok-3"))
            await until(lambda: service.notes(good), lambda notes: "ok-3" in notes)
            await until(lambda: rows(service.database, "SELECT 1 FROM parked"), lambda parked: len(parked) == 3)
        assert await service.notes(bad) == ["bad-0"]
        reasons = " ".join(str(reason) for (reason,) in await rows(service.database, "SELECT reason FROM parked"))
        assert "ValueError" in reasons
        assert "secret" not in reasons
        service.poison.clear()  # the next release can handle it
        async with running(service.consumer(new_bus()).run):
            await until(lambda: service.notes(bad), lambda notes: len(notes) == 4)
    assert await service.notes(bad) == ["bad-0", "bad-1", "bad-2", "bad-3"]
    assert await rows(service.database, "SELECT 1 FROM parked") == []


async def test_a_backlog_of_an_outage_is_worked_off_in_order(new_bus: BusFactory, service: Service) -> None:
    """Neither relay nor consumer runs while 1,500 events come in: more than three batches."""
    keys = [uuid4() for _ in range(15)]
    for number in range(100):
        await service.say(*(an_event(key, note=str(number)) for key in keys))
    async with running(service.relay(new_bus()).run, service.consumer(new_bus()).run):
        await until(lambda: service.notes(), lambda notes: len(notes) == 1500, seconds=60)
    for key in keys:
        assert await service.notes(key) == [str(number) for number in range(100)]


async def test_a_late_commit_is_not_passed_over(new_bus: BusFactory, service: Service) -> None:
    """A row with a lower id that commits after a higher one was published still ships."""
    early, late = an_event(uuid4(), note="low id, late commit"), an_event(uuid4(), note="high id")
    async with running(service.relay(new_bus()).run, service.consumer(new_bus()).run):
        async with service.database.transaction() as tx:
            await service.outbox.append(tx, [early])
            await service.say(late)
            await until(lambda: service.notes(), lambda notes: notes == ["high id"])
        await until(lambda: service.notes(), lambda notes: len(notes) == 2)


async def test_what_the_broker_lost_is_sent_again_with_the_same_bytes(new_bus: BusFactory, service: Service) -> None:
    if new_bus().transactional:
        # This log is in the service's own database and cannot lose what that has: nothing is kept to send again.
        async with running(service.relay(new_bus()).run):
            await service.say(an_event(uuid4()))
            await until(lambda: rows(service.database, "SELECT 1 FROM outbox"), lambda left: not left)
        assert await rows(service.database, "SELECT 1 FROM outbox_sent") == []
        return
    key = uuid4()
    seen: list[tuple[str, int]] = []

    async def note(tx: Transaction, events: Sequence[Event]) -> None:
        seen.extend((note_of(event), event.sequence) for event in events)

    async with running(service.relay(new_bus()).run):
        await service.say(*(an_event(key, note=str(number)) for number in range(4)))
        await until(lambda: rows(service.database, "SELECT 1 FROM outbox"), lambda left: not left)
        async with service.database.transaction() as tx:
            await covered(tx, {key.int % 64: 1})
            assert await redrive(tx) == 2
        await until(lambda: rows(service.database, "SELECT 1 FROM outbox"), lambda left: not left)
        consumer = Consumer(service.database, new_bus(), member="one", handlers={ACCESS: on_events(note)})
        async with running(consumer.run):
            await until(lambda: seen, lambda notes: len(notes) == 4)
    assert seen == [("0", 0), ("1", 1), ("2", 2), ("3", 3)]
    assert len(await rows(service.database, "SELECT 1 FROM outbox_sent")) == 4


async def test_sent_events_are_dropped_by_day_only_when_the_trail_covers_them(service: Service) -> None:
    async with service.database.transaction() as tx:
        await roll_partitions(tx, NOON.date())
        for day in (0, 1):
            await tx.driver.execute(
                "INSERT INTO outbox_sent (shard, sequence, topic, key, event_id, headers, value, sent_on)"
                " VALUES (3, $1, 'access', gen_random_uuid(), gen_random_uuid(), '', '', $2)",
                day,
                NOON.date() + timedelta(days=day),
            )
        await covered(tx, {3: 0})
        await roll_partitions(tx, NOON.date() + timedelta(days=2))
        assert await tx.driver.fetch("SELECT sequence FROM outbox_sent") == [(1,)]
