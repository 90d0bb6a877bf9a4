"""One suite for every bus: what `kernel.bus` promises, with the outbox, relay and inbox that stand on it."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from contracts.envelope import Event
from contracts.events import ACCESS
from kernel.bus import Position
from kernel.database import Transaction
from kernel.events.inbox import on_events
from kernel.events.offsets import replay_from
from tests.support.loops import killed, running
from tests.support.messaging import Service, an_event, rows
from tests.support.wait import until


async def test_events_of_one_key_keep_their_order(service: Service) -> None:
    keys = [uuid4() for _ in range(5)]
    for number in range(20):
        await service.say(*(an_event(key, note=str(number)) for key in keys))
    async with service.publishing(), running(service.consumer().run):
        await until(lambda: service.notes(), lambda notes: len(notes) == 100)
    for key in keys:
        assert await service.notes(key) == [str(number) for number in range(20)]


async def test_sequence_numbers_are_dense_per_shard(service: Service) -> None:
    key = uuid4()
    seen: list[int] = []

    async def note_sequence(tx: Transaction, events: Sequence[Event]) -> None:
        seen.extend(event.sequence for event in events)

    async with running(service.consumer(on_events(note_sequence)).run):
        for start in (0, 7):  # two relays, one after the other, as after a restart
            async with service.publishing():
                for number in range(start, start + 7):
                    await service.say(an_event(key, note=str(number)))
                await until(service.unpublished, lambda left: left == 0)
        await until(lambda: seen, lambda numbers: len(numbers) >= 14)
    assert seen == list(range(14))


async def test_writers_of_many_shards_at_once_number_densely_and_never_wait_in_a_circle(service: Service) -> None:
    seen: dict[int, list[int]] = {}

    async def note_sequence(tx: Transaction, events: Sequence[Event]) -> None:
        for event in events:
            seen.setdefault(event.shard, []).append(event.sequence)

    async def write() -> None:
        for _ in range(25):
            await service.say(*(an_event(uuid4()) for _ in range(8)))

    async with service.publishing(), running(service.consumer(on_events(note_sequence)).run):
        await asyncio.gather(*(write() for _ in range(5)))
        await until(lambda: sum(map(len, seen.values())), lambda count: count == 1000)
    assert all(sorted(numbers) == list(range(len(numbers))) for numbers in seen.values())


async def test_what_was_told_in_an_undone_part_is_not_told(service: Service) -> None:
    key = uuid4()
    async with service.publishing(), running(service.consumer().run):
        async with service.database.transaction() as tx:
            await service.outbox.append(tx, [an_event(key, note="a")])
            try:
                async with tx.savepoint():
                    await service.outbox.append(tx, [an_event(key, note="undone")])
                    raise KeyError
            except KeyError:
                await service.outbox.append(tx, [an_event(key, note="b")])
        await until(lambda: service.notes(), lambda notes: "b" in notes)
    assert await service.notes() == ["a", "b"]


async def test_a_group_shares_the_partitions_and_each_event_takes_effect_once(service: Service) -> None:
    first, second = service.consumer(), service.consumer()
    async with service.publishing(), running(first.run, second.run):
        await until(lambda: (first.assigned(), second.assigned()), lambda both: all(len(owned) == 2 for owned in both))
        assert not first.assigned() & second.assigned()
        await service.say(*(an_event(uuid4(), note=str(number)) for number in range(100)))
        await until(lambda: service.notes(), lambda notes: len(notes) >= 100)
    assert sorted(await service.notes(), key=int) == [str(number) for number in range(100)]


async def test_partitions_of_a_member_that_left_go_to_the_others(service: Service) -> None:
    stays = service.consumer()
    async with service.publishing(), running(stays.run):
        leaver = service.consumer()
        async with running(leaver.run):
            await until(leaver.assigned, lambda owned: len(owned) == 2)
        await until(stays.assigned, lambda owned: len(owned) == 4)
        await service.say(*(an_event(uuid4(), note=str(number)) for number in range(40)))
        await until(lambda: service.notes(), lambda notes: len(notes) == 40)


async def test_what_a_killed_consumer_did_not_commit_is_delivered_again(service: Service) -> None:
    entered = asyncio.Event()

    async def hang(tx: Transaction, events: Sequence[Event]) -> None:
        await service.effect(tx, events)
        entered.set()
        await asyncio.Event().wait()

    await service.say(an_event(uuid4(), note="a"))
    async with service.publishing():
        async with killed(service.consumer(on_events(hang)).run):
            await asyncio.wait_for(entered.wait(), 30)
        assert await service.notes() == []
        async with running(service.consumer().run):
            await until(lambda: service.notes(), lambda notes: bool(notes))
    assert await service.notes() == ["a"]


async def test_an_event_published_twice_takes_effect_once(service: Service) -> None:
    event = an_event(uuid4(), note="a")
    await service.say(event, event)
    await service.say(event, an_event(event.key, note="b"))
    async with service.publishing(), running(service.consumer().run):
        await until(lambda: service.notes(), lambda notes: "b" in notes)
    assert await service.notes() == ["a", "b"]


async def test_offsets_live_in_the_database_and_a_stale_owner_is_fenced(service: Service) -> None:
    """Between its fetch and its commit, another worker advances the offset: nothing of the stale one may take place."""
    stale = service.consumer()

    async def waiting() -> int:
        (count,) = (await rows(service.database, "SELECT count(*) FROM pg_locks WHERE NOT granted"))[0]
        return int(str(count))

    async with service.publishing(), running(stale.run):
        await until(stale.assigned, lambda owned: len(owned) == 4)
        async with service.database.transaction() as tx:
            await tx.driver.execute("UPDATE bus_offset SET next = next + 1")
            await service.say(an_event(uuid4(), note="a"))
            await until(waiting, lambda count: count > 0)
        await until(lambda: stale.stale_batches, lambda count: count == 1)
    assert await service.notes() == []


async def test_a_partition_can_be_replayed_from_an_offset(service: Service) -> None:
    key = uuid4()
    events = [an_event(key, note=str(number)) for number in range(6)]
    await service.say(*events)
    async with service.publishing():
        async with running(service.consumer().run):
            await until(lambda: service.notes(), lambda notes: len(notes) == 6)
        ((partition,), *_) = await rows(service.database, "SELECT partition FROM bus_offset WHERE next = 6")
        generation = (await service.bus.generations([ACCESS]))[ACCESS]
        async with service.database.transaction() as tx:
            await replay_from(tx, service.bus.name, generation, Position(ACCESS, int(str(partition))), 3)
            await tx.driver.execute("DELETE FROM inbox WHERE event_id = ANY($1)", [event.id for event in events[4:]])
        async with running(service.consumer().run):
            await until(lambda: service.notes(), lambda notes: len(notes) == 8)
    assert await service.notes() == ["0", "1", "2", "3", "4", "5", "4", "5"]


async def test_a_backlog_of_an_outage_is_worked_off_in_order(service: Service) -> None:
    """Neither relay nor consumer runs while 1,500 events come in: more than three batches."""
    keys = [uuid4() for _ in range(15)]
    for number in range(100):
        await service.say(*(an_event(key, note=str(number)) for key in keys))
    async with service.publishing(), running(service.consumer().run):
        await until(lambda: service.notes(), lambda notes: len(notes) == 1500, seconds=60)
    for key in keys:
        assert await service.notes(key) == [str(number) for number in range(100)]


async def test_a_late_commit_is_not_passed_over(service: Service) -> None:
    """What was told earlier and is committed later than another event still ships."""
    early, late = an_event(uuid4(), note="told first, committed last"), an_event(uuid4(), note="committed first")
    async with service.publishing(), running(service.consumer().run):
        async with service.database.transaction() as tx:
            await service.outbox.append(tx, [early])
            await service.say(late)
            await until(lambda: service.notes(), lambda notes: notes == ["committed first"])
        await until(lambda: service.notes(), lambda notes: len(notes) == 2)


async def test_what_comes_again_is_remembered_anew(service: Service) -> None:
    """A producer that sends again does so for as long as another reader has not handled it."""
    event = an_event(uuid4(), note="a")
    await service.say(event)
    async with service.publishing(), running(service.consumer().run):
        await until(lambda: service.notes(), bool)
        async with service.database.transaction() as tx:
            await tx.driver.execute("UPDATE inbox SET handled_at = now() - interval '80 days'")
        await service.say(event, an_event(event.key, note="b"))
        await until(lambda: service.notes(), lambda notes: "b" in notes)
    assert await service.notes() == ["a", "b"]
    old = "SELECT count(*) FROM inbox WHERE handled_at < now() - interval '1 day'"
    assert await rows(service.database, old) == [(0,)]
