"""A host that is gone without a farewell keeps nothing: its connections stay open, and others take over its work.

No process dies and no connection breaks here, so nobody is told: what the dead host held (relay locks, partitions,
leases) has to run out by itself.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest

from launcher import catalogue
from launcher.postgres import EmbeddedPostgres
from launcher.processes import reserve_loopback_ports
from tests.faults.examination import told
from tests.faults.listening_broker import ListeningBroker
from tests.faults.posting import Poster, an_encounter
from tests.faults.ways import through, way_to_postgres
from tests.faults.world import Servers, World
from tests.support.proxy import Proxy, Upstream
from tests.support.wait import until

TAKEN_OVER_SECONDS = 30
MARGIN_SECONDS = 15
"""For a machine with much else to do."""
ENCOUNTERS = 24
"""Enough for a key in nearly every partition and in many of the relay's shards."""

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as exits:
        yield exits


async def tell_all(world: World, *, seconds: float) -> None:
    """Posts some encounters to whatever replica of intake answers, and waits until everybody was told of each and the
    agencies can see it: the way there and back, through every service's readers and relays."""
    poster = Poster(world)
    posting = asyncio.create_task(poster.post_all(an_encounter(number) for number in range(ENCOUNTERS)))
    connection = await asyncpg.connect(world.dsn)

    async def missing() -> str:
        posted, seen = dict(poster.accepted), told(world)
        owed = sum(map(len, posted.values()))
        untold = sum(len(recipients - set(seen.get(one, ()))) for one, recipients in posted.items())
        shown = await connection.fetchval(
            "SELECT count(*) FROM intake.notice_view WHERE confirmed_at IS NOT NULL AND encounter_id = ANY($1::uuid[])",
            list(posted),
        )
        return _missing(ENCOUNTERS - len(posted), untold, owed - shown)

    try:
        await until(missing, _missing(0, 0, 0).__eq__, seconds=seconds)
    finally:
        connection.terminate()
        posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)


def _missing(accepted: int, told: int, shown: int) -> str:
    return f"{accepted} encounters are not accepted, {told} notices not told and {shown} not shown to the agencies"


async def takes_over(world: World, service: str, cut: list[Proxy]) -> None:
    """With one replica at work and another beside it, the first one's host is gone: the other does all the work."""
    lost = world.processes[service]
    try:
        await world.up()
        await tell_all(world, seconds=120)
        world.join(service)
        await world.up()
        await tell_all(world, seconds=120)
        for proxy in cut:
            proxy.swallow()
        world.leave(lost)  # who reports tries another replica; nobody starts this one again
        await tell_all(world, seconds=TAKEN_OVER_SECONDS + MARGIN_SECONDS)
    finally:
        world.down()
        lost.kill()


@pytest.mark.parametrize("service", ["intake", "router"])
async def test_embedded_another_replica_takes_over(
    service: str, tmp_path: Path, postgres_factory: Callable[[], EmbeddedPostgres], stack: ExitStack
) -> None:
    dsn = postgres_factory().start()
    await catalogue.migrate(dsn, None)
    proxy = stack.enter_context(way_to_postgres(dsn))
    alone = [[one] for one in catalogue.SERVICES]
    world = World(tmp_path, dsn, kafka=None, together=alone, through={service: Servers(through(proxy), None)})
    await takes_over(world, service, [proxy])


@pytest.mark.kafka
@pytest.mark.parametrize("service", ["intake", "router"])
@pytest.mark.parametrize("gone", ["the database", "everything"])
async def test_in_a_cluster_another_replica_takes_over(
    gone: str, service: str, tmp_path: Path, postgres_factory: Callable[[], EmbeddedPostgres], stack: ExitStack
) -> None:
    """Whether it is the host that is gone, or only its way to the database: then the broker still hears from it."""
    dsn = postgres_factory().start()
    (port,) = reserve_loopback_ports(1)
    to_kafka = stack.enter_context(Proxy(Upstream(port=port)))
    broker = stack.enter_context(ListeningBroker(tmp_path / "kafka", {"lost": (port, to_kafka.port)}))
    await catalogue.migrate(dsn, broker.bootstrap_servers)
    to_postgres = stack.enter_context(way_to_postgres(dsn))
    world = World(
        tmp_path,
        dsn,
        kafka=broker.bootstrap_servers,
        through={service: Servers(through(to_postgres), f"127.0.0.1:{to_kafka.port}")},
    )
    await takes_over(world, service, [to_postgres, to_kafka] if gone == "everything" else [to_postgres])
