"""Real servers for tests: one PostgreSQL and one Kafka per session, a fresh database per test, private ones to kill."""

import contextlib
import functools
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from launcher.broker import BrokerUnavailable, default_cache_dir, fetch_broker
from launcher.postgres import EmbeddedPostgres

KAFKA_ADDRESS = "KAFKA_BOOTSTRAP_SERVERS"


@functools.cache
def why_no_kafka() -> str | None:
    """None when a broker can be had; else what is missing. Fetches the broker when it is not yet in the cache."""
    if os.environ.get(KAFKA_ADDRESS):
        return None
    try:
        fetch_broker(default_cache_dir())
    except BrokerUnavailable as error:
        return str(error)
    return None


@contextlib.asynccontextmanager
async def fresh_database(server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The DSN of a new, empty database, which is dropped afterwards with whoever is still connected to it."""
    name = f"test_{uuid.uuid4().hex}"
    # file_copy is twice as fast here as wal_log; losing a test's database in a crash right after this is no loss.
    await _execute(server, f"CREATE DATABASE {name} STRATEGY file_copy")
    try:
        yield urlsplit(server.dsn)._replace(path=f"/{name}").geturl()
    finally:
        await _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(server: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(server.dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def postgres_log(data_dir: Path) -> str:
    """Everything that a server wrote to its logs."""
    logs = [data_dir / "start.log", *(data_dir / "cluster" / "log").glob("*.log")]
    return "\n".join(log.read_text() for log in logs)
