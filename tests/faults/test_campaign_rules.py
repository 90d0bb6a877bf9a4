"""A campaign is a function of its seed, and its examination notices each sort of wrong that it is there to notice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from random import Random
from uuid import UUID, uuid5

import pytest

from contracts.events import EncounterAmended, EncounterReported, ObligationDecided
from tests.faults.campaign import trail
from tests.faults.campaign.kinds import kinds
from tests.faults.campaign.lives import life_of
from tests.faults.campaign.plan import Planned, Scope, schedule
from tests.faults.campaign.trail import Entry
from tests.support.proxy import Direction, Proxy, Upstream

SCOPE = Scope(
    kafka=True,
    processes=("audit", "eligibility", "intake", "router"),
    recipients=("dss", "hhs"),
    services=("audit", "eligibility", "intake", "router"),
    tables=("audit.entry", "keys.subject_key", "router.subject"),
    owned=("audit.entry", "router.subject"),
    longest=25,
)
KEY = UUID(int=1)


def drawn(seed: int, count: int) -> list[Planned]:
    return list(islice(schedule(Random(seed), SCOPE, kinds(kafka=True), (0.5, 4)), count))


def test_the_same_seed_gives_the_same_schedule_and_another_seed_another() -> None:
    assert drawn(7, 200) == drawn(7, 200)
    assert drawn(7, 200) != drawn(8, 200)


def test_every_kind_strikes_before_any_strikes_again() -> None:
    every = sorted(kinds(kafka=True))
    assert sorted(one.kind for one in drawn(7, len(every))) == every


def test_what_becomes_of_an_encounter_is_settled_by_seed_and_number() -> None:
    one, same, other = life_of(7, 3), life_of(7, 3), [life_of(7, number) for number in range(4, 20)]
    assert (one.amendments, one.told, one.to_be_retracted) == (same.amendments, same.told, same.to_be_retracted)
    assert any(life.amendments != one.amendments for life in other)


# -- the trail --


def entry(index: int, sequence: int, *, kind: str = "event", type: str = EncounterAmended.TYPE, id: int = 0) -> Entry:
    return Entry(
        index=index,
        kind=kind,
        event_id=UUID(int=id or 100 + sequence),
        type=type,
        source="/firstnotice/intake",
        shard=1,
        sequence=sequence,
        topic="encounters",
        key=str(KEY),
        subject_id=str(KEY),
        causation_id=None,
        data={"record_version": sequence},
    )


def decided(index: int, cause: Entry) -> Entry:
    return Entry(
        index=index,
        kind="event",
        event_id=uuid5(KEY, str(index)),
        type=ObligationDecided.TYPE,
        source="/firstnotice/router",
        shard=1,
        sequence=index,
        topic="notices",
        key=str(KEY),
        subject_id=str(KEY),
        causation_id=cause.event_id,
        data={},
    )


def problems(entries: Sequence[Entry]) -> list[int]:
    return [
        len(trail.missing_numbers(entries, ["/firstnotice/intake"])),
        len(trail.doubled(entries)),
        len(trail.out_of_order(entries)),
        len(trail.decided_out_of_order(entries)),
    ]


def test_a_trail_that_is_whole_is_found_to_be_so() -> None:
    first, second = entry(0, 0, type=EncounterReported.TYPE), entry(1, 1)
    assert problems([first, second, decided(2, first), decided(3, second)]) == [0, 0, 0, 0]
    assert [one.sequence for one in trail.versions([first, second])[str(KEY)]] == [0, 1]


def test_a_lost_event_a_doubled_one_and_a_late_one_are_found() -> None:
    first, second, third = entry(0, 0), entry(1, 1), entry(2, 2)
    assert problems([first, third]) == [1, 0, 0, 0]
    assert problems([first, second, entry(2, 1, id=999)]) == [0, 1, 0, 0], "two events with one number"
    assert problems([first, second, entry(2, 1, kind="conflict")]) == [0, 2, 0, 0]
    assert problems([first, entry(1, 2), entry(2, 1)]) == [0, 0, 1, 0]
    assert problems([first, second, decided(2, second), decided(3, first)]) == [0, 0, 0, 1]


# -- the network --


async def test_a_swallowed_network_tells_nobody_and_delivers_in_the_end() -> None:
    async with echo() as port:
        with Proxy(Upstream(port=port)) as proxy:
            directions: list[Direction] = ["up", "down", "both"]
            for direction in directions:
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                await said(reader, writer, b"one")
                await swallowed(proxy, direction, reader, writer)
                writer.close()


async def test_a_connection_made_while_the_network_swallows_works_when_it_is_back() -> None:
    async with echo() as port:
        with Proxy(Upstream(port=port)) as proxy:
            proxy.swallow()
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"early")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readexactly(5), 0.3)
            proxy.restore()
            assert await asyncio.wait_for(reader.readexactly(5), 10) == b"early"
            writer.close()


async def test_a_reset_cuts_every_connection_and_later_ones_work() -> None:
    async with echo() as port:
        with Proxy(Upstream(port=port)) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            await said(reader, writer, b"one")
            proxy.reset()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await asyncio.wait_for(reader.readexactly(1), 10)
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            await said(reader, writer, b"two")
            writer.close()


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """The port of a server that says again what it is told."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while content := await reader.read(1024):
            writer.write(content)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def swallowed(
    proxy: Proxy, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    proxy.swallow(direction)
    writer.write(b"two")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readexactly(3), 0.3)
    proxy.restore()
    assert await asyncio.wait_for(reader.readexactly(3), 10) == b"two"


async def said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: bytes) -> None:
    writer.write(what)
    assert await asyncio.wait_for(reader.readexactly(len(what)), 10) == what
