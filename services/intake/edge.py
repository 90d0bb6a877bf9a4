"""Where changes become durable: one way to commit them, for the writer and for amendments."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from kernel.crashpoints import reach
from kernel.database import Database, Transaction
from kernel.errors import Unavailable

Result = TypeVar("Result")

RACES = (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError)
"""Somebody else, in another process, stored the same at the same moment: looking again finds what was stored."""
ATTEMPTS = 3


class Edge:
    """Runs a change in a transaction that is durable when `commit` returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def commit(self, work: Callable[[Transaction], Awaitable[Result]]) -> Result:
        """Raises what the work raises, with nothing stored, or Unavailable."""
        for _ in range(ATTEMPTS):
            try:
                async with self._database.transaction() as tx:
                    result = await work(tx)
                    reach("intake.before_commit")
                reach("intake.after_commit")
                return result
            except RACES:
                continue
            except asyncpg.LockNotAvailableError:
                break
        raise Unavailable("the record is being changed by others")
