"""A server that cannot be reached is `Unavailable`, however the driver and the pool put it; a wrong password is not."""

from typing import Any

import asyncpg
import pytest

from kernel.database import Database
from kernel.errors import Unavailable


class Refused(Database):
    """Every connection fails as given."""

    def __init__(self, error: Exception) -> None:
        super().__init__("postgresql://nobody@/nothing", schema="test", pool_size=1)
        self._error = error

    async def connect(self, *args: Any, **settings: Any) -> Any:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.TooManyConnectionsError("full"),
        asyncpg.ConnectionDoesNotExistError("gone"),
        FileNotFoundError("no socket"),
        ConnectionRefusedError("nobody listens"),
        TimeoutError("too slow"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_who_cannot_connect_is_told_to_come_back(error: Exception) -> None:
    database = Refused(error)
    with pytest.raises(Unavailable):
        async with database.transaction():
            pass
    await database.close()


async def test_a_wrong_password_does_not_go_away_by_waiting() -> None:
    database = Refused(asyncpg.InvalidPasswordError("wrong"))
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the pool makes of it
        async with database.transaction():
            pass
    assert not isinstance(caught.value, Unavailable)
    await database.close()
