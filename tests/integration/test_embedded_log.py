"""What the embedded log keeps, and for how long."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from contracts.events import ACCESS
from kernel.bus import Handled, Position
from kernel.bus.embedded import EmbeddedBus, partition_of
from kernel.database import Database
from tests.support.messaging import Service, an_event, make_log, make_schema, rows

pytestmark = pytest.mark.postgres

KEY = uuid4()
"""One key, so one partition."""
READERS = {ACCESS: ("slow", "quick")}


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    await make_log(database_dsn)
    await make_schema(database_dsn, "svc")
    made = Database(database_dsn, schema="bus", pool_size=4)
    yield made
    await made.close()


@pytest.fixture
async def log_of(database: Database) -> AsyncIterator[Callable[..., EmbeddedBus]]:
    made: list[EmbeddedBus] = []

    def make(**options: Any) -> EmbeddedBus:
        made.append(EmbeddedBus(database, **({"readers": READERS} | options)))
        return made[-1]

    yield make
    for bus in made:
        await bus.close()


@pytest.fixture
async def service(database_dsn: str, log_of: Callable[..., EmbeddedBus]) -> AsyncIterator[Service]:
    made = Service(database_dsn, "svc", log_of)
    yield made
    await made.database.close()


async def take(bus: EmbeddedBus, group: str, start: int, *, handle: bool = True) -> list[int]:
    """Offsets from `start` on, as a new member of the group reads them; they count as handled afterwards."""
    position = Position(ACCESS, partition_of(KEY))
    async with bus.subscribe(group, [ACCESS], None) as subscription:
        await subscription.fetch(100, 0.1)  # joins
        subscription.seek(position, start)
        deliveries = await subscription.fetch(100, 1.0)
        if handle:
            next = deliveries[-1].offset + 1 if deliveries else start
            await subscription.handled({position: Handled("", 0, next)})
    return [one.offset for one in deliveries]


async def test_a_record_goes_when_everybody_has_read_it_and_it_is_old_enough(
    database: Database, service: Service, log_of: Callable[..., EmbeddedBus]
) -> None:
    patient, brief = log_of(), log_of(retention=timedelta(0))
    await service.say(*(an_event(KEY) for _ in range(5)))
    assert await take(patient, "quick", 0) == [0, 1, 2, 3, 4]
    await take(brief, "quick", 5)
    assert await rows(database, "SELECT count(*) FROM record") == [(5,)], (
        "a group that was never here has not read them"
    )
    assert await take(patient, "slow", 0, handle=False) == [0, 1, 2, 3, 4]
    await take(brief, "quick", 5)
    assert await rows(database, "SELECT count(*) FROM record") == [(5,)], "the slow group has not handled them"
    await take(patient, "slow", 0)
    await take(patient, "slow", 5)
    assert await rows(database, "SELECT count(*) FROM record") == [(5,)], "they are not old enough"
    await take(brief, "quick", 5)
    assert await rows(database, "SELECT count(*) FROM record") == [(0,)]


async def test_what_comes_after_a_sweep_goes_on_where_the_log_was(
    database: Database, service: Service, log_of: Callable[..., EmbeddedBus]
) -> None:
    bus = log_of(readers={ACCESS: ("slow",)}, retention=timedelta(0))
    await service.say(*(an_event(KEY) for _ in range(3)))
    await take(bus, "slow", 0)
    assert await take(bus, "slow", 3) == []
    assert await rows(database, "SELECT count(*) FROM record") == [(0,)]
    await service.say(*(an_event(KEY) for _ in range(2)))
    assert await take(bus, "slow", 3) == [3, 4]
