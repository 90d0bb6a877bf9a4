"""What fails alone fails that one; what may heal is tried again; nothing waits for a restart."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from contracts.envelope import Event, encode_headers, encode_value, sequence_headers
from contracts.events import ACCESS
from kernel.bus import Broker, Log, Message, Record
from kernel.database import Transaction
from kernel.errors import PoisonEvent
from kernel.events.inbox import on_events
from kernel.events.outbox import pack_headers
from tests.support.loops import running
from tests.support.messaging import Service, an_event, note_of, rows
from tests.support.wait import until


async def publish(service: Service, *records: Record) -> None:
    """Writes records to the log as a stranger might."""
    bus = service.bus
    if isinstance(bus, Broker):
        for parcel in await bus.publish([(0, record) for record in records]):
            await parcel.outcomes
        return
    assert isinstance(bus, Log)
    async with service.database.transaction() as tx:
        await bus.append(
            tx.driver,
            [Message(0, one.topic, one.key, uuid4(), pack_headers(one.headers), one.value) for one in records],
        )


def record_of(event: Event, sequence: int = 0, **headers: bytes) -> Record:
    own = encode_headers(event) + sequence_headers(0, sequence)
    return Record(event.topic, event.key, own + tuple(headers.items()), encode_value(event))


async def parked(service: Service) -> int:
    return len(await rows(service.database, "SELECT 1 FROM parked"))


async def test_poison_parks_with_the_later_events_of_its_key_and_others_move_on(service: Service) -> None:
    bad, good = uuid4(), uuid4()
    service.poison.add("bad-1")
    await service.say(
        *(an_event(key, note=f"{name}-{n}") for n in range(3) for name, key in (("bad", bad), ("ok", good)))
    )
    consumer = service.consumer()
    async with service.publishing(), running(consumer.run, service.retrying().run):
        await until(lambda: service.notes(), lambda notes: len(notes) == 4)
        await service.say(an_event(bad, note="bad-3"), an_event(good, note="ok-3"))
        await until(lambda: service.notes(good), lambda notes: "ok-3" in notes)
        await until(lambda: parked(service), lambda count: count == 3)
        assert await service.notes(bad) == ["bad-0"]
        reasons = " ".join(str(reason) for (reason,) in await rows(service.database, "SELECT reason FROM parked"))
        assert "ValueError" in reasons
        assert "secret" not in reasons
        service.poison.clear()  # whatever was in its way has healed: nobody restarts anything
        await until(lambda: service.notes(bad), lambda notes: len(notes) == 4)
    assert await service.notes(bad) == ["bad-0", "bad-1", "bad-2", "bad-3"]
    assert await parked(service) == 0


async def test_what_fails_now_and_then_is_tried_again_before_it_is_parked(service: Service) -> None:
    failures = 2

    async def stumble(tx: Transaction, events: Sequence[Event]) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError("somebody else's file")
        await service.effect(tx, events)

    await service.say(an_event(uuid4(), note="a"))
    async with service.publishing(), running(service.consumer(on_events(stumble)).run):
        await until(lambda: service.notes(), bool)
        assert await parked(service) == 0


async def test_declared_poison_is_parked_at_once(service: Service) -> None:
    tries = 0

    async def refuse(tx: Transaction, events: Sequence[Event]) -> None:
        nonlocal tries
        tries += 1
        raise PoisonEvent("nobody can ever handle this")

    await service.say(an_event(uuid4(), note="a"))
    async with service.publishing(), running(service.consumer(on_events(refuse)).run):
        await until(lambda: parked(service), lambda count: count == 1)
    assert tries == 2, "once in its batch, once alone"


@pytest.mark.parametrize(
    ("take", "give"),
    [
        ("ALTER TABLE effect RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO effect"),
        ("ALTER TABLE effect RENAME note TO other", "ALTER TABLE effect RENAME other TO note"),
        ("ALTER SCHEMA svc RENAME TO moved", "ALTER SCHEMA moved RENAME TO svc"),
    ],
    ids=["table", "column", "schema"],
)
async def test_what_the_database_lacks_for_a_while_parks_nothing(
    service: Service, database_dsn: str, take: str, give: str
) -> None:
    keys = [uuid4() for _ in range(20)]
    admin = await service.database.session()
    async with service.publishing(), running(service.consumer().run):
        await service.say(*(an_event(key, note="before") for key in keys))
        await until(lambda: service.notes(), lambda notes: len(notes) == 20)
        async with service.database.transaction() as tx:
            await service.outbox.append(tx, [an_event(key, note="meanwhile") for key in keys])
            await tx.driver.execute("SET LOCAL search_path TO svc")
        await admin.execute(take)
        await asyncio.sleep(1.5)  # the outage itself
        await admin.execute(give)
        await until(lambda: service.notes(), lambda notes: len(notes) == 40)
        assert await parked(service) == 0
    await admin.close()


async def test_a_column_added_while_we_run_parks_nothing(service: Service) -> None:
    """A plan that was prepared before, by every connection that there is, is stale after it."""

    async def with_plan(tx: Transaction, events: Sequence[Event]) -> None:
        await tx.driver.fetch("SELECT * FROM effect LIMIT 1")
        await service.effect(tx, events)

    keys = [uuid4() for _ in range(5)]
    consumer = service.consumer(on_events(with_plan))
    async with service.publishing(), running(consumer.run, service.retrying().run):
        for number in range(6):
            await service.say(*(an_event(key, note=str(number)) for key in keys))
            await until(lambda: service.notes(), lambda notes, all=5 * (number + 1): len(notes) == all)
            assert await parked(service) == 0
            async with service.database.transaction() as tx:
                await tx.driver.execute(f"ALTER TABLE effect ADD COLUMN more_{number} int")
    for key in keys:
        assert await service.notes(key) == [str(number) for number in range(6)]


async def test_one_event_that_the_database_never_bears_stops_no_other(service: Service) -> None:
    """Its statement runs out of time, each time: to a batch that is no more than a database in trouble."""
    bad = uuid4()

    async def slow_for_one(tx: Transaction, events: Sequence[Event]) -> None:
        for event in events:
            if event.key == bad:
                await tx.driver.execute("SET LOCAL statement_timeout = 20")
                await tx.driver.execute("SELECT pg_sleep(1)")
            await service.effect(tx, [event])

    await service.say(an_event(bad, note="bad"), *(an_event(uuid4(), note="good") for _ in range(20)))
    async with service.publishing(), running(service.consumer(on_events(slow_for_one)).run):
        await until(lambda: service.notes(), lambda notes: len(notes) == 20, seconds=60)
        assert await parked(service) == 1


# -- records of others --


ODD_HEADERS: dict[str, bytes | None] = {
    "x-datadog": None,
    "baggage": b"\xff\xfe",
    "ce_future": b"1",
    "traceparent": b"",
}


async def test_headers_that_are_not_ours_change_nothing(service: Service) -> None:
    event = an_event(uuid4(), note="a")
    headers = encode_headers(event) + sequence_headers(0, 0) + tuple(ODD_HEADERS.items())
    if isinstance(service.bus, Log):
        headers = encode_headers(event) + tuple(ODD_HEADERS.items())  # the log has the sequence beside them
    await publish(service, Record(ACCESS, event.key, headers, encode_value(event)))  # type: ignore[arg-type]
    async with running(service.consumer().run):
        await until(lambda: service.notes(), lambda notes: notes == ["a"])
    assert await parked(service) == 0


async def test_a_record_that_is_no_event_is_parked_and_holds_back_nobody(service: Service) -> None:
    key = uuid4()
    await publish(
        service,
        Record(ACCESS, UUID(int=0), (), b""),
        Record(ACCESS, key, (("ce_id", b"\xff"), ("ce_type", b"x")), b"\x00"),
        Record(ACCESS, key, (), b"{" * 100_000),
        record_of(an_event(key, note="after")),
    )
    async with running(service.consumer().run):
        await until(lambda: service.notes(), lambda notes: notes == ["after"])
    assert await parked(service) == 3


async def test_a_row_of_the_log_whose_headers_are_no_headers_is_parked_like_any_other(service: Service) -> None:
    if not isinstance(service.bus, Log):
        return  # Kafka's own format sees to that
    key = uuid4()
    async with service.database.transaction() as tx:
        odd = [Message(0, ACCESS, key, uuid4(), headers, b"{}") for headers in (b"", b"\xc1", b"\x91\x92\xa1a\xc0")]
        await service.bus.append(tx.driver, odd)
    await service.say(an_event(key, note="after"))
    async with running(service.consumer().run):
        await until(lambda: service.notes(), lambda notes: notes == ["after"])
    assert await parked(service) == 3


async def test_a_newer_type_waits_for_its_release_with_those_behind_it(service: Service) -> None:
    """In the same batch too; and it takes effect once, though it comes again after the upgrade."""
    key = uuid4()
    newer = an_event(key, note="newer")
    foreign = record_of(newer, 1)
    headers = tuple(
        (name, b"org.firstnotice.new.v9" if name == "ce_type" else value) for name, value in foreign.headers
    )
    await publish(
        service,
        record_of(an_event(key, note="before"), 0),
        Record(ACCESS, key, headers, foreign.value),
        record_of(an_event(key, note="after"), 2),
        record_of(an_event(uuid4(), note="other"), 3),
    )
    consumer = service.consumer()
    async with running(consumer.run, service.retrying().run):
        await until(lambda: service.notes(), lambda notes: len(notes) == 2)
        await until(lambda: parked(service), lambda count: count == 2)
        assert sorted(await service.notes()) == ["before", "other"]
        # The upgrade: from now on that type is read. It comes from the log once more, too.
        async with service.database.transaction() as tx:
            await tx.driver.execute(
                "UPDATE parked SET headers = $1 WHERE event_id IS NULL", pack_headers(foreign.headers)
            )
        await publish(service, foreign)
        await until(lambda: service.notes(key), lambda notes: len(notes) == 3)
        await until(lambda: parked(service), lambda count: count == 0)
    assert await service.notes(key) == ["before", "newer", "after"]
    assert note_of(newer) == "newer"
