"""One way to open a transaction. The pool is SQLAlchemy's; the transaction and its statements are the driver's.

Rows come and go in batches here (unnest, COPY), which the driver does at a third of the cost of Core.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection

from kernel.errors import Unavailable

UNAVAILABLE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.CannotConnectNowError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
)
"""What the driver raises when the server is away, restarting, full or read-only, undid a transaction to end a deadlock,
or let us wait too long for another's lock: try again later."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One open transaction, committed when the block that opened it ends."""

    driver: Any
    """The asyncpg connection: `execute`, `fetch`, `fetchrow`, `fetchval`, `executemany`, `copy_records_to_table`.
    Keep JSON in bytea or text columns: SQLAlchemy sets its own codecs for jsonb."""
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    """Called once the transaction is durable, never when it is undone: to wake whoever waits for it."""

    def savepoint(self) -> AbstractAsyncContextManager[object]:
        """A nested transaction: an exception inside undoes only what was done inside."""
        nested: AbstractAsyncContextManager[object] = self.driver.transaction()
        return nested


class Database:
    """Connections of one service to its own schema.

    `dsn` is a libpq URI (`postgresql://user@/name?host=...`); `schema` becomes the search path; `role`, if given, is
    taken by every connection, so that grants apply whoever logged in.
    """

    def __init__(
        self, dsn: str, *, schema: str, role: str | None = None, pool_size: int = 10, pool_timeout: float = 5.0
    ) -> None:
        self.schema = schema
        self._dsn = dsn
        self._session = {
            "search_path": schema,
            "application_name": f"firstnotice-{schema}",
            "statement_timeout": "30000",
            "idle_in_transaction_session_timeout": "60000",
            "lock_timeout": "10000",
            "timezone": "UTC",
            "jit": "off",
        }
        if role is not None:
            self._session["role"] = role
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self.connect,
            isolation_level="AUTOCOMMIT",
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout,
            pool_reset_on_return=None,
        )

    async def connect(self) -> Any:
        """A connection of one's own (for advisory locks that outlive a transaction). Raises Unavailable's causes."""
        return await asyncpg.connect(self._dsn, timeout=10, server_settings=self._session)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commits at the end of the block, undoes everything when it raises. Raises Unavailable."""
        try:
            connection = await self._checked_out()
            try:
                driver: Any = connection.driver_connection
                async with driver.transaction():
                    tx = Transaction(driver)
                    yield tx
            except UNAVAILABLE:
                # Nobody shall get this connection again, whatever state it is in.
                connection.invalidate()
                raise
            finally:
                connection.close()
            for call in tx.after_commit:
                call()
        except UNAVAILABLE as error:
            raise Unavailable(f"the database does not answer ({type(error).__name__})") from error

    async def _checked_out(self) -> PoolProxiedConnection:
        """A connection of the pool that is alive as far as the driver knows; `close` gives it back.

        Raises Unavailable.
        """
        while True:
            try:
                connection = await self.engine.raw_connection()
            except PoolTimeout:
                raise Unavailable("all database connections are busy") from None
            except Exception as error:
                if _is_unavailable(error):
                    raise Unavailable("the database does not answer") from error
                raise
            driver: Any = connection.driver_connection
            if not driver.is_closed():
                return connection
            connection.invalidate()

    async def check(self) -> None:
        """Raises Unavailable when no transaction can be made."""
        async with self.transaction() as tx:
            await tx.driver.fetchval("SELECT 1")

    async def close(self) -> None:
        await self.engine.dispose()


def _is_unavailable(error: BaseException | None) -> bool:
    """SQLAlchemy wraps what the driver raises, also when it only connects."""
    while error is not None:
        if isinstance(error, UNAVAILABLE):
            return True
        error = getattr(error, "orig", None) or error.__cause__
    return False


__all__ = ["Database", "Transaction"]
