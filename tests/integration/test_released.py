"""Upgrades, with the real code of earlier releases: from the oldest with all that it had under way, and from the last
while both run side by side. What was accepted is told once, whoever took it in and whoever carried it on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from kernel.migrations.version import revision_of, revisions
from launcher import catalogue
from launcher.broker import LocalBroker
from tests.faults.examination import Findings, examine, healed
from tests.faults.posting import an_encounter
from tests.released.installation import SERVICES, Installation
from tests.released.release import Release, firstnotice, kept, unpack
from tests.support.wait import until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(900)]

SECONDS = 150
"""For what may have to wait until Kafka gives a stopped member's partitions to others, after 45 s."""
RECIPIENTS_OF_A_MINOR = {"mo-dss", "mo-jo-16", "us-hhs-otip"}
IS_A_MINOR = {"subjects": [{"subject_number": 1, "age": {"years": 16, "verified_by": "document"}}]}


@pytest.fixture
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Release:
    return unpack(request.param, tmp_path / "release")


@pytest.mark.parametrize("release", [kept()[0]], indirect=True)
@pytest.mark.parametrize("kafka", [False, pytest.param(True, marks=pytest.mark.kafka)], ids=["embedded", "kafka"])
async def test_what_the_oldest_release_has_under_way_is_carried_on(
    kafka: bool,
    release: Release,
    tmp_path: Path,
    database_dsn: str,
    broker_factory: Callable[[], LocalBroker],
) -> None:
    broker = [_started(broker_factory)] if kafka else []
    migrate = ("migrate", "--database-dsn", database_dsn, *(f"--kafka={one}" for one in broker))
    release.firstnotice(*migrate)
    installation = Installation(tmp_path / "home", database_dsn, release, kafka=broker[0] if kafka else None)
    connection = await asyncpg.connect(database_dsn)
    try:
        assert await _revisions(connection) <= orjson.loads(release.digests()).keys()
        await _live(installation, connection)
        await _holds_something_of_everything(connection, kafka=kafka)

        firstnotice(*migrate)
        assert await _revisions(connection) == {revisions(schema)[-1] for schema in catalogue.schemas()}
        await installation.run(released=())
        await _all_is_told(installation)
        await installation.poster.post_all(_some(3))
        await _all_is_told(installation)
    finally:
        await connection.close()
        installation.world.down()


@pytest.mark.kafka
@pytest.mark.parametrize("release", [kept()[-1]], indirect=True)
async def test_the_last_release_and_today_s_work_side_by_side(
    release: Release, tmp_path: Path, database_dsn: str, broker_factory: Callable[[], LocalBroker]
) -> None:
    """On today's schema: all of the release, then one half of each, then the other, as going back does, then today's.

    What is posted meanwhile is accepted by whichever intake is there.
    """
    kafka = _started(broker_factory)
    firstnotice("migrate", "--database-dsn", database_dsn, "--kafka", kafka)
    installation = Installation(tmp_path / "home", database_dsn, release, kafka=kafka)
    try:
        for released in (SERVICES, ("router", "eligibility"), ("intake", "audit"), ()):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(installation.run(released=released))
                tasks.create_task(installation.poster.post_all(_some(6)))
            await installation.poster.post_all(_some(3))
            await _all_is_told(installation)
    finally:
        installation.world.down()


def _started(broker_factory: Callable[[], LocalBroker]) -> str:
    broker = broker_factory()
    broker.start()
    return broker.bootstrap_servers


def _some(count: int) -> Iterator[tuple[dict[str, Any], set[str]]]:
    return (an_encounter(number) for number in range(count))


async def _live(installation: Installation, connection: asyncpg.Connection) -> None:
    """The release has a past, and is cut off in the middle of everything that can be in the middle."""
    world, poster = installation.world, installation.poster
    await installation.run(released=SERVICES)
    await poster.post_all(_some(6))
    await _all_is_told(installation)

    async with _standing_by(installation, connection, "router", "eligibility", "audit"):
        # Decided and delivered, and nobody has heard of it yet.
        await poster.post_all(_some(3))
        await until(lambda: examine(world, poster.accepted), _is_delivered, seconds=SECONDS)

        # Not handled, and what came later about the same persons waits behind it.
        await connection.execute("REVOKE SELECT ON keys.subject_key FROM fn_router, fn_eligibility")
        before = set(poster.accepted)
        await poster.post_all(an_encounter(0) for _ in range(3))
        for encounter_id in poster.accepted.keys() - before:
            await installation.amend(encounter_id, IS_A_MINOR)
            poster.accepted[encounter_id] = RECIPIENTS_OF_A_MINOR
        for service in ("router", "eligibility"):
            parked = partial(_count, connection, f"{service}.parked")
            await until(parked, lambda count: count == 6, seconds=SECONDS)

        # Published, and not noted as such.
        installation.kill("intake")
        world.processes["intake"].points.append("relay.after_publish")
        world.processes["intake"].start()
        async with asyncio.TaskGroup() as tasks:
            posting = tasks.create_task(poster.post_all(_some(3)))
            await until(lambda: world.processes["intake"].alive, lambda alive: not alive, seconds=SECONDS)
            async with _standing_by(installation, connection, "intake"):
                await posting  # which asks again whatever the dead one did not answer
                # Accepted, and nothing more.
                await poster.post_all(_some(3))
                installation.kill(*installation.running)
    await connection.execute("GRANT SELECT ON keys.subject_key TO fn_router, fn_eligibility")


@asynccontextmanager
async def _standing_by(
    installation: Installation, connection: asyncpg.Connection, *services: str
) -> AsyncIterator[None]:
    """These services publish nothing, as if others did: all their outboxes' shards are held here."""
    await installation.stop(*services)
    for service in services:
        await connection.execute(
            f"SELECT pg_advisory_lock(hashtext('{service}.outbox'), n) FROM generate_series(0, 63) n"
        )
    await installation.world.up()
    yield
    for service in services:
        await connection.execute(
            f"SELECT pg_advisory_unlock(hashtext('{service}.outbox'), n) FROM generate_series(0, 63) n"
        )


def _is_delivered(findings: Findings) -> bool:
    return not findings.undelivered and not findings.unacknowledged


async def _holds_something_of_everything(connection: asyncpg.Connection, *, kafka: bool) -> None:
    for service in ("intake", "router", "eligibility"):
        assert await _count(connection, f"{service}.outbox") > 0, service
        assert await _count(connection, f"{service}.inbox") > 0, service
        assert await _count(connection, f"{service}.bus_offset WHERE next > 0") > 0, service
        if kafka:
            assert await _count(connection, f"{service}.outbox_sent") > 0, service
    assert (await _count(connection, "intake.outbox WHERE sequence IS NOT NULL") > 0) == kafka
    for service in ("router", "eligibility"):
        assert await _count(connection, f"{service}.parked") >= 6, service


async def _count(connection: asyncpg.Connection, rows: str) -> int:
    count: int = await connection.fetchval(f"SELECT count(*) FROM {rows}")
    return count


async def _revisions(connection: asyncpg.Connection) -> set[str | None]:
    return {await revision_of(connection, schema) for schema in catalogue.schemas()}


async def _all_is_told(installation: Installation) -> None:
    """All that was accepted so far is decided, told once and in the trail once, in its order; nothing waits."""
    world = installation.world
    findings = await healed(world, installation.poster.accepted, seconds=SECONDS)
    assert findings == Findings(), _last_lines(world.home.logs)
    connection = await asyncpg.connect(world.dsn)
    try:
        # A source's events of one encounter are numbered by one shard, in the order in which they happened.
        overtaken = await connection.fetch(
            """
            SELECT topic, encounter_id, index FROM (
                SELECT topic, encounter_id, index, sequence, max(sequence) OVER (
                    PARTITION BY topic, source, encounter_id ORDER BY index
                ) AS highest
                FROM audit.entry, LATERAL (
                    SELECT told ->> 'source' AS source, (told ->> 'sequence')::bigint AS sequence
                    FROM (SELECT convert_from(content, 'UTF8')::jsonb -> 'event' AS told) AS entry
                ) AS event
                WHERE encounter_id IS NOT NULL
            ) AS entries
            WHERE sequence < highest
            """
        )
        assert overtaken == []
    finally:
        await connection.close()


def _last_lines(logs: Path) -> str:
    return "\n".join(f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-15:]) for log in logs.glob("*.log"))
