"""One running intake for the tests of a module; who breaks things asks for a database of their own."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.intake.world import World, a_world


@pytest.fixture(scope="module")
async def world(module_database_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with a_world(module_database_dsn, tmp_path_factory.mktemp("intake")) as made:
        yield made
