"""What the embedded log keeps, and for how long."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from contracts.envelope import encode_headers, encode_value, sequence_headers
from contracts.events import ACCESS
from kernel.bus import Record
from kernel.bus.embedded import EmbeddedBus
from kernel.database import Database
from tests.support.messaging import an_event, make_log, rows

pytestmark = pytest.mark.postgres

KEY = uuid4()
"""One key, so one partition."""


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    await make_log(database_dsn)
    made = Database(database_dsn, schema="bus", pool_size=4)
    yield made
    await made.close()


async def publish(bus: EmbeddedBus, database: Database, count: int) -> None:
    event = an_event(KEY)
    record = Record(ACCESS, event.key, encode_headers(event) + sequence_headers(0, 0), encode_value(event))
    async with database.transaction() as tx:
        await bus.publish([record] * count, tx.driver)


async def take(bus: EmbeddedBus, group: str, *, handle: bool = True) -> list[int]:
    """Offsets of what is there for a new member of the group, which counts as handled afterwards."""
    async with bus.subscribe(group, [ACCESS], f"{group}-1") as subscription:
        deliveries = await subscription.fetch(100, 1.0)
        if handle:
            await subscription.handled({one.position: one.offset + 1 for one in deliveries})
    return [one.offset for one in deliveries]


async def test_a_record_goes_when_everybody_has_read_it_and_it_is_old_enough(database: Database) -> None:
    patient, brief = EmbeddedBus(database), EmbeddedBus(database, retention=timedelta(0))
    await patient.start()
    await publish(patient, database, 5)
    assert await take(patient, "slow", handle=False) == [0, 1, 2, 3, 4]
    assert await take(patient, "quick") == [0, 1, 2, 3, 4]
    await take(brief, "quick")
    assert await rows(database, "SELECT count(*) FROM record") == [(5,)], "the slow group has not read them"
    await take(patient, "slow")
    await take(patient, "slow")
    assert await rows(database, "SELECT count(*) FROM record") == [(5,)], "they are not old enough"
    await take(brief, "quick")
    assert await rows(database, "SELECT count(*) FROM record") == [(0,)]


async def test_what_comes_after_a_sweep_goes_on_where_the_log_was(database: Database) -> None:
    bus = EmbeddedBus(database, retention=timedelta(0))
    await bus.start()
    await publish(bus, database, 3)
    await take(bus, "only")
    assert await take(bus, "only") == []
    await publish(bus, database, 2)
    assert await take(bus, "only") == [3, 4]
