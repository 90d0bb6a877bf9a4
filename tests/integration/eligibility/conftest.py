"""The eligibility service on a database of the test's own: its use cases, and the wired whole."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kernel import identity
from kernel.bus.embedded import EmbeddedBus
from kernel.database import Database
from kernel.identity import client_entry
from kernel.migrations import BUS, KEYS, migrate
from kernel.service import Service
from kernel.settings import load_settings
from rulebook.loader import Law, load_law
from services.eligibility.bootstrap import build
from services.eligibility.migrations import SCHEMA
from services.eligibility.settings import EligibilitySettings
from tests.integration.eligibility.builders import CLIENTS, Eligibility
from tests.integration.eligibility.releases import wider_release


@pytest.fixture(scope="session")
def law() -> Law:
    return load_law()


@pytest.fixture
def folder(tmp_path: Path, law: Law) -> Path:
    """The next release, with a higher income limit."""
    return wider_release(tmp_path, law)


@pytest.fixture
def wider(folder: Path) -> Law:
    return load_law(folder)


@pytest.fixture
async def eligibility(database_dsn: str, law: Law) -> AsyncIterator[Eligibility]:
    await migrate(database_dsn, [KEYS, BUS, SCHEMA])
    made = Eligibility(database_dsn, law)
    yield made
    await made.database.close()
    await made.intake.close()


@pytest.fixture
async def bus(eligibility: Eligibility) -> AsyncIterator[EmbeddedBus]:
    made = EmbeddedBus(Database(eligibility.dsn, schema="bus", pool_size=4))
    yield made
    await made.close()


@pytest.fixture
def settings(eligibility: Eligibility, tmp_path: Path) -> EligibilitySettings:
    """For the database and the keys of `eligibility`."""
    entries: list[dict[str, Any]] = [client_entry(name, **client) for name, client in CLIENTS.items()]
    identity.write_clients(tmp_path / "clients.json", entries)
    eligibility.keyset.save(tmp_path / "keyset.json")
    return load_settings(
        EligibilitySettings,
        database_dsn=eligibility.dsn,
        keyset_file=tmp_path / "keyset.json",
        clients_file=tmp_path / "clients.json",
        database_pool=4,
        eligibility_due_poll_seconds=0.05,
    )


@pytest.fixture
async def service(eligibility: Eligibility, bus: EmbeddedBus, settings: EligibilitySettings) -> AsyncIterator[Service]:
    """As the launcher builds it, with the keys and the clock of `eligibility`."""
    made = await build(settings, bus, clock=lambda: eligibility.now)
    yield made
    await made.close()
