"""Every service that applies law tells once which version it applies from now on."""

import asyncio
import json
from typing import Any

import pytest

from kernel.clock import system_clock, system_ids
from kernel.database import Database
from kernel.events.outbox import Outbox
from kernel.migrations import KEYS, migrate
from kernel.policy import AppliedPolicies
from services.router.migrations import SCHEMA

pytestmark = pytest.mark.postgres


def a_start(database: Database, law: str, policy: str = "1") -> AppliedPolicies:
    versions = {"law": law, "policy": policy}
    return AppliedPolicies(database, Outbox("router"), versions, clock=system_clock, ids=system_ids)


async def told(database: Database) -> list[tuple[Any, ...]]:
    async with database.transaction() as tx:
        rows = await tx.driver.fetch("SELECT topic, value FROM outbox ORDER BY id")
    assert {row["topic"] for row in rows} == {"access"}
    data = [json.loads(row["value"])["data"] for row in rows]
    return [(one["policy"], one["version"], one["replaces"]) for one in data]


async def test_a_version_is_told_once_whatever_the_restarts_and_processes(database_dsn: str) -> None:
    await migrate(database_dsn, [KEYS, SCHEMA])
    database = Database(database_dsn, schema="router", role="fn_router", pool_size=4)
    try:
        await asyncio.gather(*(a_start(database, "2026.11.0").tell() for _ in range(4)))
        first = [("law", "2026.11.0", None), ("policy", "1", None)]
        assert await told(database) == first
        await a_start(database, "2026.11.0").tell()
        assert await told(database) == first
        await a_start(database, "2026.12.0").tell()
        assert await told(database) == [*first, ("law", "2026.12.0", "2026.11.0")]
    finally:
        await database.close()
