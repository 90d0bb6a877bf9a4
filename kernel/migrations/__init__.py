"""Migrating a schema: each has its own owner role, its own Alembic history and version table, one environment.

A released revision never changes (`tests/released/`). Services import this for their `Schema` alone, so what migrating
needs is imported when it runs.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from kernel.errors import ConfigurationError
from kernel.migrations.schema import Schema
from kernel.migrations.version import is_ahead, revision_of, revisions

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

ENVIRONMENT = Path(__file__).parent


SERVICE_ROLES = ("fn_intake", "fn_router", "fn_eligibility", "fn_audit")
"""Made before anything else, because the schemas `keys` and `bus` grant to them."""

KEYS = Schema("keys", ENVIRONMENT / "keys")
BUS = Schema("bus", ENVIRONMENT / "bus")


async def migrate(dsn: str, schemas: Sequence[Schema]) -> None:
    """Brings the schemas to their newest version, making roles and schemas that are missing. Safe to repeat.

    A schema that a newer release has migrated is left as it is: this one works on it, too. `dsn` belongs to an
    administrator who may create roles and schemas. Raises ConfigurationError if it may not.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtext('firstnotice.migrate'))")
        try:
            for role in sorted({*SERVICE_ROLES, *(schema.role for schema in schemas)}):
                await connection.execute(_role(role))
            for schema in schemas:
                await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema.name} AUTHORIZATION {schema.role}")
        except asyncpg.InsufficientPrivilegeError:
            raise ConfigurationError(
                "the database user may not create roles or schemas: run `firstnotice migrate` as an administrator"
            ) from None
        for schema in schemas:
            await _upgrade(dsn, schema)
    finally:
        await connection.close()


def _role(role: str) -> str:
    # Roles belong to the whole server, so several databases of one server may get here at the same time.
    return f"""
        DO $$ BEGIN
            CREATE ROLE {role} NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END $$;
        DO $$ BEGIN
            IF NOT pg_has_role(current_user, '{role}', 'MEMBER') THEN
                GRANT {role} TO CURRENT_USER;
            END IF;
        END $$;
    """


async def _upgrade(dsn: str, schema: Schema) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    async def connect() -> Any:
        return await asyncpg.connect(
            dsn, server_settings={"search_path": schema.name, "role": schema.role, "lock_timeout": "5s"}
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    try:
        async with engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            if not is_ahead(await revision_of(driver, schema), revisions(schema)):
                await connection.run_sync(_run_alembic, schema)
                await connection.commit()
    finally:
        await engine.dispose()


def _run_alembic(connection: "Connection", schema: Schema) -> None:
    from alembic import command
    from sqlalchemy import text

    connection.execute(text("SELECT 1"))
    command.upgrade(config(schema, connection), "head")


def config(schema: Schema, connection: "Connection | None" = None) -> "Config":
    """Alembic's view of one schema; also for `alembic check` and new revisions."""
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(ENVIRONMENT))
    settings.set_main_option("version_locations", str(schema.versions))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    settings.attributes["schema"] = schema.name
    return settings


def run_sync(dsn: str, schemas: Sequence[Schema]) -> None:
    """`migrate` for callers without an event loop."""
    asyncio.run(migrate(dsn, schemas))


__all__ = ["BUS", "KEYS", "SERVICE_ROLES", "Schema", "config", "migrate", "run_sync"]
