"""What a service finds of its schema's version at its start, and `migrate` on a newer release's."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from kernel.database import Database
from kernel.errors import ConfigurationError
from kernel.migrations import BUS, KEYS, Schema, migrate
from kernel.migrations.version import demand_version, revision_of, revisions
from services.intake.migrations import SCHEMA

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    database = Database(database_dsn, schema=SCHEMA.name, role=SCHEMA.role, pool_size=1)
    yield database
    await database.close()


async def test_a_database_that_was_never_migrated_is_refused_with_what_to_do(database_dsn: str) -> None:
    connection = await asyncpg.connect(database_dsn)
    try:
        with pytest.raises(ConfigurationError, match=r"intake is at revision none, .* run `firstnotice migrate`"):
            await demand_version(connection, SCHEMA)
    finally:
        await connection.close()


async def test_a_migrated_database_is_taken(database: Database, database_dsn: str) -> None:
    await migrate(database_dsn, [KEYS, BUS, SCHEMA])
    async with database.transaction() as tx:
        await demand_version(tx.driver, SCHEMA)
        await demand_version(tx.driver, BUS)
        assert await revision_of(tx.driver, SCHEMA) == revisions(SCHEMA)[-1]


async def test_a_database_of_an_older_release_is_refused(database: Database, database_dsn: str, tmp_path: Path) -> None:
    await migrate(database_dsn, [SCHEMA])
    newest = int(revisions(SCHEMA)[-1].rpartition("_")[2])
    for number in range(1, newest + 2):
        (tmp_path / f"{number:04}_step.py").touch()
    async with database.transaction() as tx:
        with pytest.raises(ConfigurationError, match=f"intake_{newest:04}, this release needs intake_{newest + 1:04}:"):
            await demand_version(tx.driver, Schema("intake", tmp_path))


async def test_a_newer_release_s_database_is_taken_and_left_as_it_is(database: Database, database_dsn: str) -> None:
    await migrate(database_dsn, [SCHEMA])
    async with database.transaction() as tx:
        await tx.driver.execute("UPDATE alembic_version SET version_num = 'intake_9999'")
    await migrate(database_dsn, [SCHEMA])
    async with database.transaction() as tx:
        await demand_version(tx.driver, SCHEMA)
        assert await revision_of(tx.driver, SCHEMA) == "intake_9999"
