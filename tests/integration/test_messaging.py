"""A service's messaging as a whole: its schema, what another installation left, and what it forgets."""

from collections.abc import Sequence
from uuid import uuid4

import pytest

from contracts.envelope import Event, encode_headers, encode_value, shard_of
from contracts.events import ACCESS
from kernel.bus.embedded import EmbeddedBus
from kernel.database import Database, Transaction
from kernel.errors import Unavailable
from kernel.events.inbox import on_events
from kernel.events.messaging import Messaging
from kernel.events.outbox import pack_headers
from launcher import catalogue
from services.audit.migrations import SCHEMA
from tests.support.loops import again_and_again, running
from tests.support.messaging import an_event, note_of, rows
from tests.support.wait import until

pytestmark = pytest.mark.postgres


def wired(dsn: str, *, inbox_days: int = 90) -> tuple[Messaging, Database, EmbeddedBus]:
    database = Database(dsn, schema="audit", role="fn_audit", pool_size=4)
    bus = EmbeddedBus(Database(dsn, schema="bus", pool_size=2))
    return Messaging(SCHEMA, database, bus, inbox_days=inbox_days), database, bus


async def test_a_service_waits_until_its_schema_is_there_and_says_so(database_dsn: str) -> None:
    messaging, database, bus = wired(database_dsn)
    seen: list[str] = []

    async def note(tx: Transaction, events: Sequence[Event]) -> None:
        seen.extend(note_of(event) for event in events)

    loops = messaging.loops([], {ACCESS: on_events(note)})
    async with running(*(again_and_again(loop.run) for loop in loops)):
        with pytest.raises(Unavailable, match="run `firstnotice migrate`"):
            await messaging.check()
        await catalogue.migrate(database_dsn, None)
        await messaging.check()
        async with database.transaction() as tx:
            await messaging.outbox.append(tx, [an_event(uuid4(), note="after")])
        await until(lambda: seen, lambda notes: notes == ["after"])
    await messaging.close()
    await bus.close()


async def test_what_a_relay_had_not_sent_comes_first_when_there_is_none_any_more(database_dsn: str) -> None:
    await catalogue.migrate(database_dsn, None)
    messaging, database, bus = wired(database_dsn)
    key = uuid4()
    left = [an_event(key, note=str(number)) for number in range(5)]
    async with database.transaction() as tx:
        await tx.driver.executemany(
            "INSERT INTO outbox (shard, topic, key, event_id, headers, value) VALUES ($1, $2, $3, $4, $5, $6)",
            [
                (shard_of(one.key), one.topic, one.key, one.id, pack_headers(encode_headers(one)), encode_value(one))
                for one in left
            ],
        )
    seen: list[tuple[str, int]] = []

    async def note(tx: Transaction, events: Sequence[Event]) -> None:
        seen.extend((note_of(event), event.sequence) for event in events)

    loops = {loop.name: loop for loop in messaging.loops([], {ACCESS: on_events(note)})}
    async with database.transaction() as tx:
        await messaging.outbox.append(tx, [an_event(key, note="5")])
    async with running(loops["consumer"].run):
        await until(lambda: seen, lambda notes: len(notes) == 6)
    assert seen == [(str(number), number) for number in range(6)]
    assert await rows(database, "SELECT 1 FROM outbox") == []
    await messaging.close()
    await bus.close()


async def test_the_inbox_forgets_what_cannot_come_again(database_dsn: str) -> None:
    await catalogue.migrate(database_dsn, None)
    messaging, database, bus = wired(database_dsn, inbox_days=90)
    async with database.transaction() as tx:
        await tx.driver.execute(
            "INSERT INTO inbox"
            " SELECT gen_random_uuid(), now() - make_interval(days => n) FROM generate_series(1, 200) AS n"
        )
    loops = {loop.name: loop for loop in messaging.loops([], {})}
    async with running(loops["inbox"].run):
        await until(lambda: rows(database, "SELECT count(*) FROM inbox"), lambda found: found == [(89,)])
    await messaging.close()
    await bus.close()


async def test_requests_that_use_up_their_connections_leave_messaging_its_own(database_dsn: str) -> None:
    await catalogue.migrate(database_dsn, None)
    database = Database(database_dsn, schema="audit", role="fn_audit", pool_size=1, pool_timeout=0.2)
    bus = EmbeddedBus(Database(database_dsn, schema="bus", pool_size=2))
    messaging = Messaging(SCHEMA, database, bus)
    seen: list[str] = []

    async def note(tx: Transaction, events: Sequence[Event]) -> None:
        seen.extend(note_of(event) for event in events)

    loops = {loop.name: loop for loop in messaging.loops([], {ACCESS: on_events(note)})}
    async with running(loops["consumer"].run):
        async with database.transaction() as tx:
            await messaging.outbox.append(tx, [an_event(uuid4(), note="a")])
        async with database.transaction():
            await until(lambda: seen, bool)
            with pytest.raises(Unavailable, match="busy"):
                await database.check()
    await messaging.close()
    await bus.close()


async def test_an_error_of_the_caller_stays_what_it_is(database_dsn: str) -> None:
    database = Database(database_dsn, schema="public", pool_size=1)
    for error in (FileNotFoundError("a file of the caller"), TimeoutError("a wait of the caller"), KeyError("a bug")):
        with pytest.raises(type(error)):
            async with database.transaction():
                raise error
    with pytest.raises(Unavailable, match="UndefinedTableError"):
        async with database.transaction() as tx:
            await tx.driver.execute("SELECT * FROM nothing")
    await database.check()
    await database.close()
