"""What `make run` relies on: the embedded PostgreSQL survives everything that a laptop does to it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import asyncpg
import psutil
import pytest

from launcher.postgres import EmbeddedPostgres, PostgresUnavailable
from launcher.processes import DataDirectoryInUse, is_live
from launcher.supervisor import Group, keep_running
from tests.support.servers import postgres_log
from tests.support.wait import until

pytestmark = pytest.mark.postgres

Factory = Callable[..., EmbeddedPostgres]

OWNER = """
import signal, sys
from pathlib import Path
from launcher.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
signal.pause()
"""


def started_by_a_process_that_is_then_killed(data_dir: Path) -> int:
    """The pid of a server whose owner got a SIGKILL."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(data_dir)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    return pid


async def store(dsn: str, value: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        await connection.execute("INSERT INTO kept VALUES ($1)", value)
    finally:
        await connection.close()


async def stored(dsn: str) -> list[int]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row["value"] for row in await connection.fetch("SELECT value FROM kept ORDER BY value")]
    finally:
        await connection.close()


async def test_the_server_starts_with_durable_settings_and_no_open_port(postgres: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(postgres.dsn)
    try:
        settings = {
            name: await connection.fetchval(f"SHOW {name}")
            for name in ("server_version_num", "fsync", "synchronous_commit", "listen_addresses", "server_encoding")
        }
    finally:
        await connection.close()
    assert int(settings.pop("server_version_num")) // 10000 == 18
    assert settings == {"fsync": "on", "synchronous_commit": "on", "listen_addresses": "", "server_encoding": "UTF8"}
    assert postgres.pid is not None
    assert psutil.Process(postgres.pid).net_connections("inet") == []


async def test_stop_and_start_keep_what_was_stored(postgres_factory: Factory) -> None:
    server = postgres_factory()
    dsn = server.start()
    await store(dsn, 1)
    assert server.restart() == dsn
    assert await stored(dsn) == [1]


async def test_committed_rows_survive_sigkill_of_the_whole_server(postgres_factory: Factory) -> None:
    server = postgres_factory()
    dsn = server.start()
    await store(dsn, 1)
    server.kill()
    assert server.pid is None
    with pytest.raises(OSError, match=r".*"):
        await asyncpg.connect(dsn)
    server.start()
    assert await stored(dsn) == [1]


async def test_a_server_whose_postmaster_alone_was_killed_starts_again(postgres_factory: Factory) -> None:
    server = postgres_factory()
    dsn = server.start()
    await store(dsn, 1)
    connection = await asyncpg.connect(dsn)  # its backend outlives the postmaster and holds the shared memory
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.start()
    assert await stored(dsn) == [1]
    connection.terminate()


async def test_a_server_that_recovers_from_the_death_of_a_backend_is_not_taken_for_dead(
    postgres_factory: Factory,
) -> None:
    server = postgres_factory()
    connection = await asyncpg.connect(server.start())
    before, seen = server.pid, set[bool]()
    os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)

    async def accepts() -> bool:
        seen.add(server.running)
        try:
            await (await asyncpg.connect(server.dsn)).close()
        except (OSError, asyncpg.PostgresError):
            return False
        return "was terminated by signal 9" in postgres_log(server.data_dir)

    await until(accepts, bool)
    assert (seen, server.pid, server.returncode) == ({True}, before, None)
    connection.terminate()


async def test_a_server_that_died_says_how(postgres_factory: Factory) -> None:
    server = postgres_factory()
    server.start()
    assert (server.running, server.returncode) == (True, None)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await until(lambda: server.running, lambda running: not running)
    assert server.returncode == -signal.SIGKILL


async def test_a_start_that_is_given_up_leaves_nothing_running_and_can_be_repeated(postgres_factory: Factory) -> None:
    server = postgres_factory()
    await store(server.start(), 1)
    server.kill()
    with pytest.raises(PostgresUnavailable, match="told to stop before it was ready"):
        server.start(given_up=lambda: True)
    assert not server.running
    assert await stored(server.start()) == [1]


async def test_stop_of_a_server_whose_postmaster_was_killed_ends_its_backends(postgres_factory: Factory) -> None:
    server = postgres_factory()
    connection = await asyncpg.connect(server.start())
    backend = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
    backend.suspend()  # it would notice, and end by itself
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await until(lambda: server.running, lambda running: not running)
    server.stop()
    assert not is_live(backend)
    connection.terminate()


async def test_what_an_initdb_of_a_killed_process_left_is_not_in_the_way(postgres_factory: Factory) -> None:
    server = postgres_factory()
    left = server.data_dir / "cluster.unfinished-0000" / "base"
    left.mkdir(parents=True)
    await store(server.start(), 1)
    assert not left.exists()


async def test_a_stale_pid_file_that_names_a_stranger_does_not_block_the_start(postgres_factory: Factory) -> None:
    server = postgres_factory()
    server.start()
    server.kill()
    pid_file = server.data_dir / "cluster" / "postmaster.pid"
    stranger = os.getppid()
    pid_file.write_text(f"{stranger}\n{server.data_dir / 'cluster'}\n0\n5432\n/tmp\n\n0 0\nready\n")
    server.start()
    assert server.pid not in (None, stranger)


async def test_the_server_of_a_killed_process_is_adopted_not_doubled(postgres_factory: Factory, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    orphan = started_by_a_process_that_is_then_killed(data_dir)
    server = postgres_factory(data_dir)
    await store(server.start(), 1)
    assert server.pid == orphan
    server.stop()
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE


async def test_an_adopted_server_that_dies_is_started_again_too(postgres_factory: Factory, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    orphan = started_by_a_process_that_is_then_killed(data_dir)
    server, told = postgres_factory(data_dir), list[str]()
    await store(server.start(), 1)
    group = Group()
    group.start(partial(keep_running, server, tell=told.append))
    await asyncio.sleep(0)  # from here on it is looked after
    os.kill(orphan, signal.SIGKILL)
    await until(lambda: len(told), lambda lines: lines == 2)
    assert told == ["PostgreSQL ended: it is started again", "PostgreSQL works again"]
    assert await stored(server.dsn) == [1]
    await group.stop()
    assert not server.running


def test_a_second_owner_is_refused_and_told_what_to_do(postgres_factory: Factory) -> None:
    first = postgres_factory()
    first.start()
    second = postgres_factory(first.data_dir)
    with pytest.raises(DataDirectoryInUse, match=rf"in use by process {os.getpid()}.*Stop that process, or choose"):
        second.start()
    assert first.pid is not None


async def test_a_data_directory_may_have_a_path_longer_than_a_socket_path(
    postgres_factory: Factory, tmp_path: Path
) -> None:
    data_dir = tmp_path / ("long-" * 20) / ("longer " * 10)
    server = postgres_factory(data_dir)
    await store(server.start(), 1)
    assert EmbeddedPostgres(data_dir).dsn == server.dsn
    assert await stored(server.dsn) == [1]


async def test_no_statement_parameter_or_value_reaches_the_log(postgres_factory: Factory) -> None:
    server = postgres_factory()
    connection = await asyncpg.connect(server.start())
    await connection.execute("CREATE TABLE secrets (value text PRIMARY KEY CHECK (value <> 'Marigold-check'))")
    for statement, parameters in [
        ("SELECT 'Marigold-literal'::int", []),
        ("SELECT $1::text::int", ["Marigold-parameter"]),
        ("INSERT INTO secrets VALUES ('Marigold-unique'), ('Marigold-unique')", []),
        ("INSERT INTO secrets VALUES ($1)", ["Marigold-check"]),
        ("DO $$ BEGIN RAISE WARNING 'Marigold-warning'; END $$", []),
        ("SELECT Marigold syntax", []),
    ]:
        try:
            await connection.execute(statement, *parameters)
        except asyncpg.PostgresError:
            continue
    # A backend that crashes is logged with its statement, unless told otherwise.
    backend = await connection.fetchval("SELECT pg_backend_pid()")
    doomed = await asyncpg.connect(server.dsn)
    doomed_pid = await doomed.fetchval("SELECT pg_backend_pid() /* Marigold-comment */")
    os.kill(doomed_pid, signal.SIGKILL)
    assert backend != doomed_pid
    server.stop()
    log = postgres_log(server.data_dir)
    assert "terminated by signal 9" in log
    assert "marigold" not in log.lower()
