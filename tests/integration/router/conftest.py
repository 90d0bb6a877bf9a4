"""The router on a real database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.router.house import House, a_house


@pytest.fixture
async def house(database_dsn: str, tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(database_dsn, tmp_path) as made:
        yield made
