"""Members of a group come, go, die and pause under traffic: published = took effect, each key in order."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from uuid import uuid4

from kernel.events.inbox import Consumer
from tests.support.loops import killed, running
from tests.support.messaging import Service, an_event, rows
from tests.support.replica import Replica
from tests.support.wait import until

KEYS = [uuid4() for _ in range(24)]


@asynccontextmanager
async def traffic(service: Service) -> AsyncIterator[Counter[str]]:
    """Events of all keys, numbered per key, as long as the block lasts; says how many of each key there were."""
    told: Counter[str] = Counter()
    stop = asyncio.Event()

    async def tell() -> None:
        while not stop.is_set():
            for key in KEYS:
                await service.say(an_event(key, note=str(told[str(key)])))
                told[str(key)] += 1
            await asyncio.sleep(0)

    telling = asyncio.create_task(tell())
    try:
        yield told
    finally:
        stop.set()
        await telling


async def all_took_effect_in_order(service: Service, told: Counter[str]) -> None:
    """Exactly once each, too: a note that came twice would be out of its place."""

    async def count() -> int:
        ((effects,),) = await rows(service.database, "SELECT count(*) FROM effect")
        return int(str(effects))

    await until(count, lambda effects: effects >= told.total(), seconds=60)
    for key in KEYS:
        assert await service.notes(key) == [str(number) for number in range(told[str(key)])]
    assert await rows(service.database, "SELECT 1 FROM parked") == []


async def test_members_come_and_go_under_traffic(service: Service) -> None:
    stays = service.consumer()
    async with service.publishing(), running(stays.run):
        async with traffic(service) as told:
            for _ in range(4):
                guest = service.consumer()
                async with running(guest.run):
                    await until(guest.assigned, bool)
                await until(stays.assigned, lambda owned: len(owned) == 4)
        await all_took_effect_in_order(service, told)


async def test_a_member_is_killed_and_comes_back(service: Service) -> None:
    stays, random = service.consumer(), Random(7)
    async with service.publishing(), running(stays.run):
        async with traffic(service) as told:
            for _ in range(3):
                victim = service.consumer()
                async with killed(victim.run):
                    await until(victim.assigned, bool)
                    enough = told.total() + random.randrange(50)
                    await until(told.total, lambda count, enough=enough: count > enough)
        await all_took_effect_in_order(service, told)


async def test_a_member_pauses_past_its_session(service: Service) -> None:
    """A process that is stopped and goes on later finds its partitions taken, and does nothing twice."""
    stays = service.consumer()
    async with service.publishing(), running(stays.run), Replica.of(service) as paused:
        async with traffic(service) as told:
            await until(stays.assigned, lambda owned: len(owned) == 2)
            paused.pause()
            await until(stays.assigned, lambda owned: len(owned) == 4, seconds=60)
            paused.go_on()
            await until(stays.assigned, lambda owned: len(owned) == 2, seconds=60)
        await all_took_effect_in_order(service, told)


async def test_nothing_is_discarded_while_nobody_comes_or_goes(service: Service) -> None:
    members: list[Consumer] = [service.consumer(), service.consumer()]
    async with service.publishing(), running(*(member.run for member in members)):
        await until(lambda: [len(member.assigned()) for member in members], lambda shares: shares == [2, 2])
        async with traffic(service) as told:
            await until(told.total, lambda count: count > 500)
        await all_took_effect_in_order(service, told)
    assert [member.stale_batches for member in members] == [0, 0]
