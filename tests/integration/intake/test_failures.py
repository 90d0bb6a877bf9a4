"""When something breaks: no 202 without a commit, nothing half stored, and one answer however often it is asked."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import httpx
import orjson
import pytest

from kernel.crashpoints import VARIABLE
from launcher.postgres import EmbeddedPostgres
from tests.integration.intake.world import World, a_report, a_subject, a_world, again
from tests.support.wait import until

REFUSE_LOG = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '{code}'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON bus.record EXECUTE FUNCTION refuse();
"""


@pytest.fixture
async def own_world(database_dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(database_dsn, tmp_path) as made:
        yield made


async def test_a_full_disk_is_a_503_and_nothing_is_stored(own_world: World) -> None:
    """The very last statement before the commit fails as PostgreSQL fails without room."""
    await own_world.execute(REFUSE_LOG.format(code="53100"))
    before = await own_world.counts()
    report = a_report()
    answer = await own_world.report(report, key="k")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert await own_world.counts() == before
    await own_world.execute("DROP FUNCTION refuse CASCADE")
    assert (await own_world.report(report, key="k")).status_code == 202


async def test_an_error_of_the_store_is_a_500_and_nothing_is_stored(own_world: World) -> None:
    await own_world.execute(REFUSE_LOG.format(code="P0001"))
    before = await own_world.counts()
    answers = await asyncio.gather(*(own_world.report(a_report()) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {500}
    assert await own_world.counts() == before


async def test_one_report_that_cannot_be_stored_takes_no_other_with_it(own_world: World) -> None:
    await own_world.execute(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.number = 666 THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON subject FOR EACH ROW EXECUTE FUNCTION refuse();
        """
    )
    reports = [a_report() for _ in range(20)] + [a_report(subjects=[a_subject(666)])]
    answers = await asyncio.gather(*(own_world.report(report) for report in reports))
    assert [answer.status_code for answer in answers] == [202] * 20 + [500]
    assert (await own_world.rows("SELECT count(*) FROM encounter")) == [(20,)]


async def test_nothing_is_answered_before_the_commit(own_world: World) -> None:
    """A commit that has to wait holds the answer back."""
    await own_world.execute(
        """
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON encounter DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait();
        """
    )
    holder = await asyncpg.connect(own_world.dsn)
    await holder.execute("SELECT pg_advisory_lock(4711)")
    answering = asyncio.create_task(own_world.report(a_report()))
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4711"
    await until(lambda: own_world.rows(waiting), lambda found: found == [(1,)])
    assert not answering.done()
    assert await own_world.rows("SELECT 1 FROM encounter") == []
    await holder.execute("SELECT pg_advisory_unlock(4711)")
    await holder.close()
    assert (await answering).status_code == 202
    assert len(await own_world.rows("SELECT 1 FROM encounter")) == 1


async def test_while_the_database_is_away_it_is_503_and_then_works_again(
    postgres_factory: Callable[[], EmbeddedPostgres], tmp_path: Path
) -> None:
    server = postgres_factory()
    server.start()
    async with a_world(server.dsn, tmp_path) as world:
        report = a_report()
        first = await world.accepted(report)
        server.stop()
        answer = await world.report(a_report())
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert (await world.amend(first["encounter_id"], {"subjects": []})).status_code == 503
        assert (await world.http.get("/readyz")).status_code == 503
        server.start()
        await until(lambda: world.report(report), lambda answer: answer.status_code == 202)
        assert await world.accepted(report) == first


SERVER = """
import asyncio, sys
from pathlib import Path
from tests.integration.intake.world import a_world

async def main():
    async with a_world(sys.argv[1], Path(sys.argv[2]), keep_clients=True) as world:
        print(world.service.app.state.port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize(("point", "stored"), [("intake.before_commit", 0), ("intake.after_commit", 1)])
async def test_a_crash_around_the_commit_gives_the_same_answer_when_asked_again(
    database_dsn: str, tmp_path: Path, point: str, stored: int
) -> None:
    """The process dies by SIGKILL before or after the commit, and never answers; the client sends the same again."""
    report = a_report()
    async with a_world(database_dsn, tmp_path) as world:
        pass
    server = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-c", SERVER, database_dsn, str(tmp_path)],
        env={**os.environ, VARIABLE: point, "PYTHONPATH": os.getcwd()},
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        port = int(await asyncio.to_thread(server.stdout.readline))
        content = orjson.dumps(report)
        headers = {
            "authorization": "Bearer " + world.token("POST", "/v1/encounters", content),
            "content-type": "application/json",
            "idempotency-key": "k-crash",
        }
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            with pytest.raises(httpx.TransportError):
                await http.post("/v1/encounters", content=content, headers=headers)
        assert await asyncio.to_thread(server.wait, 30) == -signal.SIGKILL
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
    assert await world.rows("SELECT count(*) FROM encounter") == [(stored,)]
    async with a_world(database_dsn, tmp_path, keep_clients=True) as revived:
        revived.keys = world.keys
        first = await revived.accepted(report, key="k-crash")
        assert await revived.accepted(again(report), key="k-crash") == first
        assert await revived.rows("SELECT id::text FROM encounter") == [(first["encounter_id"],)]
        assert len(await revived.events(first["encounter_id"])) == 1
