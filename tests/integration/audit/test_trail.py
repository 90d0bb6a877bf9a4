"""The trail on a real PostgreSQL and the embedded log: each event once, gaps alarmed, nothing ever changed."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import asyncpg
import orjson
import pytest

from contracts.envelope import Event, encode_headers, encode_value, sequence_headers
from contracts.events import ACCESS, TRAIL, RecordRead, TrailCheckpointed
from kernel.bus import Record
from kernel.bus.embedded import EmbeddedBus
from kernel.clock import system_ids
from kernel.database import Database
from kernel.errors import Unavailable
from kernel.events.inbox import Consumer
from kernel.events.outbox import Outbox
from kernel.migrations import BUS, KEYS, migrate
from services.audit.adapters.trail import PostgresTrail
from services.audit.application.watch import Watch
from services.audit.consumers.every_event import AppendToTrail
from services.audit.migrations import SCHEMA
from tests.support.loops import running
from tests.support.messaging import NOON, an_event, rows, write_log
from tests.support.wait import until


class Audit:
    """The audit service's consumer and watch, and a way to put records on the bus."""

    def __init__(self, dsn: str) -> None:
        self.database = Database(dsn, schema="audit", role="fn_audit")
        self.bus = EmbeddedBus(Database(dsn, schema="bus"))
        self.dsn = dsn
        self.outbox = Outbox("audit", self.bus)
        self.now = NOON
        appending = AppendToTrail(PostgresTrail(), self.bus, lambda: self.now)
        self.consumer = Consumer(
            self.database,
            self.bus,
            handlers={ACCESS: appending, TRAIL: appending},
            repeated=appending.repeated,
        )
        self.watch = Watch(
            self.database,
            self.outbox,
            PostgresTrail(),
            clock=lambda: self.now,
            ids=system_ids,
            jurisdiction="MO",
            every_seconds=0.1,
            gap_seconds=30,
        )

    async def publish(self, *events: tuple[Event, int]) -> None:
        await write_log(
            self.dsn,
            *(
                Record(event.topic, event.key, encode_headers(event) + sequence_headers(7, number), encode_value(event))
                for event, number in events
            ),
        )

    async def entries(self) -> list[dict[str, object]]:
        found = await rows(self.database, "SELECT content FROM entry ORDER BY index")
        return [orjson.loads(content) for (content,) in found]  # type: ignore[arg-type]


@pytest.fixture
async def audit(database_dsn: str) -> AsyncIterator[Audit]:
    await migrate(database_dsn, [KEYS, BUS, SCHEMA])
    made = Audit(database_dsn)
    yield made
    await made.bus.close()
    await made.database.close()


async def test_each_event_has_one_entry_however_often_it_comes(audit: Audit) -> None:
    event = an_event(uuid4(), note="a")
    other = an_event(uuid4(), note="b")
    await audit.publish((event, 0), (event, 0))
    await audit.publish((event, 0), (other, 1))
    async with running(audit.consumer.run):
        await until(audit.entries, lambda entries: len(entries) >= 2)
    seen = {entry["event"]["id"] for entry in await audit.entries()}  # type: ignore[index]
    assert (seen, len(await audit.entries())) == ({str(event.id), str(other.id)}, 2)  # keys have no order among them


async def test_the_same_id_with_other_content_is_a_conflict_entry_and_not_a_silent_drop(audit: Audit) -> None:
    event = an_event(uuid4(), note="a")
    forged = replace(event, data=RecordRead(object_kind="test", object_id=event.key, reader="somebody else"))
    await audit.publish((event, 0), (forged, 0), (forged, 0))
    async with running(audit.consumer.run):
        await until(audit.entries, lambda entries: len(entries) >= 2)
    assert [entry["kind"] for entry in await audit.entries()] == ["event", "conflict"]


async def test_a_number_that_never_came_is_alarmed_after_our_patience_and_not_before(audit: Audit) -> None:
    key = uuid4()
    await audit.publish((an_event(key), 0), (an_event(key), 1), (an_event(key), 4))
    async with running(audit.consumer.run):
        await until(audit.entries, lambda entries: len(entries) == 3)
        assert await audit.watch.look_for_gaps() == []
        audit.now = NOON + timedelta(seconds=31)
        (gap,) = await audit.watch.look_for_gaps()
        assert (gap.source, gap.shard, gap.missing) == ("/firstnotice/test", 7, ((2, 3),))
        await audit.publish((an_event(key), 2), (an_event(key), 3))
        await until(audit.entries, lambda entries: len(entries) == 5)
    assert await audit.watch.look_for_gaps() == []


async def test_checkpoints_tell_what_is_covered_without_holes_and_do_not_cause_each_other(audit: Audit) -> None:
    key = uuid4()
    await audit.publish((an_event(key), 0), (an_event(key), 2))
    async with running(audit.consumer.run):
        await until(audit.entries, lambda entries: len(entries) == 2)
        assert await audit.watch.checkpoint()
        entries = await until(audit.entries, lambda entries: len(entries) == 3)
        assert not await audit.watch.checkpoint()
    told = entries[2]["event"]
    assert told["type"] == TrailCheckpointed.TYPE  # type: ignore[index]
    assert told["data"] == {  # type: ignore[index]
        "size": 2,
        "watermarks": [{"source": "/firstnotice/test", "shard": 7, "through": 0}],
    }


@pytest.mark.parametrize("statement", ["UPDATE entry SET type = ''", "DELETE FROM entry", "TRUNCATE entry"])
async def test_the_database_refuses_to_change_the_trail(audit: Audit, statement: str) -> None:
    await audit.publish((an_event(uuid4()), 0))
    async with running(audit.consumer.run):
        await until(audit.entries, lambda entries: len(entries) == 1)
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        async with audit.database.transaction() as tx:
            await tx.driver.execute(statement)


async def test_audit_may_not_even_look_at_the_keys(audit: Audit) -> None:
    with pytest.raises(Unavailable, match="InsufficientPrivilegeError"):
        async with audit.database.transaction() as tx:
            await tx.driver.fetch("SELECT * FROM keys.subject_key")


async def test_the_state_of_the_trail_counts_each_source(audit: Audit) -> None:
    key = uuid4()
    await audit.publish((an_event(key), 0), (an_event(key), 3))
    async with running(audit.consumer.run):
        await until(audit.entries, lambda entries: len(entries) == 2)
    async with audit.database.transaction() as tx:
        state = await PostgresTrail().state(tx)
    assert state.size == 2
    assert [(one.source, one.received, one.missing) for one in state.sources] == [("/firstnotice/test", 2, 2)]
