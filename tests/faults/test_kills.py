"""Every process is killed, again and again, at chosen points and at random ones: nothing is lost, nothing done twice.

And the test itself is tested: with a safeguard taken out it has to find something wrong.
"""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from launcher import catalogue
from launcher.broker import LocalBroker
from launcher.postgres import EmbeddedPostgres
from tests.faults.examination import Findings, healed
from tests.faults.posting import Poster, an_encounter
from tests.faults.world import World
from tests.support.wait import until

ENCOUNTERS = 300
KILLS = 30
AT_ONCE = 3
KILLED_AT_THE_START = 0.2
SEED = 20261122

CRASH_POINTS = {
    "intake": ["intake.before_commit:20", "intake.after_commit:15"],
    "router": [
        "consumer.before_commit:3",
        "consumer.after_commit:3",
        "router.before_send:9",
        "router.after_send:9",
        "router.before_record:3",
        "router.after_record:3",
        "relay.before_publish:4",
        "relay.after_publish:4",
        "relay.after_mark:4",
    ],
    "eligibility": ["relay.after_publish:3"],
    "audit": ["consumer.before_commit:5", "consumer.after_commit:5"],
}

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def arm(world: World, *, relayed: bool) -> int:
    """Gives every crash point to the process in which it is; how many that are. A log in the services' own database
    needs no relay, so nobody can die in one.
    """
    armed = 0
    for service, points in CRASH_POINTS.items():
        process = next(process for process in world.processes.values() if service in process.name.split("+"))
        reached = [point for point in points if relayed or not point.startswith("relay.")]
        process.points += reached
        armed += len(reached)
    return armed


async def storm(world: World, random: Random, reports: int, outage: Callable[[], None]) -> tuple[Poster, int]:
    """Posts while it kills, with one outage of the database or the broker half-way.

    Goes on, with more work to be killed in, until there were enough deaths and every crash point was hit. Returns who
    was accepted, and how many crash points were hit.
    """
    poster = Poster(world)
    hit: list[str] = []
    await world.up()
    async with asyncio.TaskGroup() as tasks:

        def post(count: int) -> asyncio.Task[None]:
            return tasks.create_task(poster.post_all(an_encounter(random.randrange(3)) for _ in range(count)))

        posting, was_out = post(reports), False

        def enough() -> bool:
            return was_out and world.deaths >= KILLS and not world.has_points_left

        def worked(accepted: int) -> bool:
            hit.extend(world.heal())
            return world.listens and (posting.done() or len(poster.accepted) >= accepted)

        while not (posting.done() and enough()):
            if random.random() >= KILLED_AT_THE_START:
                # Waits for work, not for time: on a slow machine, nothing would ever be up to be killed at work.
                some_more = len(poster.accepted) + random.randint(5, 25)
                await until(partial(worked, some_more), bool, seconds=180)
            else:
                hit.extend(world.heal())
            if posting.done() and not enough():
                posting = post(20)
            if not was_out and len(poster.accepted) >= reports // 2:
                was_out = True
                await asyncio.to_thread(outage)
            # A process with a crash point before it is left alone until it has reached that.
            unarmed = [one for _, one in sorted(world.processes.items()) if one.armed is None]
            for victim in random.sample(unarmed, min(len(unarmed), random.randint(1, AT_ONCE))):
                victim.kill()
    return poster, len(hit)


async def test_embedded_loses_nothing_and_doubles_nothing(
    tmp_path: Path, postgres_factory: Callable[[], EmbeddedPostgres]
) -> None:
    server = postgres_factory()
    dsn = server.start()
    await catalogue.migrate(dsn, None)
    world = World(tmp_path, dsn, kafka=None)

    def outage() -> None:
        server.kill()
        server.start()

    await survives(world, outage, relayed=False)


@pytest.mark.kafka
async def test_a_cluster_loses_nothing_and_doubles_nothing(
    tmp_path: Path, postgres_factory: Callable[[], EmbeddedPostgres], broker_factory: Callable[[], LocalBroker]
) -> None:
    server, broker = postgres_factory(), broker_factory()
    dsn = server.start()
    broker.start()
    await catalogue.migrate(dsn, broker.bootstrap_servers)
    world = World(tmp_path, dsn, kafka=broker.bootstrap_servers)

    def outage() -> None:
        broker.kill()
        broker.restart()

    await survives(world, outage, relayed=True)


async def survives(world: World, outage: Callable[[], None], *, relayed: bool) -> None:
    armed = arm(world, relayed=relayed)
    try:
        poster, hit = await storm(world, Random(SEED), ENCOUNTERS, outage)
        findings = await healed(world, poster.accepted, seconds=120)
        assert findings == Findings(), world.logs()
        assert len(poster.accepted) >= ENCOUNTERS
        assert world.deaths >= KILLS
        assert hit == armed
    finally:
        world.down()


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("sabotage", "point"), [("no-inbox", "relay.after_publish:2"), ("mark-first", "sabotage.marked:2")]
)
async def test_without_its_safeguards_the_same_examination_finds_what_went_wrong(
    sabotage: str,
    point: str,
    tmp_path: Path,
    postgres_factory: Callable[[], EmbeddedPostgres],
    broker_factory: Callable[[], LocalBroker],
) -> None:
    """One kill of the router's relay is enough when the inbox is out, or when it marks before it publishes."""
    server, broker = postgres_factory(), broker_factory()
    dsn = server.start()
    broker.start()
    await catalogue.migrate(dsn, broker.bootstrap_servers)
    world = World(tmp_path, dsn, kafka=broker.bootstrap_servers, sabotage=sabotage)
    world.processes["router"].points.append(point)
    try:
        await world.up()
        poster = Poster(world)
        await poster.post_all(_some(12))
        findings = await healed(world, poster.accepted, seconds=20)
        assert world.processes["router"].deaths == 1
        assert findings.trail, findings
    finally:
        world.down()


def _some(count: int) -> Iterator[tuple[dict[str, object], set[str]]]:
    return (an_encounter(number) for number in range(count))
