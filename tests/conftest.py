"""Servers that every test may ask for by name, and the promise that no Kafka test goes missing silently."""

import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from launcher.broker import LocalBroker
from launcher.postgres import EmbeddedPostgres
from launcher.processes import Leash, Ownership
from tests.support import properties  # noqa: F401 - registers them before hypothesis chooses one
from tests.support.servers import KAFKA_ADDRESS, fresh_database, why_no_kafka

if TYPE_CHECKING:
    from tests.support.installation import Installation


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """Where servers keep their data. Not below pytest's own folder, which every new session makes private again: as
    root the server runs as another user, who could then not reach it."""
    with tempfile.TemporaryDirectory(prefix="firstnotice-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The session's PostgreSQL. Never kill it: ask `postgres_factory` for one of your own."""
    with EmbeddedPostgres(server_folder / "postgres") as server:
        assert server.pid is not None
        leash = Leash(server.pid)  # if the test run itself is killed, its server must not stay behind
        yield server
        leash.release()


@pytest.fixture
async def database_dsn(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The DSN of an empty database of this test alone."""
    async with fresh_database(postgres) as dsn:
        yield dsn


@pytest.fixture(scope="module")
async def module_database_dsn(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The DSN of a database that the tests of one module share."""
    async with fresh_database(postgres) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap servers of the session's broker. Use topic names of your own; mark the test `kafka`."""
    if given := os.environ.get(KAFKA_ADDRESS):
        yield given
        return
    with LocalBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def postgres_factory(server_folder: Path) -> Iterator[Callable[[], EmbeddedPostgres]]:
    """Makes private servers, not yet started, which a test may kill; they are stopped after the test."""
    servers: list[EmbeddedPostgres] = []

    def make(data_dir: Path | None = None) -> EmbeddedPostgres:
        servers.append(EmbeddedPostgres(data_dir or server_folder / uuid.uuid4().hex))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def broker_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], LocalBroker]]:
    """Makes private brokers, not yet started, which a test may kill; they are stopped after the test."""
    brokers: list[LocalBroker] = []

    def make(data_dir: Path | None = None) -> LocalBroker:
        brokers.append(LocalBroker(data_dir or tmp_path_factory.mktemp("kafka")))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.stop()


@pytest.fixture
def installation(server_folder: Path) -> "Iterator[Installation]":
    """Everything on one machine, not yet started; ended after the test, whatever is left of it."""
    from launcher.home import at  # slow to import, and few tests need it
    from tests.support.installation import Installation

    made = Installation(at(server_folder / uuid.uuid4().hex / "var"))
    yield made
    for process in made.runs:
        if process.running:
            process.terminate(30)
    # What stays when a run was killed: children without a leash, and the server.
    for directory in (made.home.root, made.home.kafka):
        left = Ownership(directory)
        left.claim()
        left.release()
    EmbeddedPostgres(made.home.postgres).stop()


# -- Kafka tests that cannot run are counted, named, and on CI a failure --


class WithoutKafka:
    """Counts them where the reports come together, also when several processes run the tests."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.reason = ""

    @property
    def verdict(self) -> str:
        return "a failure, because CI=true" if _on_ci() else "set CI=true to make this a failure"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and "kafka" in report.keywords and isinstance(report.longrepr, tuple):
            self.missing.append(report.nodeid)
            self.reason = report.longrepr[2]

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.missing and _on_ci() and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.missing:
            terminalreporter.section(f"{len(self.missing)} tests without Kafka ({self.verdict})", yellow=True)
            terminalreporter.line(self.reason)
            for nodeid in sorted(self.missing):
                terminalreporter.line(f"  {nodeid}")


def _on_ci() -> bool:
    return os.environ.get("CI") == "true"


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(WithoutKafka())


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kafka") is not None and (reason := why_no_kafka()) is not None:
        pytest.skip(reason)
