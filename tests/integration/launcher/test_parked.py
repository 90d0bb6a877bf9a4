"""An operator looks at what does not go on, and lets it be tried or sent again."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest
from typer.testing import CliRunner

from contracts.envelope import encode_headers, encode_value, sequence_headers
from kernel.errors import ConfigurationError
from kernel.events.outbox import pack_headers
from launcher import catalogue
from launcher.cli import app
from launcher.parked import chosen, listed, retried, sent_again, shown
from tests.support.messaging import an_event

pytestmark = pytest.mark.postgres

KEY, OTHER = UUID(int=1), UUID(int=2)
SECRET = "what an event seals"


@pytest.fixture
async def connection(database_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    await catalogue.migrate(database_dsn, None)
    made = await asyncpg.connect(database_dsn)
    yield made
    await made.close()


async def park(connection: asyncpg.Connection, key: UUID, reason: str, in_seconds: float | None) -> None:
    event = an_event(key, note=SECRET)
    await connection.execute(
        """
        INSERT INTO router.parked (key, event_id, topic, partition, "offset", headers, value, reason, next_try_at)
        VALUES ($1, $2, 'access', 0, 7, $3, $4, $5, coalesce(now() + make_interval(secs => $6), 'infinity'))
        """,
        key,
        event.id,
        pack_headers(encode_headers(event) + sequence_headers(1, 9) + (("x-stranger", SECRET.encode()),)),
        encode_value(event),
        reason,
        in_seconds,
    )


async def publish(connection: asyncpg.Connection, key: UUID, *, refused: bool) -> None:
    await connection.execute(
        """
        INSERT INTO intake.outbox (shard, topic, key, event_id, headers, value, refused, published_at, generation)
        VALUES (1, 'access', $1, gen_random_uuid(), $3, '', CASE WHEN $2 THEN 'too large' END,
            CASE WHEN NOT $2 THEN now() END, 'g')
        """,
        key,
        refused,
        pack_headers(()),
    )


async def test_what_waits_is_listed_with_what_it_waits_for(connection: asyncpg.Connection, database_dsn: str) -> None:
    await park(connection, KEY, "ValueError at here.py:1", 60)
    await park(connection, KEY, "an earlier event of its key is parked", None)
    await publish(connection, OTHER, refused=True)
    await publish(connection, OTHER, refused=False)
    found = await listed(database_dsn, chosen(None), 10)
    assert [(one.service, one.way, one.key, one.next_try_at is None) for one in found] == [
        ("intake", "out", OTHER, True),
        ("router", "in", KEY, False),
        ("router", "in", KEY, True),
    ]
    assert await listed(database_dsn, chosen("audit"), 10) == []


async def test_one_is_shown_without_what_it_says(connection: asyncpg.Connection, database_dsn: str) -> None:
    await park(connection, KEY, "ValueError at here.py:1", 60)
    id: int = await connection.fetchval("SELECT id FROM router.parked")
    found = await shown(database_dsn, "router", "in", id)
    assert (found["offset"], found["reason"], found["ce_sequence"]) == ("7", "ValueError at here.py:1", "9")
    assert SECRET not in str(found)
    with pytest.raises(ConfigurationError, match="nothing of this number"):
        await shown(database_dsn, "router", "in", id + 1)


async def test_what_is_tried_again_is_due_now_and_what_is_behind_stays_behind(
    connection: asyncpg.Connection, database_dsn: str
) -> None:
    for key in (KEY, OTHER):
        await park(connection, key, "ValueError at here.py:1", 60)
        await park(connection, key, "an earlier event of its key is parked", None)
    await publish(connection, uuid4(), refused=True)
    assert await retried(database_dsn, chosen("router"), KEY) == 1
    due = "SELECT key FROM router.parked WHERE next_try_at <= now()"
    assert [row["key"] for row in await connection.fetch(due)] == [KEY]
    assert await retried(database_dsn, chosen(None), None) == 3
    assert await connection.fetchval("SELECT count(refused) FROM intake.outbox") == 0


async def test_what_was_published_is_sent_again(connection: asyncpg.Connection, database_dsn: str) -> None:
    await publish(connection, KEY, refused=False)
    assert await sent_again(database_dsn, chosen("router")) == 0
    assert await sent_again(database_dsn, chosen(None)) == 1
    assert await connection.fetchval("SELECT count(*) FROM intake.outbox WHERE published_at IS NULL") == 1


def test_the_command_says_what_is_wrong_in_one_line() -> None:
    nowhere = "--database-dsn=postgresql://nobody@127.0.0.1:9/nothing"
    assert "cannot be reached" in str(CliRunner().invoke(app, ["parked", "list", nowhere]).exception)
    assert "no service of this name" in str(CliRunner().invoke(app, ["parked", "list", "--service=mail"]).exception)
