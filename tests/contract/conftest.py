"""Both buses, for suites that hold for each of them."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from contracts.events import TOPICS
from kernel.bus import Bus
from kernel.bus.embedded import EmbeddedBus
from kernel.bus.kafka import KafkaBus, create_topics
from kernel.database import Database
from tests.support.messaging import READERS, BusFactory, Service, make_log, make_schema


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
async def new_bus(request: pytest.FixtureRequest, database_dsn: str) -> AsyncIterator[BusFactory]:
    """Makes connections of their own to one fresh log, as separate processes would have."""
    made: list[Bus] = []
    if request.param == "embedded":
        await make_log(database_dsn)

        def make() -> Bus:
            made.append(EmbeddedBus(Database(database_dsn, schema="bus", pool_size=2), READERS))
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


@pytest.fixture
async def service(database_dsn: str, new_bus: BusFactory) -> AsyncIterator[Service]:
    await make_schema(database_dsn, "svc")
    made = Service(database_dsn, "svc", new_bus)
    async with made.database.transaction() as tx:
        await tx.driver.execute("CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, key uuid, note text)")
    yield made
    await made.database.close()
